#include "lint/model_view.h"

#include "base/error.h"
#include "onnx/onnx_import.h"

namespace octet::lint {

using onnx::RawNode;

ModelView::ModelView(const onnx::RawModel& model, std::map<std::string, Shape> shapes)
    : model_(model), shapes_(std::move(shapes)) {
  for (const auto& [name, tensor] : model.initializers) constants_[name] = &tensor;
  for (const onnx::RawValue& v : model.inputs) {
    if (constants_.count(v.name) == 0) inputs_[v.name] = 1;
    if (v.typed) shapes_[v.name] = v.type.shape;
  }
  for (const onnx::RawValue& v : model.outputs) outputs_[v.name] = 1;
  for (const RawNode& node : model.nodes) {
    for (const std::string& output : node.outputs) producers_[output] = &node;
    for (const std::string& input : node.inputs) {
      if (!input.empty()) consumers_[input].push_back(&node);
    }
    if (IsQuantize(&node) || IsDequantize(&node)) has_qdq_ = true;
    if (node.op == "Constant" && !node.outputs.empty()) {
      const auto value = node.attrs.find("value");
      if (value != node.attrs.end() && std::holds_alternative<Tensor>(value->second)) {
        constants_[node.outputs[0]] = &std::get<Tensor>(value->second);
      }
    }
  }
}

const RawNode* ModelView::Producer(const std::string& tensor) const {
  const auto it = producers_.find(tensor);
  return it == producers_.end() ? nullptr : it->second;
}

const std::vector<const RawNode*>& ModelView::Consumers(const std::string& tensor) const {
  static const std::vector<const RawNode*> none;
  const auto it = consumers_.find(tensor);
  return it == consumers_.end() ? none : it->second;
}

const Tensor* ModelView::Constant(const std::string& tensor) const {
  std::string name = tensor;
  for (int hops = 0; hops < 8; ++hops) {  // a chain of copies in a broken file may be a ring
    const auto it = constants_.find(name);
    if (it != constants_.end()) return it->second;
    const RawNode* node = Producer(name);
    if (node == nullptr || (node->op != "Identity" && node->op != "Cast") || node->inputs.empty()) return nullptr;
    name = node->inputs[0];
  }
  return nullptr;
}

const Tensor* ModelView::Weights(const std::string& tensor) const {
  std::string name = tensor;
  for (int hops = 0; hops < 4; ++hops) {
    if (const Tensor* t = Constant(name)) return t;
    const RawNode* node = Producer(name);
    if (!IsQuantize(node) && !IsDequantize(node)) return nullptr;
    name = InputOf(*node, 0);
  }
  return nullptr;
}

const Shape* ModelView::ShapeOf(const std::string& tensor) const {
  const auto it = shapes_.find(tensor);
  if (it != shapes_.end()) return &it->second;
  if (const Tensor* t = Constant(tensor)) return &t->shape();
  // A Q/DQ pair changes no shape.
  const RawNode* node = Producer(tensor);
  if (IsQuantize(node) || IsDequantize(node)) {
    const auto source = shapes_.find(InputOf(*node, 0));
    if (source != shapes_.end()) return &source->second;
  }
  return nullptr;
}

std::string InputOf(const RawNode& node, size_t i) {
  return i < node.inputs.size() ? node.inputs[i] : std::string();
}

int64_t IntOf(const RawNode& node, const std::string& attribute, int64_t fallback) {
  const auto it = node.attrs.find(attribute);
  return it != node.attrs.end() && std::holds_alternative<int64_t>(it->second) ? std::get<int64_t>(it->second)
                                                                               : fallback;
}

std::vector<int64_t> IntsOf(const RawNode& node, const std::string& attribute, std::vector<int64_t> fallback) {
  const auto it = node.attrs.find(attribute);
  if (it == node.attrs.end() || !std::holds_alternative<std::vector<int64_t>>(it->second)) return fallback;
  return std::get<std::vector<int64_t>>(it->second);
}

bool IsQuantize(const RawNode* node) {
  return node != nullptr && node->op == "QuantizeLinear" && !node->outputs.empty();
}

bool IsDequantize(const RawNode* node) {
  return node != nullptr && node->op == "DequantizeLinear" && !node->outputs.empty();
}

std::map<std::string, Shape> InferShapes(const std::string& bytes, const std::string& path, std::string* why_not) {
  std::map<std::string, Shape> shapes;
  try {
    const ir::Graph graph = onnx::ImportOnnxBytes(bytes, path);
    for (const ir::ValueId id : graph.values()) shapes[graph.value(id).name] = graph.value(id).type.shape;
  } catch (const Error& e) {
    *why_not = e.what();
  }
  return shapes;
}

}  // namespace octet::lint
