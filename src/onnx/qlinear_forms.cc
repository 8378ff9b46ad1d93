#include "onnx/qlinear_forms.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace octet::onnx {
namespace {

struct Form {
  const char* op;   // the float operator
  size_t operands;  // groups of (codes, scale, zero point) in front; 0: Concat's, behind the result's scale
};

const std::map<std::string, Form>& Forms() {
  static const auto* forms = new std::map<std::string, Form>{
      {"QLinearConv", {"Conv", 2}},
      {"QLinearMatMul", {"MatMul", 2}},
      {"com.microsoft.QLinearAdd", {"Add", 2}},
      {"com.microsoft.QLinearMul", {"Mul", 2}},
      {"com.microsoft.QLinearSigmoid", {"Sigmoid", 1}},
      {"com.microsoft.QLinearLeakyRelu", {"LeakyRelu", 1}},
      {"com.microsoft.QLinearAveragePool", {"AveragePool", 1}},
      {"com.microsoft.QLinearGlobalAveragePool", {"GlobalAveragePool", 1}},
      {"com.microsoft.QLinearConcat", {"Concat", 0}},
  };
  return *forms;
}

const ir::Value& Constant(const RawNode& node, size_t i, const char* what, const FormContext& c) {
  OCTET_REQUIRE(i < node.inputs.size() && !node.inputs[i].empty(), "{}: its {} is missing", node.where(), what);
  const ir::Value& value = *c.value(node.inputs[i]);
  OCTET_REQUIRE(value.is_constant(), "{}: its {} ('{}') is computed while the network runs; octet needs it constant",
                node.where(), what, value.name);
  return value;
}

RawNode Step(const RawNode& like, const std::string& op, std::vector<std::string> inputs, const std::string& output,
             ir::Attrs attrs = {}) {
  RawNode step;
  step.op = op;
  step.name = op == "QuantizeLinear" ? like.outputs.at(0) + "_quantize" : output + "_" + op;
  step.inputs = std::move(inputs);
  step.outputs = {output};
  step.attrs = std::move(attrs);
  return step;
}

// A scale as QuantizeLinear takes it: a scalar when it has one element, else a vector along `axis`.
std::string Flat(const RawNode& node, size_t i, const FormContext& c, int64_t* count) {
  const ir::Value& value = Constant(node, i, "scale or zero point", c);
  *count = value.constant.size();
  const Shape shape = *count == 1 ? Shape{} : Shape{*count};
  if (value.constant.shape() == shape) return node.inputs[i];
  return c.add_constant(node.inputs[i] + ".flat", value.constant.Reshaped(shape));
}

// DequantizeLinear of the operand whose codes are input `i`; returns its float name.
std::string Dequantize(const RawNode& node, size_t i, int64_t axis, const FormContext& c, std::vector<RawNode>* nodes) {
  int64_t scales = 0, points = 0;
  const std::string scale = Flat(node, i + 1, c, &scales);
  const std::string point = Flat(node, i + 2, c, &points);
  OCTET_REQUIRE(scales == points, "{}: {} scales and {} zero points", node.where(), scales, points);
  const std::string name = c.fresh(node.outputs.at(0) + "." + node.inputs[i] + ".dq");
  ir::Attrs attrs;
  if (scales != 1) attrs["axis"] = axis;
  nodes->push_back(Step(node, "DequantizeLinear", {node.inputs[i], scale, point}, name, attrs));
  return name;
}

// The int32 bias of a convolution counts in scale(x) * scale(w).
std::string FloatBias(const RawNode& node, const FormContext& c) {
  const std::vector<int64_t> codes = Constant(node, 8, "bias", c).constant.ToVector<int64_t>();
  const std::vector<float> x = Constant(node, 1, "scale", c).constant.ToVector<float>();
  const std::vector<float> w = Constant(node, 4, "scale", c).constant.ToVector<float>();
  OCTET_REQUIRE(x.size() == 1 && (w.size() == 1 || w.size() == codes.size()), "{}: {} scales for {} channels",
                node.where(), w.size(), codes.size());
  std::vector<float> bias(codes.size());
  for (size_t k = 0; k < bias.size(); ++k) bias[k] = static_cast<float>(codes[k]) * (x[0] * w[w.size() == 1 ? 0 : k]);
  return c.add_constant(node.inputs[8] + ".float", Tensor::From<float>({static_cast<int64_t>(bias.size())}, bias));
}

}  // namespace

bool IsQLinear(const std::string& op) {
  return Forms().count(op) != 0;
}

std::vector<RawNode> SplitQLinear(const RawNode& node, const FormContext& c,
                                  const std::function<std::vector<RawNode>(RawNode, const FormContext&)>& window) {
  const Form& form = Forms().at(node.op);
  OCTET_REQUIRE(!node.outputs.empty() && !node.outputs[0].empty(), "{}: it has no output", node.where());
  auto attr = node.attrs.find("channels_last");
  OCTET_REQUIRE(attr == node.attrs.end() || attr->second == ir::Attr(int64_t{0}),
                "{}: channels_last is not supported; export it with channels first", node.where());
  RawNode real = node;
  real.op = form.op;
  real.attrs.erase("channels_last");
  real.inputs.clear();
  std::vector<RawNode> nodes;
  const size_t first = form.operands == 0 ? 2 : 0;
  const size_t operands =
      form.operands == 0 ? (node.inputs.size() - std::min<size_t>(2, node.inputs.size())) / 3 : form.operands;
  OCTET_REQUIRE(operands > 0 && node.inputs.size() >= first + operands * 3, "{}: {} inputs are too few", node.where(),
                node.inputs.size());
  if (real.op == std::string("Conv") || real.op == std::string("AveragePool")) {
    real.inputs = {node.inputs[0]};  // codes have the shape of what they stand for
    if (real.op == std::string("Conv")) real.inputs.push_back(node.inputs[3]);
    std::vector<RawNode> formed = window(real, c);
    OCTET_REQUIRE(formed.size() == 1, "{}: its padding has no simple form", node.where());
    real = std::move(formed[0]);
    real.inputs.clear();
  }
  for (size_t k = 0; k < operands; ++k) {
    const Shape& shape = c.value(node.inputs[first + 3 * k])->type.shape;
    const int64_t axis =
        real.op == "MatMul" ? (k == 0 ? static_cast<int64_t>(shape.size()) - 2 : static_cast<int64_t>(shape.size()) - 1)
                            : 0;
    real.inputs.push_back(Dequantize(node, first + 3 * k, axis, c, &nodes));
  }
  if (real.op == "Conv" && node.inputs.size() > 8 && !node.inputs[8].empty()) real.inputs.push_back(FloatBias(node, c));
  const size_t result = form.operands == 0 ? 0 : 3 * operands;
  int64_t scales = 0, points = 0;
  const std::string scale = Flat(node, result, c, &scales);
  const std::string point = Flat(node, result + 1, c, &points);
  real.outputs = {c.fresh(node.outputs[0] + ".real")};
  const std::string made = real.outputs[0];
  nodes.push_back(std::move(real));
  nodes.push_back(Step(node, "QuantizeLinear", {made, scale, point}, node.outputs[0]));
  return nodes;
}

}  // namespace octet::onnx
