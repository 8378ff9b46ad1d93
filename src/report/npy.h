// numpy's .npy files: how tests and users hand tensors to Python and back. Little-endian, C order, format version 1.0
// when written; versions 1 to 3 are read.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace octet::report {

// Any element type. Atomic.
void WriteNpy(const std::string& path, const Tensor& tensor);

// Throws a user Error that names the path: no .npy file, cut off, Fortran order, or an element type without
// counterpart.
Tensor ReadNpy(const std::string& path);
Tensor ParseNpy(const std::string& bytes, const std::string& path_for_messages);

}  // namespace octet::report
