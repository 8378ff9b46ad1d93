// Pretrained weights by name: from octet's own files, from the initializers of an .onnx, from a .safetensors.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::task {

// The floating-point tensors of an .octet, .onnx or .safetensors file. Throws a user Error for other files.
std::map<std::string, Tensor> ReadWeights(const std::string& path);

struct LoadedWeights {
  int64_t loaded = 0;
  std::vector<std::string> other_shape;  // in the file under that name, with another shape
  std::vector<std::string> missing;      // not in the file
};

// Parameters and batch norm statistics of `graph` from the file's tensors of the same name and shape; the names that
// torchvision and timm use count as well (zoo/names_elsewhere.h), "module." and "model." in front do not. ResNet-18 and
// -34 begin with a projection that those have not: it becomes the identity. Logs what was loaded and what was not;
// throws a user Error when nothing fits.
LoadedWeights LoadWeights(ir::Graph& graph, const std::string& path);

}  // namespace octet::task
