// Reads weights from a .safetensors file (Hugging Face): 8 bytes little-endian header length, a JSON header
// {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}, then the data.
// Format: https://github.com/huggingface/safetensors
#pragma once

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace octet::ir {

// The floating-point tensors (F32, F64, F16, BF16) as f32, by name; others (counters, masks) are left out. Throws a
// user Error that names the path and the tensor for anything malformed: a header that does not fit, overlapping or
// missing bytes, sizes that do not match.
std::map<std::string, Tensor> ReadSafetensors(const std::string& path);
std::map<std::string, Tensor> ParseSafetensors(const std::string& bytes, const std::string& path_for_messages);

}  // namespace octet::ir
