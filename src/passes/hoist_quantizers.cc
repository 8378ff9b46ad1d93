#include "passes/hoist_quantizers.h"

#include "passes/fusion_regions.h"
#include "passes/qdq_pair.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// The scale of a scalar activation quantizer; 0: not one.
float ScalarScale(const Graph& g, const Node& q) {
  if (g.value(q.input(0)).is_constant()) return 0;
  const ir::Value& scale = g.value(q.input(1));
  if (!scale.is_constant() || scale.constant.size() != 1 || scale.constant.dtype() != DType::kF32) return 0;
  const ValueId zero = q.input(2);
  if (zero == kNoValue || !g.value(zero).is_constant() || g.value(zero).constant.dtype() != DType::kS8) return 0;
  return g.value(zero).constant.ToVector<int32_t>()[0] == 0 ? scale.constant.data<float>()[0] : 0;
}

}  // namespace

Graph HoistQuantizers(Graph g) {
  std::vector<NodeId> todo;
  for (const NodeId id : g.Order()) {
    if (g.node(id).op == "QuantizeLinear") todo.push_back(id);
  }
  while (!todo.empty()) {
    const Node q = g.node(todo.back());
    const NodeId quantize = todo.back();
    todo.pop_back();
    const float scale = ScalarScale(g, q);
    const NodeId p = g.value(q.input(0)).producer;
    if (scale <= 0 || p == kNoNode || g.only_consumer(q.input(0)) != quantize || g.node(p).outputs.size() != 1)
      continue;
    const bool concat = g.node(p).op == "Concat";
    if (!concat && !RuleOf(g.node(p)).Commutes(g.node(p))) continue;
    const size_t count = concat ? g.node(p).inputs.size() : 1;
    for (size_t i = 0; i < count; ++i) {
      const ValueId x = g.node(p).input(i);
      if (x == kNoValue || g.value(x).is_constant() || g.value(x).type.dtype != DType::kF32) continue;
      const Node* dq = g.producer(x);
      if (dq != nullptr && dq->op == "DequantizeLinear") {
        // Codes already. Before a Concat they must have its scale; else the smaller result is requantized.
        const Node* source = g.producer(dq->input(0));
        if (!concat || (source != nullptr && source->op == "QuantizeLinear" && ScalarScale(g, *source) == scale))
          continue;
      }
      const QdqPair pair = AddActivationPair(g, x, scale, "");
      g.SetInput(p, i, pair.real);
      todo.push_back(pair.quantize);
    }
  }
  return g;
}

}  // namespace octet::passes
