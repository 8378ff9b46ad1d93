// Removes Identity and Dropout nodes (inference does nothing there). Runs first at export: a Dropout between convolution and
// activation would hide a fusion region.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph RemoveIdentities(ir::Graph graph);

}  // namespace octet::passes
