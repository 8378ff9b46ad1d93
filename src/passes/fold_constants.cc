#include "passes/fold_constants.h"

#include <algorithm>

#include "ir/op_def.h"

namespace octet::passes {
namespace {

bool CanFold(const ir::Graph& g, const ir::Node& node) {
  if (node.op == "QuantizeLinear" || node.op == "DequantizeLinear" || node.inputs.empty()) return false;
  const bool constant = std::all_of(node.inputs.begin(), node.inputs.end(),
                                    [&](ir::ValueId in) { return in == ir::kNoValue || g.value(in).is_constant(); });
  // An output needs a node that makes it.
  return constant && std::none_of(node.outputs.begin(), node.outputs.end(),
                                  [&](ir::ValueId out) { return out != ir::kNoValue && g.is_output(out); });
}

}  // namespace

ir::Graph FoldConstants(ir::Graph g) {
  for (const ir::NodeId id : g.Order()) {
    const ir::Node node = g.node(id);
    if (!CanFold(g, node)) continue;
    std::vector<Tensor> inputs;
    for (const ir::ValueId in : node.inputs) inputs.push_back(in == ir::kNoValue ? Tensor() : g.value(in).constant);
    const std::vector<Tensor> outputs = ir::GetOp(node).reference(node, inputs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == ir::kNoValue) continue;
      const ir::ValueId folded = g.AddConstant(g.value(node.outputs[i]).name, outputs.at(i));
      g.ReplaceUses(node.outputs[i], folded);
      g.SwapNames(node.outputs[i], folded);
    }
    g.RemoveNode(id);
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
