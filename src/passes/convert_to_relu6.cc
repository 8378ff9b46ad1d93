#include "passes/convert_to_relu6.h"

#include "passes/fusion_regions.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::NodeId;
using ir::ValueId;

namespace {

// Nodes from which a graph output is reached without passing a weighted layer.
std::set<NodeId> OutputSide(const Graph& g) {
  std::set<NodeId> nodes;
  std::vector<ValueId> todo = g.outputs();
  while (!todo.empty()) {
    const ValueId v = todo.back();
    todo.pop_back();
    const NodeId p = v == ir::kNoValue ? kNoNode : g.value(v).producer;
    if (p == kNoNode || RuleOf(g.node(p)).region == ir::RegionRole::kAnchor || !nodes.insert(p).second) continue;
    for (const ValueId in : g.node(p).inputs) todo.push_back(in);
  }
  return nodes;
}

// The node that makes `output` becomes Clip(input, 0, 6) under the same value name.
void PutRelu6(Graph& g, NodeId old, ValueId input) {
  const ValueId output = g.node(old).output();
  const std::string name = g.node(old).name;
  const std::string value_name = g.value(output).name;
  const ir::TensorType type = g.value(output).type;
  const ValueId low = g.AddConstant(value_name + ".min", Tensor::Scalar(0.0f));
  const ValueId high = g.AddConstant(value_name + ".max", Tensor::Scalar(6.0f));
  const NodeId clip = g.AddNode("Clip", name, {input, low, high}, {value_name});
  const ValueId replacement = g.node(clip).output();
  g.set_type(replacement, type);
  g.ReplaceUses(output, replacement);
  g.SwapNames(output, replacement);
  g.RemoveNode(old);
  g.mutable_node(clip).name = name;
}

}  // namespace

Graph ConvertToRelu6(Graph g) {
  const std::set<NodeId> output_side = OutputSide(g);
  std::set<NodeId> replaced;
  for (const NodeId id : g.Order()) {
    if (output_side.count(id) != 0 || replaced.count(id) != 0) continue;
    const ir::Node& node = g.node(id);
    if (RuleOf(node).becomes_relu6) {
      PutRelu6(g, id, node.input(0));
      continue;
    }
    const NodeId swish = MatchSwish(g, node.output());
    if (swish == kNoNode || output_side.count(swish) != 0) continue;
    PutRelu6(g, swish, node.output());
    replaced.insert(swish);
  }
  g.RemoveUnused();
  return g;
}

int64_t CountNewFunctions(const Graph& g) {
  const std::set<NodeId> output_side = OutputSide(g);
  int64_t count = 0;
  for (const NodeId id : g.Order()) {
    if (output_side.count(id) != 0) continue;
    const ir::Node& node = g.node(id);
    if (RuleOf(node).becomes_relu6) {
      count += node.op != "Relu" && node.op != "Clip";
      continue;
    }
    const NodeId swish = MatchSwish(g, node.output());
    count += swish != kNoNode && output_side.count(swish) == 0;
  }
  return count;
}

}  // namespace octet::passes
