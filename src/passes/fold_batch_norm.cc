#include "passes/fold_batch_norm.h"

#include <cmath>

#include "passes/fusion_regions.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

bool IsOp(const Node* node, const char* op) {
  return node != nullptr && node->op == op;
}

struct WeightPair {
  NodeId quantize = kNoNode;
  NodeId dequantize = kNoNode;
};

// The Q/DQ pair through which `anchor` reads its weight, if any.
WeightPair FindWeightPair(const Graph& g, NodeId anchor) {
  const ValueId read = g.node(anchor).input(1);
  if (!IsOp(g.producer(read), "DequantizeLinear")) return {};
  const NodeId dq = g.value(read).producer;
  const ValueId codes = g.node(dq).input(0);
  if (!IsOp(g.producer(codes), "QuantizeLinear")) return {};
  return {g.value(codes).producer, dq};
}

Tensor ConstantOf(const Graph& g, ValueId v) {
  OCTET_REQUIRE(v != kNoValue && g.value(v).is_constant(), "graph '{}': a batch norm parameter is not a constant",
                g.name());
  return g.value(v).constant;
}

// Multiplies slice k of `weight` along `axis` by factor[k].
Tensor ScaleSlices(const Tensor& weight, const std::vector<double>& factor, int axis) {
  Tensor out(DType::kF32, weight.shape());
  int64_t inner = 1;
  for (int i = axis + 1; i < weight.rank(); ++i) inner *= weight.dim(i);
  const auto* w = weight.data<float>();
  auto* o = out.mutable_data<float>();
  for (int64_t i = 0; i < weight.size(); ++i) {
    o[i] = static_cast<float>(w[i] * factor[static_cast<size_t>(i / inner % weight.dim(axis))]);
  }
  return out;
}

void FoldQuantizedWeight(Graph& g, const WeightPair& pair, const std::vector<double>& factor, int axis) {
  const ValueId w = g.node(pair.quantize).input(0);
  const ValueId s = g.node(pair.quantize).input(1);
  const Tensor& weight = ConstantOf(g, w);
  std::vector<float> scales = ConstantOf(g, s).ToVector<float>();
  if (scales.size() == 1) scales.assign(factor.size(), scales[0]);
  Tensor codes = quant::QuantizeWeight(weight, scales, axis);
  int64_t inner = 1;
  for (int i = axis + 1; i < weight.rank(); ++i) inner *= weight.dim(i);
  auto* q = codes.mutable_data<int8_t>();
  for (int64_t i = 0; i < codes.size(); ++i) {
    const double f = factor[static_cast<size_t>(i / inner % weight.dim(axis))];
    q[i] = static_cast<int8_t>(f < 0 ? -q[i] : (f == 0 ? 0 : q[i]));
  }
  for (size_t k = 0; k < scales.size(); ++k) {
    const auto folded = static_cast<float>(scales[k] * std::fabs(factor[k]));
    scales[k] = folded * quant::kMaxCode < quant::kMinAmax ? 0.0f : folded;
  }
  for (int64_t i = 0; i < codes.size(); ++i) {
    if (scales[static_cast<size_t>(i / inner % weight.dim(axis))] == 0.0f) q[i] = 0;
  }
  for (float& scale : scales) {
    if (scale == 0.0f) scale = quant::ScaleOfAmax(0.0f);
  }
  const auto channels = static_cast<int64_t>(scales.size());
  g.set_constant(w, quant::DequantizeWeight(codes, scales, axis));
  g.set_constant(s, Tensor::From<float>({channels}, scales));
  const ValueId zero = g.node(pair.quantize).input(2);
  if (zero != kNoValue) g.set_constant(zero, Tensor(DType::kS8, {channels}));
  for (const NodeId id : {pair.quantize, pair.dequantize}) g.mutable_node(id).attrs["axis"] = int64_t{axis};
}

