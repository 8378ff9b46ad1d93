#include "passes/qdq_variants.h"

#include <algorithm>

#include "base/error.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

constexpr int kOffset = 128;

Tensor Filled(DType dtype, const Shape& shape, int value) {
  Tensor t(dtype, shape);
  auto* bytes = static_cast<uint8_t*>(t.mutable_raw());
  std::fill(bytes, bytes + t.size(), static_cast<uint8_t>(value));
  return t;
}

// u8 and 128 everywhere.
bool IsUnsignedMiddle(const Graph& g, ValueId zero) {
  if (zero == kNoValue || !g.value(zero).is_constant() || g.value(zero).constant.dtype() != DType::kU8) return false;
  const std::vector<int32_t> values = g.value(zero).constant.ToVector<int32_t>();
  return std::all_of(values.begin(), values.end(), [](int32_t v) { return v == kOffset; });
}

// Every code less (or more) 128 under the other type: the top bit flips.
Tensor Flipped(const Tensor& codes, DType dtype) {
  Tensor t(dtype, codes.shape());
  const auto* from = static_cast<const uint8_t*>(codes.raw());
  auto* to = static_cast<uint8_t*>(t.mutable_raw());
  for (int64_t i = 0; i < codes.size(); ++i) to[i] = static_cast<uint8_t>(from[i] ^ 0x80);
  return t;
}

// The pair's nodes get a zero point of their own, so that nobody else's changes.
void SetZeroPoint(Graph& g, NodeId id, DType dtype, int value) {
  const Node& node = g.node(id);
  const ir::Value& scale = g.value(node.input(1));
  const std::string name = g.value(node.input(0)).name + ".zero_point";
  g.SetInput(id, 2, g.AddConstant(name, Filled(dtype, scale.type.shape, value)));
}

}  // namespace

Graph StoreWeightCodes(Graph g) {
  for (const NodeId id : g.Order()) {
    const Node node = g.node(id);
    if (node.op != "QuantizeLinear" || !g.value(node.input(0)).is_constant()) continue;
    const std::vector<float> scales = g.value(node.input(1)).constant.ToVector<float>();
    const auto axis = scales.size() == 1 ? 0 : static_cast<int>(node.attr_int("axis", 1));
    const ir::Value& weight = g.value(node.input(0));
    const ValueId codes = g.AddConstant(weight.name + "_int8", quant::QuantizeWeight(weight.constant, scales, axis));
    g.ReplaceUses(node.output(), codes);
    g.RemoveNode(id);
  }
  g.RemoveUnused();
  return g;
}

Graph UseUnsignedActivations(Graph g) {
  for (const NodeId id : g.Order()) {
    const Node& node = g.node(id);
    if (node.op != "QuantizeLinear" || g.value(node.input(0)).is_constant()) continue;
    const ValueId codes = node.output();
    const std::vector<NodeId> readers = g.value(codes).consumers;
    const bool pairs =
        !g.is_output(codes) && g.value(codes).type.dtype == DType::kS8 &&
        std::all_of(readers.begin(), readers.end(), [&](NodeId r) { return g.node(r).op == "DequantizeLinear"; });
    if (!pairs) continue;
    SetZeroPoint(g, id, DType::kU8, kOffset);
    g.set_type(codes, {DType::kU8, g.value(codes).type.shape});
    for (const NodeId reader : readers) SetZeroPoint(g, reader, DType::kU8, kOffset);
  }
  g.RemoveUnused();
  return g;
}

Graph UseSignedCodes(Graph g) {
  for (const NodeId id : g.Order()) {
    const Node& node = g.node(id);
    if (node.op != "DequantizeLinear" || !IsUnsignedMiddle(g, node.input(2))) continue;
    const ir::Value codes = g.value(node.input(0));  // a copy: the graph grows below
    if (codes.is_constant() && codes.constant.dtype() == DType::kU8) {
      const ValueId flipped = g.AddConstant(codes.name, Flipped(codes.constant, DType::kS8));
      g.SetInput(id, 0, flipped);
      SetZeroPoint(g, id, DType::kS8, 0);
      continue;
    }
    const NodeId quantize = codes.producer;
    if (quantize == ir::kNoNode || g.node(quantize).op != "QuantizeLinear") continue;
    if (codes.type.dtype == DType::kU8) {
      if (!IsUnsignedMiddle(g, g.node(quantize).input(2)) || g.is_output(node.input(0))) continue;
      const std::vector<NodeId> readers = codes.consumers;
      const bool alike = std::all_of(readers.begin(), readers.end(), [&](NodeId r) {
        return g.node(r).op == "DequantizeLinear" && IsUnsignedMiddle(g, g.node(r).input(2));
      });
      if (!alike) continue;
      SetZeroPoint(g, quantize, DType::kS8, 0);
      g.set_type(g.node(quantize).output(), {DType::kS8, codes.type.shape});
      for (const NodeId reader : readers) SetZeroPoint(g, reader, DType::kS8, 0);
    }
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
