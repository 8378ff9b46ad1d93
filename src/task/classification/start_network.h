// The networks that classification trains: of the zoo or of the user, fresh or from a checkpoint.
#pragma once

#include <string>

#include "spec/spec.h"
#include "task/start_network.h"

namespace octet::task::classification {

// `spec` must outlive it.
NetworkKind KindFromSpec(const spec::Spec& spec);

// The spec with the sizes of its network's input: a byom spec that does not say model.input_* takes them from the file
// that training will start with. Other specs come back as they are.
spec::Spec WithNetworkInput(const spec::Spec& spec, const std::string& results_folder);

}  // namespace octet::task::classification
