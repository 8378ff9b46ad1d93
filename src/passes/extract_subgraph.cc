#include "passes/extract_subgraph.h"

#include <set>
#include <unordered_map>

#include "base/error.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

Graph ExtractSubgraph(const Graph& graph, const std::vector<NodeId>& nodes, const std::vector<ValueId>& outputs) {
  const std::set<NodeId> wanted(nodes.begin(), nodes.end());
  Graph part(graph.name());
  std::unordered_map<ValueId, ValueId> copy;
  for (const NodeId id : graph.Order()) {
    if (wanted.count(id) == 0) continue;
    const Node& node = graph.node(id);
    std::vector<ValueId> inputs;
    for (const ValueId in : node.inputs) {
      if (in != kNoValue && copy.count(in) == 0) {
        const ir::Value& value = graph.value(in);
        copy[in] =
            value.is_constant() ? part.AddConstant(value.name, value.constant) : part.AddInput(value.name, value.type);
      }
      inputs.push_back(in == kNoValue ? kNoValue : copy.at(in));
    }
    std::vector<std::string> names;
    for (const ValueId out : node.outputs) names.push_back(out == kNoValue ? "" : graph.value(out).name);
    const NodeId made = part.AddNode(node.op, node.name, std::move(inputs), names, node.attrs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      copy[node.outputs[i]] = part.node(made).outputs[i];
      part.set_type(part.node(made).outputs[i], graph.value(node.outputs[i]).type);
    }
  }
  for (const ValueId out : outputs) {
    OCTET_CHECK(copy.count(out) != 0, "the part does not make '{}'", graph.value(out).name);
    part.MarkOutput(copy.at(out));
  }
  return part;
}

}  // namespace octet::passes
