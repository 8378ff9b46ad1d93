#include "passes/simplify_imported.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "ir/op_def.h"

namespace octet::passes {
namespace {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using Ints = std::vector<int64_t>;

bool IsOp(const Node* node, const char* op) {
  return node != nullptr && node->op == op;
}

std::optional<float> ScalarOf(const Graph& g, ValueId v) {
  if (v == kNoValue || !g.value(v).is_constant() || g.value(v).constant.size() != 1) return {};
  const DType type = g.value(v).constant.dtype();
  if (type != DType::kF32 && type != DType::kF64) return {};
  return g.value(v).constant.ToVector<float>()[0];
}

bool Near(std::optional<float> value, double wanted) {
  return value && std::abs(*value - wanted) <= 1e-4 * std::max(1.0, std::abs(wanted));
}

// For a commutative node: the input that is the given scalar goes, the other comes back.
ValueId OtherThanScalar(const Graph& g, const Node& node, double scalar) {
  if (Near(ScalarOf(g, node.input(1)), scalar)) return node.input(0);
  if (Near(ScalarOf(g, node.input(0)), scalar)) return node.input(1);
  return kNoValue;
}

// A new node makes what `old` made, under its name; old and what only fed it disappear.
void Replace(Graph& g, NodeId old, const std::string& op, std::vector<ValueId> inputs, ir::Attrs attrs = {}) {
  const ValueId output = g.node(old).output();
  const std::string name = g.node(old).name;
  const ir::TensorType type = g.value(output).type;
  const NodeId made = g.AddNode(op, name, std::move(inputs), {g.value(output).name}, std::move(attrs));
  const ValueId replacement = g.node(made).output();
  g.set_type(replacement, type);
  g.ReplaceUses(output, replacement);
  g.SwapNames(output, replacement);
  g.RemoveNode(old);
  g.mutable_node(made).name = name;
}

// ---- activations

// clip(x + 3, 0, 6): returns x.
ValueId ShiftedRelu6(const Graph& g, ValueId v) {
  const Node* clip = g.producer(v);
  if (!IsOp(clip, "Clip") || !Near(ScalarOf(g, clip->input(1)), 0) || !Near(ScalarOf(g, clip->input(2)), 6))
    return kNoValue;
  const Node* add = g.producer(clip->input(0));
  return IsOp(add, "Add") ? OtherThanScalar(g, *add, 3) : kNoValue;
}

// v / 6 or v * (1/6): returns v.
ValueId SixTimes(const Graph& g, const Node& node) {
  if (node.op == "Div") return Near(ScalarOf(g, node.input(1)), 6) ? node.input(0) : kNoValue;
  return node.op == "Mul" ? OtherThanScalar(g, node, 1.0 / 6) : kNoValue;
}

bool FindHardSigmoid(Graph& g, NodeId id) {
  const ValueId sixfold = SixTimes(g, g.node(id));
  const ValueId x = sixfold == kNoValue ? kNoValue : ShiftedRelu6(g, sixfold);
  if (x == kNoValue) return false;
  Replace(g, id, "HardSigmoid", {x}, {{"alpha", 1.0f / 6.0f}, {"beta", 0.5f}});
  return true;
}

// x * HardSigmoid(x), or (x * clip(x + 3, 0, 6)) / 6
bool FindHardSwish(Graph& g, NodeId id) {
  const Node& node = g.node(id);
  for (size_t i = 0; i < 2 && node.op == "Mul"; ++i) {
    const Node* gate = g.producer(node.input(i));
    if (IsOp(gate, "HardSigmoid") && gate->input(0) == node.input(1 - i) &&
        Near(gate->attr_float("alpha", 0.2f), 1.0 / 6) && Near(gate->attr_float("beta", 0.5f), 0.5)) {
      Replace(g, id, "HardSwish", {gate->input(0)});
      return true;
    }
  }
  const ValueId sixfold = SixTimes(g, node);
  const Node* product = sixfold == kNoValue ? nullptr : g.producer(sixfold);
  if (!IsOp(product, "Mul")) return false;
  for (size_t i = 0; i < 2; ++i) {
    const ValueId x = ShiftedRelu6(g, product->input(i));
    if (x == kNoValue || x != product->input(1 - i)) continue;
    Replace(g, id, "HardSwish", {x});
    return true;
  }
  return false;
}

// 1 + erf(x / sqrt 2): returns x.
ValueId ShiftedErf(const Graph& g, ValueId v) {
  const Node* add = g.producer(v);
  if (!IsOp(add, "Add")) return kNoValue;
  const ValueId e = OtherThanScalar(g, *add, 1);
  const Node* erf = e == kNoValue ? nullptr : g.producer(e);
  if (!IsOp(erf, "Erf")) return kNoValue;
  const Node* scaled = g.producer(erf->input(0));
  if (IsOp(scaled, "Div")) return Near(ScalarOf(g, scaled->input(1)), std::sqrt(2.0)) ? scaled->input(0) : kNoValue;
  return IsOp(scaled, "Mul") ? OtherThanScalar(g, *scaled, std::sqrt(0.5)) : kNoValue;
}

// The factors x, 1 + erf(x / sqrt 2) and 1/2 in any order.
bool FindGelu(Graph& g, NodeId id) {
  if (g.node(id).op != "Mul") return false;
  std::vector<ValueId> factors = {g.node(id).input(0), g.node(id).input(1)};
  for (size_t i = 0; i < 2; ++i) {
    const Node* inner = g.producer(factors[i]);
    if (!IsOp(inner, "Mul")) continue;
    std::vector<ValueId> three = {factors[1 - i], inner->input(0), inner->input(1)};
    for (const ValueId gate : three) {
      const ValueId x = ShiftedErf(g, gate);
      if (x == kNoValue) continue;
      std::vector<ValueId> rest = three;
      rest.erase(std::find(rest.begin(), rest.end(), gate));
      for (size_t k = 0; k < 2; ++k) {
        if (rest[k] != x || !Near(ScalarOf(g, rest[1 - k]), 0.5)) continue;
        Replace(g, id, "Gelu", {x});
        return true;
      }
    }
  }
  return false;
}

// ---- layers

// The constant as one number for each of `channels` along axis 1 of a tensor of that rank, if it is such.
std::optional<Tensor> PerChannel(const Graph& g, ValueId v, size_t rank, int64_t channels) {
  if (v == kNoValue || !g.value(v).is_constant() || g.value(v).constant.dtype() != DType::kF32) return {};
  const Tensor& t = g.value(v).constant;
  Shape full(rank > t.shape().size() ? rank - t.shape().size() : 0, 1);
  full.insert(full.end(), t.shape().begin(), t.shape().end());
  if (full.size() != rank || t.size() != channels || full[1] != channels) return {};
  return t.Reshaped({channels});
}

bool FindBias(Graph& g, NodeId id) {
  const Node& add = g.node(id);
  if (add.op != "Add") return false;
  for (size_t i = 0; i < 2; ++i) {
    const ValueId y = add.input(i);
    const Node* layer = g.producer(y);
    if (layer == nullptr || layer->inputs.size() != 2 || g.only_consumer(y) != id) continue;
    const Shape& shape = g.value(y).type.shape;
    const bool matrix = layer->op == "MatMul" && shape.size() == 2;
    if (!matrix && layer->op != "Conv" && layer->op != "ConvTranspose") continue;
    if (shape.size() < 2 || shape[1] < 0 || !g.value(layer->input(1)).is_constant()) continue;
    const std::optional<Tensor> bias = PerChannel(g, add.input(1 - i), shape.size(), shape[1]);
    if (!bias) continue;
    const ValueId constant = g.AddConstant(g.value(add.input(1 - i)).name + ".bias", *bias);
    const ir::Attrs attrs = layer->attrs;
    const std::string op = matrix ? "Gemm" : layer->op;
    const std::string name = layer->name;
    const ValueId x = layer->input(0), weight = layer->input(1);
    const NodeId old = g.value(y).producer;
    const std::string value = g.value(add.output()).name;
    Replace(g, id, op, {x, weight, constant}, attrs);
    g.RemoveNode(old);
    g.mutable_node(g.value(g.Find(value)).producer).name = name;
    return true;
  }
  return false;
}

bool FindPad(Graph& g, NodeId id) {
  const Node& conv = g.node(id);
  if (conv.op != "Conv" || conv.attr_string("auto_pad", "NOTSET") != "NOTSET") return false;
  const Node* pad = g.producer(conv.input(0));
  if (!IsOp(pad, "Pad") || g.only_consumer(conv.input(0)) != id || pad->attr_string("mode", "constant") != "constant")
    return false;
  if (pad->input(2) != kNoValue && !Near(ScalarOf(g, pad->input(2)), 0)) return false;
  const size_t rank = g.value(conv.input(0)).type.shape.size();
  if (rank < 3 || pad->input(3) != kNoValue || !g.value(pad->input(1)).is_constant()) return false;
  const Ints more = g.value(pad->input(1)).constant.ToVector<int64_t>();
  if (more.size() != 2 * rank || more[0] != 0 || more[1] != 0 || more[rank] != 0 || more[rank + 1] != 0) return false;
  const size_t spatial = rank - 2;
  Ints pads = conv.attr_ints("pads", Ints(2 * spatial, 0));
  for (size_t i = 0; i < spatial; ++i) {
    pads[i] += more[2 + i];
    pads[spatial + i] += more[rank + 2 + i];
  }
  if (std::any_of(pads.begin(), pads.end(), [](int64_t p) { return p < 0; })) return false;
  const NodeId old = g.value(conv.input(0)).producer;
  g.SetInput(id, 0, pad->input(0));
  g.mutable_node(id).attrs["pads"] = pads;
  g.RemoveNode(old);
  return true;
}

bool FindGlobalPool(Graph& g, NodeId id) {
  const Node& node = g.node(id);
  if (node.op != "ReduceMean") return false;
  const auto rank = static_cast<int64_t>(g.value(node.input(0)).type.shape.size());
  Ints axes = node.attr_ints("axes", {});
  if (axes.empty() && node.input(1) != kNoValue && g.value(node.input(1)).is_constant()) {
    axes = g.value(node.input(1)).constant.ToVector<int64_t>();
  }
  for (int64_t& a : axes) a = a < 0 ? a + rank : a;
  std::sort(axes.begin(), axes.end());
  if (rank != 4 || axes != Ints{2, 3}) return false;
  const ValueId x = node.input(0);
  if (node.attr_int("keepdims", 1) != 0) {
    Replace(g, id, "GlobalAveragePool", {x});
    return true;
  }
  const std::string name = g.value(node.output()).name + ".pool";
  const NodeId pool = g.AddNode("GlobalAveragePool", g.UniqueNodeName(name), {x}, {name});
  const Shape& shape = g.value(x).type.shape;
  g.set_type(g.node(pool).output(), {DType::kF32, {shape[0], shape[1], 1, 1}});
  Replace(g, id, "Flatten", {g.node(pool).output()}, {{"axis", int64_t{1}}});
  return true;
}

// ---- parameters

void SeparateParameters(Graph& g) {
  std::set<ValueId> taken;
  for (const NodeId id : g.Order()) {
    const Node node = g.node(id);
    const ir::OpDef& op = ir::GetOp(node);
    bool tied = false;  // the kernel is shared: a layer that stands at several places
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId in = node.inputs[i];
      if (in == kNoValue || !g.value(in).is_constant() || op.role(i) == ir::InputRole::kConst) continue;
      const bool first = taken.insert(in).second;
      if (op.role(i) == ir::InputRole::kWeight) tied = !first;
      const bool own = op.role(i) == ir::InputRole::kParam || op.role(i) == ir::InputRole::kBuffer;
      if (first || !own || tied) continue;
      static const char* const kBatchNorm[] = {"", ".scale", ".bias", ".mean", ".var"};
      const char* suffix = node.op == "BatchNormalization" ? kBatchNorm[i] : ".bias";
      const ValueId copy = g.AddConstant(node.name + suffix, g.value(in).constant);
      taken.insert(copy);
      g.SetInput(id, i, copy);
    }
  }
}

}  // namespace

Graph SimplifyImported(Graph g) {
  static constexpr bool (*kRewrites[])(Graph&, NodeId) = {FindBias,        FindPad,       FindGlobalPool,
                                                          FindHardSigmoid, FindHardSwish, FindGelu};
  for (const auto rewrite : kRewrites) {
    for (const NodeId id : g.Order()) rewrite(g, id);
    g.RemoveUnused();
  }
  SeparateParameters(g);
  g.RemoveUnused();
  ir::InferTypes(g);
  return g;
}

}  // namespace octet::passes
