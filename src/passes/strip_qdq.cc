#include "passes/strip_qdq.h"

#include <unordered_map>

#include "passes/fusion_regions.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

Scales CollectScales(const Graph& g) {
  Scales scales;
  std::unordered_map<ValueId, float> known;  // by the value that carries the range
  for (const NodeId id : g.Order()) {
    const Node& node = g.node(id);
    if (node.op == "QuantizeLinear") {
      const ValueId x = node.input(0);
      if (g.value(x).is_constant()) continue;
      const float scale = g.value(node.input(1)).constant.data<float>()[0];
      if (known.emplace(x, scale).second) scales.emplace_back(g.value(x).name, scale);
      known.emplace(node.output(), scale);
    } else if (node.op == "DequantizeLinear") {
      const auto it = known.find(node.input(0));
      if (it != known.end()) known.emplace(node.output(), it->second);
    } else if (RuleOf(node).Commutes(node)) {
      const auto it = known.find(node.input(0));
      if (it == known.end()) continue;
      const float scale = it->second;
      for (const ValueId out : node.outputs) {
        if (out != kNoValue && known.emplace(out, scale).second) scales.emplace_back(g.value(out).name, scale);
      }
    }
  }
  return scales;
}

Graph StripQdq(Graph g) {
  for (const NodeId id : g.Order()) {
    if (g.node(id).op != "DequantizeLinear") continue;
    const Node dq = g.node(id);
    const Node* q = g.producer(dq.input(0));
    if (q == nullptr || q->op != "QuantizeLinear") continue;
    const ValueId x = q->input(0);
    if (g.value(x).is_constant()) {
      const std::vector<float> scales = g.value(q->input(1)).constant.ToVector<float>();
      const auto axis = scales.size() == 1 ? 0 : static_cast<int>(q->attr_int("axis", 1));
      g.set_constant(x,
                     quant::DequantizeWeight(quant::QuantizeWeight(g.value(x).constant, scales, axis), scales, axis));
    }
    g.ReplaceUses(dq.output(), x);
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
