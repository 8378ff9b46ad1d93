#include "passes/qdq_pair.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Graph;
using ir::NodeId;
using ir::ValueId;

namespace {

QdqPair AddPair(Graph& g, ValueId v, Tensor scales, const ir::Attrs& q_attrs, const ir::Attrs& dq_attrs) {
  const std::string name = g.value(v).name;
  const ir::TensorType type = g.value(v).type;
  const Tensor zeros(DType::kS8, scales.shape());
  const ValueId scale = g.AddConstant(name + ".scale", std::move(scales));
  const ValueId zero = g.AddConstant(name + ".zero_point", zeros);
  const NodeId q = g.AddNode("QuantizeLinear", name + "_quantize", {v, scale, zero}, {name + ".q"}, q_attrs);
  const ValueId codes = g.node(q).output();
  const NodeId dq = g.AddNode("DequantizeLinear", name + "_dequantize", {codes, scale, zero}, {name + ".dq"}, dq_attrs);
  const ValueId real = g.node(dq).output();
  g.set_type(codes, {DType::kS8, type.shape});
  g.set_type(real, type);
  return {q, real};
}

}  // namespace

QdqPair AddActivationPair(Graph& g, ValueId value, float scale, const std::string& observer) {
  ir::Attrs attrs;
  if (!observer.empty()) attrs["observer"] = observer;
  return AddPair(g, value, Tensor::Scalar(scale), attrs, {});
}

QdqPair AddWeightPair(Graph& g, ValueId weight, int axis, bool observed) {
  for (const NodeId user : g.value(weight).consumers) {
    if (g.node(user).op != "QuantizeLinear") continue;
    return {user, g.node(g.value(g.node(user).output()).consumers.at(0)).output()};
  }
  const Tensor& values = g.value(weight).constant;
  const auto* data = values.data<float>();
  const bool finite = std::all_of(data, data + values.size(), [](float v) { return std::isfinite(v); });
  OCTET_REQUIRE(finite,
                "weight '{}' holds a value that is infinite or NaN; the training diverged or the file is damaged",
                g.value(weight).name);
  std::vector<float> scales = quant::AmaxPerChannel(values, axis);
  for (float& s : scales) s = quant::ScaleOfAmax(s);
  const ir::Attrs axis_attr = {{"axis", int64_t{axis}}};
  ir::Attrs attrs = axis_attr;
  if (observed) attrs["observer"] = std::string("max_abs");
  const auto channels = static_cast<int64_t>(scales.size());
  return AddPair(g, weight, Tensor::From<float>({channels}, scales), attrs, axis_attr);
}

}  // namespace octet::passes
