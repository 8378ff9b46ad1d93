#include "onnx/onnx_import.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "ir/op_def.h"
#include "onnx/import_graph.h"
#include "onnx/raw_model.h"

namespace octet::onnx {
namespace {

constexpr int64_t kOldestOpset = 6;
constexpr int64_t kNewestOpset = 25;

// Any two different sizes do; small ones keep tensors small that a network makes in the shape of its batch.
constexpr int64_t kProbeBatches[] = {5, 7};

bool AsksForShapes(const RawModel& model) {
  for (const RawNode& node : model.nodes) {
    if (node.op == "Shape" || node.op == "Size") return true;
  }
  return false;
}

// Sizes that the file declares and the network does not have are worth a warning: the file was edited.
void WarnAboutOutputs(const RawModel& model, const ir::Graph& graph) {
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    const RawValue& declared = model.outputs[i];
    const Shape& shape = graph.value(graph.outputs()[i]).type.shape;
    bool fits = !declared.typed || declared.type.shape.size() == shape.size();
    for (size_t d = 0; declared.typed && fits && d < shape.size(); ++d) {
      fits = d == 0 || declared.type.shape[d] < 0 || shape[d] < 0 || declared.type.shape[d] == shape[d];
    }
    if (!fits) {
      LogWarning("'{}': output '{}' is declared as {} and computed as {}", model.path, declared.name,
                 ToString(declared.type.shape), ToString(shape));
    }
  }
}

ir::Graph Import(const RawModel& model, const ImportOptions& options) {
  OCTET_REQUIRE(model.opset != 0, "the file names no ONNX operator set (opset_import)");
  OCTET_REQUIRE(model.opset >= kOldestOpset && model.opset <= kNewestOpset,
                "opset {} is not supported; export the model with an opset from 7 to 21", model.opset);
  std::vector<std::string> dynamic;
  for (const RawValue& in : DataInputs(model, options)) {
    const Shape shape = InputShape(model, in, options);
    if (!shape.empty() && shape[0] < 0) dynamic.push_back(in.name);
  }
  for (const auto& [name, shape] : options.input_shapes) {
    bool found = false;
    for (const RawValue& in : DataInputs(model, options)) found = found || in.name == name;
    OCTET_REQUIRE(found, "a shape is given for '{}', but the model has no such input", name);
  }
  ir::Graph graph;
  if (dynamic.empty() || !AsksForShapes(model)) {
    graph = BuildGraph(model, options, ir::kDynamic);
  } else {
    graph = JoinBatches(BuildGraph(model, options, kProbeBatches[0]), BuildGraph(model, options, kProbeBatches[1]),
                        dynamic);
  }
  ir::InferTypes(graph);
  ir::Verify(graph);
  WarnAboutOutputs(model, graph);
  return graph;
}

}  // namespace

ir::Graph ImportOnnxBytes(const std::string& bytes, const std::string& path, const ImportOptions& options) {
  const RawModel model = ParseRawModel(bytes, path);
  try {
    return Import(model, options);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kUser) throw;
    OCTET_FAIL("'{}': {}", path, e.what());
  }
}

std::vector<std::pair<std::string, ir::TensorType>> InputsOf(const std::string& path) {
  std::vector<std::pair<std::string, ir::TensorType>> inputs;
  for (const RawValue& in : DataInputs(ParseRawModel(ReadFile(path, "ONNX file"), path), {})) {
    inputs.emplace_back(in.name, in.type);
  }
  return inputs;
}

std::map<std::string, std::string> ReadMetadata(const std::string& path) {
  return ParseRawModel(ReadFile(path, "ONNX file"), path).metadata;
}

std::map<std::string, Tensor> ReadInitializers(const std::string& path) {
  const RawModel model = ParseRawModel(ReadFile(path, "ONNX file"), path);
  std::map<std::string, Tensor> found;
  for (const auto& [name, tensor] : model.initializers) {
    if (tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kF64) found.emplace(name, tensor);
  }
  for (const RawNode& node : model.nodes) {  // in file order: a chain of Identity nodes resolves
    if (node.op != "Identity" || node.inputs.size() != 1 || node.outputs.size() != 1) continue;
    const auto source = found.find(node.inputs[0]);
    if (source != found.end()) found.emplace(node.outputs[0], Tensor(source->second));
  }
  return found;
}

ir::Graph ImportOnnx(const std::string& path, const ImportOptions& options) {
  return ImportOnnxBytes(ReadFile(path, "ONNX file"), path, options);
}

}  // namespace octet::onnx
