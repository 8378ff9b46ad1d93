// Writes a graph as an ONNX file: initializers as raw data, every value with its type, the dynamic batch as "N", Q/DQ
// pairs as TensorRT takes them (zero point zeros of the scale's shape, axis written on vector scales).
//
// Import(Export(g)) == g when g is in import's form (see onnx_import.h), its names are clean, and it has no
// training-only attribute.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace octet::onnx {

struct ExportOptions {
  int opset = 13;  // 13 to 21; raised where an operator needs a newer one (HardSwish 14, Mish 18, Gelu 20)
  std::string producer = "octet";
  std::string producer_version = "0.1.0";
};

// The names that ONNX files and calibration caches carry, by value name. ':' (which readers of caches split at),
// control characters, bytes outside ASCII, and blanks at the ends become '_'; a name that is then taken gets "_1",
// "_2", ...; names that need no change never change.
std::map<std::string, std::string> ExportNames(const ir::Graph& graph);

// Atomic. Throws a user Error when the file cannot be written or ONNX cannot express the graph (more than 2 GiB, opset
// out of range), an internal Error on lowered operators (QConv, ...), which are the engine's alone.
void ExportOnnx(const ir::Graph& graph, const std::string& path, const ExportOptions& options = {});

// The bytes of the file.
std::string ExportOnnxBytes(const ir::Graph& graph, const std::string& path_for_messages,
                            const ExportOptions& options = {});

}  // namespace octet::onnx
