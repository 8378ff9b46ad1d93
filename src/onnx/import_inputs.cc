// Which inputs of a file are data, and their shapes.
#include <unordered_set>

#include "base/error.h"
#include "onnx/import_graph.h"

namespace octet::onnx {

std::vector<RawValue> DataInputs(const RawModel& model, const ImportOptions& options) {
  std::unordered_set<std::string> constants;
  for (const auto& [name, tensor] : model.initializers) constants.insert(name);
  std::vector<RawValue> inputs;
  for (const RawValue& in : model.inputs) {
    if (constants.count(in.name) == 0 && options.constant_inputs.count(in.name) == 0) inputs.push_back(in);
  }
  return inputs;
}

Shape InputShape(const RawModel& model, const RawValue& input, const ImportOptions& options) {
  Shape shape = input.type.shape;
  const auto given = options.input_shapes.find(input.name);
  if (given != options.input_shapes.end()) {
    OCTET_REQUIRE(!input.typed || given->second.size() == shape.size(),
                  "input '{}' has the shape {}; the given {} has another number of dimensions", input.name,
                  ToString(shape), ToString(given->second));
    for (size_t i = 0; input.typed && i < shape.size(); ++i) {
      OCTET_REQUIRE(i == 0 || i > 1 || shape[i] < 0 || shape[i] == given->second[i],
                    "input '{}' has {} channels; the given shape {} has another number", input.name, shape[i],
                    ToString(given->second));
    }
    shape = given->second;
  } else {
    OCTET_REQUIRE(input.typed, "input '{}' has no tensor shape; give one, for example {}=N,3,224,224", input.name,
                  input.name);
  }
  for (size_t i = 1; i < shape.size(); ++i) {
    if (shape[i] >= 0) continue;
    const std::string dim =
        i < input.dim_names.size() && !input.dim_names[i].empty() ? " ('" + input.dim_names[i] + "')" : "";
    OCTET_FAIL(
        "input '{}' has the shape {}: dimension {}{} is dynamic, and only the batch may be; give the size of the "
        "images, for example {}=N,3,224,224 (--input-shape)",
        input.name, ToString(shape), i, dim, input.name);
  }
  return shape;
}

}  // namespace octet::onnx