void Fold(Graph& g, const FusionRegion& r) {
  const Node anchor = g.node(r.anchor);
  const Node bn = g.node(r.scale_shift);
  const std::vector<double> gamma = ConstantOf(g, bn.input(1)).ToVector<double>();
  const std::vector<double> beta = ConstantOf(g, bn.input(2)).ToVector<double>();
  const std::vector<double> mean = ConstantOf(g, bn.input(3)).ToVector<double>();
  const std::vector<double> var = ConstantOf(g, bn.input(4)).ToVector<double>();
  const double epsilon = bn.attr_float("epsilon", 1e-5f);
  const size_t channels = gamma.size();
  std::vector<double> factor(channels);
  for (size_t k = 0; k < channels; ++k) factor[k] = gamma[k] / std::sqrt(var[k] + epsilon);

  std::vector<double> bias(channels, 0.0);
  if (anchor.input(2) != kNoValue) bias = ConstantOf(g, anchor.input(2)).ToVector<double>();
  Tensor folded_bias(DType::kF32, {static_cast<int64_t>(channels)});
  for (size_t k = 0; k < channels; ++k) {
    folded_bias.mutable_data<float>()[k] = static_cast<float>(beta[k] + (bias[k] - mean[k]) * factor[k]);
  }

  const int axis = RuleOf(anchor).weight_axis(anchor);
  const WeightPair pair = FindWeightPair(g, r.anchor);
  if (pair.quantize != kNoNode) {
    FoldQuantizedWeight(g, pair, factor, axis);
  } else {
    const ValueId w = anchor.input(1);
    const ValueId folded = g.value(w).consumers.size() == 1 ? w : g.AddConstant(g.value(w).name, g.value(w).constant);
    g.set_constant(folded, ScaleSlices(ConstantOf(g, w), factor, axis));
    g.SetInput(r.anchor, 1, folded);
  }
  if (anchor.input(2) != kNoValue && g.value(anchor.input(2)).consumers.size() == 1) {
    g.set_constant(anchor.input(2), folded_bias);
  } else {
    g.SetInput(r.anchor, 2, g.AddConstant(anchor.name + ".bias", folded_bias));
  }
  // The convolution's output takes the batch norm's name: caches and later passes know that tensor by it.
  const ValueId conv_out = anchor.output();
  const ValueId bn_out = bn.output();
  g.ReplaceUses(bn_out, conv_out);
  g.SwapNames(bn_out, conv_out);
  g.RemoveNode(r.scale_shift);
}

bool CanFold(const Graph& g, const FusionRegion& r) {
  if (r.scale_shift == kNoNode) return false;
  const Node& anchor = g.node(r.anchor);
  if (anchor.op != "Conv" && anchor.op != "ConvTranspose") return false;
  if (anchor.op == "ConvTranspose" && anchor.attr_int("group", 1) != 1)
    return false;  // axis 1 holds one group's channels
  const WeightPair pair = FindWeightPair(g, r.anchor);
  if (pair.quantize == kNoNode) return g.value(anchor.input(1)).is_constant();
  const ValueId w = g.node(pair.quantize).input(0);
  return g.value(w).is_constant() && g.only_consumer(w) == pair.quantize &&
         g.only_consumer(g.node(pair.quantize).output()) == pair.dequantize &&
         g.only_consumer(g.node(pair.dequantize).output()) == r.anchor;
}

// A quantized weight that several layers share, each with a batch norm of its own (the heads of a detector), becomes
// one weight a layer.
void UnshareWeight(Graph& g, const FusionRegion& r) {
  const WeightPair pair = FindWeightPair(g, r.anchor);
  if (r.scale_shift == kNoNode || pair.quantize == kNoNode) return;
  const Node q = g.node(pair.quantize);
  const Node dq = g.node(pair.dequantize);
  const ValueId weight = q.input(0);
  if (!g.value(weight).is_constant() || g.value(dq.output()).consumers.size() < 2) return;
  const auto copy = [&](ValueId v) {
    return v == kNoValue ? kNoValue : g.AddConstant(g.value(v).name, g.value(v).constant);
  };
  const ValueId scale = copy(q.input(1));
  const ValueId zero = copy(q.input(2));
  const auto add = [&](const Node& like, ValueId input) {
    const ir::TensorType type = g.value(like.output()).type;
    const NodeId made = g.AddNode(like.op, like.name, {input, scale, zero}, {g.value(like.output()).name}, like.attrs);
    g.set_type(g.node(made).output(), type);
    return g.node(made).output();
  };
  g.SetInput(r.anchor, 1, add(dq, add(q, copy(weight))));
}

}  // namespace

Graph UpdateWeightScales(Graph g) {
  for (const NodeId id : g.Order()) {
    const Node& node = g.node(id);
    if (node.op != "QuantizeLinear" || node.attr_string("observer", "") != "max_abs") continue;
    const Tensor& w = ConstantOf(g, node.input(0));
    std::vector<float> scales = quant::AmaxPerChannel(w, static_cast<int>(node.attr_int("axis", 1)));
    for (float& s : scales) s = quant::ScaleOfAmax(s);
    g.set_constant(node.input(1), Tensor::From<float>({static_cast<int64_t>(scales.size())}, scales));
  }
  return g;
}

Graph FoldBatchNorm(Graph graph) {
  Graph g = UpdateWeightScales(std::move(graph));
  const FusionRegions found = FindFusionRegions(g);
  for (const FusionRegion& r : found.regions) UnshareWeight(g, r);
  for (const FusionRegion& r : found.regions) {
    if (CanFold(g, r)) Fold(g, r);
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
