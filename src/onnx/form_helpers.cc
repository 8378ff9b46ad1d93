#include "onnx/form_helpers.h"

namespace octet::onnx {

int64_t IntAttr(const RawNode& node, const std::string& key, int64_t fallback) {
  const auto* v = AttrPtr<int64_t>(node, key);
  return v != nullptr ? *v : fallback;
}
float FloatAttr(const RawNode& node, const std::string& key, float fallback) {
  const auto* v = AttrPtr<float>(node, key);
  return v != nullptr ? *v : fallback;
}
std::string StringAttr(const RawNode& node, const std::string& key, const std::string& fallback) {
  const auto* v = AttrPtr<std::string>(node, key);
  return v != nullptr ? *v : fallback;
}

bool HasInput(const RawNode& node, size_t i) {
  return i < node.inputs.size() && !node.inputs[i].empty();
}

void SetInput(RawNode* node, size_t i, const std::string& name) {
  if (node->inputs.size() <= i) node->inputs.resize(i + 1);
  node->inputs[i] = name;
}

const ir::Value& ValueOf(const RawNode& node, size_t i, const FormContext& c) {
  OCTET_REQUIRE(HasInput(node, i), "{}: input {} is missing", node.where(), i);
  return *c.value(node.inputs[i]);
}

const Shape& ShapeOf(const RawNode& node, size_t i, const FormContext& c) {
  return ValueOf(node, i, c).type.shape;
}

Ints ConstInts(const RawNode& node, size_t i, const char* what, const FormContext& c) {
  const ir::Value& value = ValueOf(node, i, c);
  OCTET_REQUIRE(value.is_constant(), "{}: its {} ('{}') are computed while the network runs; octet needs them constant",
                node.where(), what, value.name);
  return value.constant.ToVector<int64_t>();
}

Tensor IntsTensor(const Ints& values) {
  return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values);
}

std::string OutputHint(const RawNode& node, const char* suffix) {
  return (node.outputs.empty() || node.outputs[0].empty() ? node.name : node.outputs[0]) + "." + suffix;
}

int64_t NormalAxis(const RawNode& node, int64_t axis, size_t rank) {
  const auto r = static_cast<int64_t>(rank);
  OCTET_REQUIRE(axis >= -r && axis < r, "{}: axis {} is outside a tensor of {} dimensions", node.where(), axis, r);
  return axis < 0 ? axis + r : axis;
}

RawNode Renamed(RawNode node, const std::string& op) {
  node.op = op;
  return node;
}

RawNode Step(const RawNode& node, const std::string& op, std::vector<std::string> inputs, const std::string& output,
             ir::Attrs attrs) {
  RawNode step;
  step.op = op;
  step.name = node.name;
  step.inputs = std::move(inputs);
  step.outputs = {output};
  step.attrs = std::move(attrs);
  return step;
}

}  // namespace octet::onnx
