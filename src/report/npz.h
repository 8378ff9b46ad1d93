// numpy's .npz archives: a zip file with one .npy member for each name.
#pragma once

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace octet::report {

// Stored and deflated members, as numpy.savez and savez_compressed write them. Throws a user Error that names the path
// when it is no zip file or damaged.
std::map<std::string, Tensor> ReadNpz(const std::string& path);

}  // namespace octet::report
