#include "train/step_plan.h"

#include <cmath>
#include <map>

namespace octet::train {
namespace {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// A symmetric s8 QuantizeLinear whose codes are read by nothing but DequantizeLinear nodes with the same scale.
bool IsPair(const Graph& graph, const Node& node) {
  if (node.op != "QuantizeLinear" || graph.is_output(node.output())) return false;
  const ValueId zero = node.input(2);
  if (zero == kNoValue || !graph.value(zero).is_constant() || graph.value(zero).type.dtype != DType::kS8) return false;
  for (const double z : graph.value(zero).constant.ToVector<double>()) {
    if (z != 0) return false;
  }
  const std::vector<NodeId>& readers = graph.value(node.output()).consumers;
  for (const NodeId reader : readers) {
    const Node& dq = graph.node(reader);
    if (dq.op != "DequantizeLinear" || dq.input(1) != node.input(1)) return false;
    if (dq.attr_int("axis", 1) != node.attr_int("axis", 1)) return false;
  }
  return !readers.empty();
}

std::vector<ValueId> PairOutputs(const Graph& graph, const Node& quantize) {
  std::vector<ValueId> outputs;
  std::set<NodeId> seen;
  for (const NodeId reader : graph.value(quantize.output()).consumers) {
    if (seen.insert(reader).second) outputs.push_back(graph.node(reader).output());
  }
  return outputs;
}

struct Chain {
  Step step;
  std::vector<NodeId> nodes;  // in order; the step stands where the last one does
  std::vector<ValueId> hidden;
};

Chain FindChain(const Graph& graph, NodeId bn, const std::set<NodeId>& taken) {
  const Node& node = graph.node(bn);
  Chain chain;
  chain.step.kind = Step::kNormalization;
  chain.step.node = bn;
  chain.step.low = -INFINITY;
  chain.step.high = INFINITY;
  chain.nodes = {bn};
  ValueId end = node.output();
  const auto absorb = [&](NodeId next) {
    chain.nodes.push_back(next);
    chain.hidden.push_back(end);
    end = graph.node(next).output();
  };
  NodeId next = graph.only_consumer(end);
  if (next != kNoNode && graph.node(next).op == "Add" && taken.count(next) == 0) {
    const Node& add = graph.node(next);
    const ValueId other = add.input(0) == end ? add.input(1) : add.input(0);
    if (other != end && !graph.value(other).is_constant() && graph.value(other).type == graph.value(end).type) {
      chain.step.residual = other;
      absorb(next);
      next = graph.only_consumer(end);
    }
  }
  if (next != kNoNode && ReadActivation(graph, graph.node(next), &chain.step.low, &chain.step.high) &&
      graph.node(next).input(0) == end) {
    absorb(next);
    next = graph.only_consumer(end);
  } else {
    chain.step.low = -INFINITY;
    chain.step.high = INFINITY;
  }
  chain.step.outputs = {end};
  if (next != kNoNode && IsPair(graph, graph.node(next)) && graph.node(next).input(0) == end &&
      graph.value(graph.node(next).input(1)).is_constant() &&
      graph.value(graph.node(next).input(1)).constant.size() == 1) {
    absorb(next);
    chain.step.quantize = next;
    chain.hidden.push_back(end);  // the codes
    chain.step.outputs = PairOutputs(graph, graph.node(next));
  }
  chain.step.inputs = node.inputs;
  if (chain.step.residual != kNoValue) chain.step.inputs.push_back(chain.step.residual);
  return chain;
}

// The value x of a Mul that computes x * Sigmoid(x), where nothing else reads the Sigmoid; or nothing.
ValueId SwishInput(const Graph& graph, const Node& mul) {
  if (mul.op != "Mul") return kNoValue;
  for (size_t i = 0; i < 2; ++i) {
    const Node* sigmoid = graph.producer(mul.input(i));
    if (sigmoid == nullptr || sigmoid->op != "Sigmoid" || graph.only_consumer(mul.input(i)) == kNoNode) continue;
    if (sigmoid->input(0) == mul.input(1 - i)) return mul.input(1 - i);
  }
  return kNoValue;
}

}  // namespace

bool ReadActivation(const Graph& graph, const Node& node, float* low, float* high) {
  *low = -INFINITY;
  *high = INFINITY;
  if (node.op == "Relu") {
    *low = 0;
    return true;
  }
  if (node.op != "Clip") return false;
  float* const bounds[] = {nullptr, low, high};
  for (size_t i = 1; i < 3; ++i) {
    const ValueId id = node.input(i);
    if (id == kNoValue) continue;
    if (!graph.value(id).is_constant() || graph.value(id).constant.size() != 1) return false;
    *bounds[i] = graph.value(id).constant.ToVector<float>()[0];
  }
  return true;
}

void FindReleases(const Graph& graph, std::vector<Step>* steps) {
  std::set<ValueId> needed;
  for (size_t s = steps->size(); s-- > 0;) {
    Step& step = (*steps)[s];
    step.release.clear();
    std::set<ValueId> touched(step.inputs.begin(), step.inputs.end());
    touched.insert(step.outputs.begin(), step.outputs.end());
    for (const ValueId id : touched) {
      if (id != kNoValue && !graph.value(id).is_constant() && needed.insert(id).second) step.release.push_back(id);
    }
  }
}

StepPlan PlanSteps(const Graph& graph, bool fuse_pairs, bool fuse_normalizations) {
  StepPlan plan;
  const std::vector<NodeId> order = graph.Order();
  std::set<NodeId> taken;          // inside a fused step that stands elsewhere
  std::map<NodeId, Chain> chains;  // by the last node
  if (fuse_normalizations) {
    for (const NodeId id : order) {
      const Node& node = graph.node(id);
      const auto& type = graph.value(node.input(0)).type;
      if (node.op != "BatchNormalization" || type.shape.size() != 4 || type.dtype != DType::kF32) continue;
      if (node.outputs.size() != 1) continue;
      Chain chain = FindChain(graph, id, taken);
      taken.insert(chain.nodes.begin(), chain.nodes.end());
      plan.hidden.insert(chain.hidden.begin(), chain.hidden.end());
      const NodeId last = chain.nodes.back();
      if (chain.step.quantize != kNoNode) {
        for (const NodeId reader : graph.value(graph.node(last).output()).consumers) taken.insert(reader);
      }
      chains.emplace(last, std::move(chain));
    }
  }
  std::map<NodeId, ValueId> swishes;  // by their Mul: what they read
  for (const NodeId id : order) {
    const Node& mul = graph.node(id);
    const ValueId x = fuse_normalizations && taken.count(id) == 0 ? SwishInput(graph, mul) : kNoValue;
    if (x == kNoValue) continue;
    const ValueId gate = mul.input(0) == x ? mul.input(1) : mul.input(0);
    taken.insert(graph.value(gate).producer);
    plan.hidden.insert(gate);
    swishes[id] = x;
  }
  for (const NodeId id : order) {
    const auto chain = chains.find(id);
    if (chain != chains.end()) {
      plan.steps.push_back(chain->second.step);
      continue;
    }
    if (taken.count(id) != 0) continue;
    const Node& node = graph.node(id);
    Step step;
    step.node = id;
    step.inputs = node.inputs;
    step.outputs = node.outputs;
    const auto swish = swishes.find(id);
    if (swish != swishes.end()) {
      step.kind = Step::kSwish;
      step.inputs = {swish->second};
    } else if (fuse_pairs && IsPair(graph, node)) {
      step.kind = Step::kQuantizedPair;
      step.outputs = PairOutputs(graph, node);
      plan.hidden.insert(node.output());
      for (const NodeId reader : graph.value(node.output()).consumers) taken.insert(reader);
    }
    plan.steps.push_back(std::move(step));
  }
  FindReleases(graph, &plan.steps);
  return plan;
}

}  // namespace octet::train
