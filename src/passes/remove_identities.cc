#include "passes/remove_identities.h"

namespace octet::passes {

ir::Graph RemoveIdentities(ir::Graph g) {
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (node.op != "Identity" && node.op != "Dropout") continue;
    const ir::ValueId from = node.output();
    const ir::ValueId to = node.input(0);
    if (g.is_output(from) && (g.is_input(to) || g.value(to).is_constant())) continue;  // an output needs a node
    const bool named = g.is_output(from) && !g.is_output(to);
    g.ReplaceUses(from, to);
    if (named) g.SwapNames(from, to);  // outputs keep their name
    if (node.outputs.size() > 1 && node.outputs[1] != ir::kNoValue && !g.value(node.outputs[1]).consumers.empty())
      continue;
    g.RemoveNode(id);
  }
  g.RemoveUnused();
  return g;
}

ir::Graph RemoveDropConnect(ir::Graph g) {
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (node.op != "Dropout" || node.attr_int("per_sample", 0) == 0 || g.is_output(node.output())) continue;
    g.ReplaceUses(node.output(), node.input(0));
    g.RemoveNode(id);
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
