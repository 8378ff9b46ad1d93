// Reads an ONNX CNN (opset 6 to 25) as a graph in octet's form: opset-13 operators, constants folded, shapes known
// except for the batch. What changes on the way (docs/formats.md, "ONNX import"):
//   - Identity and Dropout disappear; nodes whose inputs are all constants become constants (except Q/DQ pairs);
//   - Shape computations are evaluated, with a dynamic batch too: Reshape then says 0 or -1 where it followed the
//   batch;
//   - half and bfloat16 tensors become f32; unnamed nodes get the name of their first output;
//   - attributes and inputs have the form of octet's operator definitions (Clip bounds as inputs, ...).
// ops::InstallOps() must have run.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace octet::onnx {

struct ImportOptions {
  // Shapes that replace those of the file, by input name. -1 in front makes the batch dynamic, also where the file
  // fixes it.
  std::map<std::string, Shape> input_shapes;
  // Inputs that become constants: switches and sizes that a file leaves open.
  std::map<std::string, Tensor> constant_inputs;
  // The network will be trained: Dropout stays (training only), batch norms and dropouts exported in training mode are
  // taken for what they are in inference, and a parameter that the exporter stored once for several layers (Identity of
  // an initializer) becomes each layer's own.
  bool for_training = false;
};

// Throws a user Error that starts with the path: missing or damaged file, unsupported operators (one error that lists
// them all with the first node of each), missing initializer, cycle, shapes that do not fit, dynamic sizes other than
// the batch, missing external data.
ir::Graph ImportOnnx(const std::string& path, const ImportOptions& options = {});

// The inputs of a file that are not initializers: name, element type, shape as declared (-1 where open).
std::vector<std::pair<std::string, ir::TensorType>> InputsOf(const std::string& path);

// metadata_props.
std::map<std::string, std::string> ReadMetadata(const std::string& path);

// The floating-point initializers of a file by name, also under the names that Identity nodes give them. Reads files
// that ImportOnnx would refuse.
std::map<std::string, Tensor> ReadInitializers(const std::string& path);

// As ImportOnnx, for a file that is in memory; `path` is for messages and external data.
ir::Graph ImportOnnxBytes(const std::string& bytes, const std::string& path, const ImportOptions& options = {});

}  // namespace octet::onnx
