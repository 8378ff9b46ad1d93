// numpy's .npz archives: a zip file with one .npy member for each name.
#pragma once

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace octet::report {

// Stored and deflated members, as numpy.savez and savez_compressed write them. Throws a user Error that names the path
// when it is no zip file or damaged.
std::map<std::string, Tensor> ReadNpz(const std::string& path);
std::map<std::string, Tensor> ParseNpz(const std::string& bytes, const std::string& path_for_messages);

}  // namespace octet::report
