#include "passes/fusion_regions.h"

#include <algorithm>

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::RegionRole;
using ir::ValueId;

const ir::QuantRule& RuleOf(const Node& node) {
  return ir::GetOp(node).quant;
}

NodeId MatchSwish(const Graph& graph, ValueId value) {
  const std::vector<NodeId>& users = graph.value(value).consumers;
  if (users.size() != 2 || graph.is_output(value)) return kNoNode;
  for (int i = 0; i < 2; ++i) {
    const Node& gate = graph.node(users[i]);
    const Node& product = graph.node(users[1 - i]);
    if (gate.op != "Sigmoid" || product.op != "Mul") continue;
    if (graph.only_consumer(gate.output()) == users[1 - i]) return users[1 - i];
  }
  return kNoNode;
}

namespace {

bool SameShape(const Graph& g, ValueId a, ValueId b) {
  return g.value(a).type.shape == g.value(b).type.shape;
}

ValueId OtherInput(const Node& node, ValueId value) {
  return node.input(0) == value ? node.input(1) : node.input(0);
}

// The region from the anchor up to its batch norm.
FusionRegion StartRegion(const Graph& g, NodeId anchor) {
  FusionRegion r;
  r.anchor = anchor;
  r.nodes = {anchor};
  r.output = g.node(anchor).output();
  const NodeId next = g.only_consumer(r.output);
  if (next != kNoNode && RuleOf(g.node(next)).region == RegionRole::kScaleShift && g.node(next).input(0) == r.output) {
    r.scale_shift = next;
    r.nodes.push_back(next);
    r.output = g.node(next).output();
  }
  return r;
}

bool CanJoin(const Graph& g, const FusionRegion& r, NodeId node) {
  if (node == kNoNode || RuleOf(g.node(node)).region != RegionRole::kJoin) return false;
  const ValueId other = OtherInput(g.node(node), r.output);
  return other != kNoValue && !g.value(other).is_constant() && SameShape(g, other, r.output);
}

void TakeActivation(const Graph& g, FusionRegion& r) {
  const NodeId swish = MatchSwish(g, r.output);
  if (swish != kNoNode) {
    const ValueId gate = OtherInput(g.node(swish), r.output);
    r.nodes.push_back(g.value(gate).producer);
    r.nodes.push_back(swish);
    r.activation = swish;
    r.output = g.node(swish).output();
    return;
  }
  const NodeId next = g.only_consumer(r.output);
  if (next == kNoNode) return;
  const Node& node = g.node(next);
  if (RuleOf(node).region != RegionRole::kActivation || node.input(0) != r.output) return;
  r.activation = next;
  r.nodes.push_back(next);
  r.output = node.output();
}

}  // namespace

FusionRegions FindFusionRegions(const Graph& g) {
  FusionRegions found;
  for (const NodeId id : g.Order()) {
    if (RuleOf(g.node(id)).region == RegionRole::kAnchor) found.regions.push_back(StartRegion(g, id));
  }
  std::unordered_map<NodeId, size_t> joins;  // join -> the last region that reaches it
  for (size_t i = 0; i < found.regions.size(); ++i) {
    const NodeId next = g.only_consumer(found.regions[i].output);
    if (CanJoin(g, found.regions[i], next)) joins[next] = i;
  }
  for (const auto& [join, i] : joins) {
    FusionRegion& r = found.regions[i];
    r.join = join;
    r.residual = OtherInput(g.node(join), r.output);
    r.nodes.push_back(join);
    r.output = g.node(join).output();
  }
  for (size_t i = 0; i < found.regions.size(); ++i) {
    TakeActivation(g, found.regions[i]);
    for (const NodeId id : found.regions[i].nodes) found.region_of[id] = i;
  }
  return found;
}

std::set<NodeId> FindOutputLayers(const Graph& g) {
  std::set<NodeId> layers;
  std::set<ValueId> seen;
  std::vector<ValueId> todo = g.outputs();
  while (!todo.empty()) {
    const ValueId v = todo.back();
    todo.pop_back();
    const NodeId p = v == kNoValue ? kNoNode : g.value(v).producer;
    if (p == kNoNode || !seen.insert(v).second) continue;
    if (RuleOf(g.node(p)).region == RegionRole::kAnchor) {
      layers.insert(p);
    } else {
      for (const ValueId in : g.node(p).inputs) todo.push_back(in);
    }
  }
  return layers;
}

}  // namespace octet::passes
