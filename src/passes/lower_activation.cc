#include "passes/lower_activation.h"

#include <limits>

#include "passes/fusion_regions.h"
#include "quant/activation.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Attrs;
using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

std::optional<float> ScalarConstant(const Graph& g, ValueId id) {
  if (id == kNoValue || !g.value(id).is_constant()) return std::nullopt;
  const Tensor& t = g.value(id).constant;
  if (t.dtype() != DType::kF32 || t.size() != 1) return std::nullopt;
  return t.data<float>()[0];
}

Attrs Act(const char* name) {
  return {{"act", std::string(name)}};
}

Tensor AllCodes(float scale) {
  Tensor x(DType::kF32, {256});
  for (int i = 0; i < 256; ++i) x.mutable_data<float>()[i] = quant::Dequantize(static_cast<int8_t>(i - 128), scale);
  return x;
}

Tensor Quantized(const Tensor& y, float scale) {
  Tensor codes(DType::kS8, {256});
  for (int i = 0; i < 256; ++i) codes.mutable_data<int8_t>()[i] = quant::QuantizeToS8(y.data<float>()[i], scale);
  return codes;
}

}  // namespace

ValueId SwishInput(const Graph& g, const Node& mul) {
  if (mul.op != "Mul") return kNoValue;
  for (size_t i = 0; i < 2; ++i) {
    const Node* gate = g.producer(mul.input(i));
    if (gate != nullptr && gate->op == "Sigmoid" && gate->input(0) == mul.input(1 - i)) return mul.input(1 - i);
  }
  return kNoValue;
}

std::optional<Attrs> EpilogueOf(const Graph& g, NodeId activation) {
  const Node& node = g.node(activation);
  if (node.op == "Relu" || node.op == "Clip") {
    float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
    if (node.op == "Relu") low = 0;
    for (const size_t i : {size_t{1}, size_t{2}}) {
      if (node.input(i) == kNoValue) continue;
      const std::optional<float> bound = ScalarConstant(g, node.input(i));
      if (!bound) return std::nullopt;
      (i == 1 ? low : high) = *bound;
    }
    if (!(low <= high)) return std::nullopt;
    Attrs attrs = Act("clip");
    attrs["act_min"] = low;
    attrs["act_max"] = high;
    return attrs;
  }
  if (node.op == "LeakyRelu" || node.op == "PRelu") {
    const std::optional<float> slope =
        node.op == "PRelu" ? ScalarConstant(g, node.input(1)) : std::optional<float>(node.attr_float("alpha", 0.01f));
    if (!slope) return std::nullopt;
    Attrs attrs = Act("leaky_relu");
    attrs["act_alpha"] = *slope;
    return attrs;
  }
  if (node.op == "Sigmoid") return Act("sigmoid");
  if (node.op == "HardSigmoid") {
    Attrs attrs = Act("hard_sigmoid");
    attrs["act_alpha"] = node.attr_float("alpha", 0.2f);
    attrs["act_beta"] = node.attr_float("beta", 0.5f);
    return attrs;
  }
  if (node.op == "HardSwish") return Act("hard_swish");
  if (node.op == "Swish" && node.attr_float("alpha", 1.0f) == 1.0f) return Act("swish");
  if (SwishInput(g, node) != kNoValue) return Act("swish");
  return std::nullopt;
}

std::optional<Tensor> TableOf(const Graph& g, NodeId function, float x_scale, float y_scale) {
  const Node& node = g.node(function);
  Tensor x = AllCodes(x_scale);
  if (SwishInput(g, node) != kNoValue) {
    const quant::Activation swish{quant::ActivationKind::kSwish};
    for (int i = 0; i < 256; ++i) x.mutable_data<float>()[i] = swish(x.data<float>()[i]);
    return Quantized(x, y_scale);
  }
  if (RuleOf(node).region != ir::RegionRole::kActivation) return std::nullopt;
  std::vector<Tensor> inputs = {x};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNoValue) {
      inputs.emplace_back();
      continue;
    }
    const std::optional<float> parameter = ScalarConstant(g, node.inputs[i]);
    if (!parameter) return std::nullopt;
    inputs.push_back(Tensor::Scalar(*parameter));
  }
  return Quantized(ir::GetOp(node).reference(node, inputs).at(0), y_scale);
}

Tensor RequantizeTable(float x_scale, float y_scale) {
  return Quantized(AllCodes(x_scale), y_scale);
}

}  // namespace octet::passes
