// `octet inspect FILE`: what is inside a .octet, .onnx, .plan or calibration cache, as readable text.
#pragma once

#include <string>

namespace octet::cli {

// Throws a user Error for a file of no known kind, or a damaged one.
std::string Inspect(const std::string& path, bool whole_graph);

}  // namespace octet::cli
