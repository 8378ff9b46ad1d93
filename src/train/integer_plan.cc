#include "train/integer_plan.h"

namespace octet::train {
namespace {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool IsRank4(const Graph& graph, ValueId id) {
  return graph.value(id).type.shape.size() == 4 && graph.value(id).type.dtype == DType::kF32;
}

// One scale for all of the tensor, which is a constant of the graph.
bool HasOneScale(const Graph& graph, const Node& quantize) {
  const ValueId scale = quantize.input(1);
  return scale != kNoValue && graph.value(scale).is_constant() && graph.value(scale).constant.size() == 1;
}

// The QuantizeLinear of a weight whose scale follows max |w| of each output channel, or nothing.
NodeId WeightPair(const Graph& graph, ValueId weight) {
  const Node* dequantize = graph.producer(weight);
  if (dequantize == nullptr || dequantize->op != "DequantizeLinear") return kNoNode;
  const ValueId codes = dequantize->input(0);
  const Node* quantize = graph.producer(codes);
  if (quantize == nullptr || quantize->op != "QuantizeLinear" || quantize->attr_int("axis", 1) != 0) return kNoNode;
  if (quantize->attr_string("observer", "") != "max_abs" || !graph.value(quantize->input(0)).is_constant()) {
    return kNoNode;
  }
  const ValueId scale = quantize->input(1);
  if (graph.value(scale).constant.size() != graph.value(weight).type.shape[0]) return kNoNode;
  for (const NodeId reader : graph.value(codes).consumers) {
    if (graph.node(reader).output() != weight) return kNoNode;
  }
  return graph.value(codes).producer;
}

bool IsPlainPool(const Graph& graph, const Node& node) {
  if (node.op != "MaxPool" || node.outputs.size() != 1 || !IsRank4(graph, node.output())) return false;
  if (node.attr_int("ceil_mode", 0) != 0) return false;
  for (const int64_t d : node.attr_ints("dilations", {})) {
    if (d != 1) return false;
  }
  int64_t taps = 1;
  for (const int64_t k : node.attr_ints("kernel_shape", {})) taps *= k;
  return taps <= 255;
}

struct Finder {
  const Graph& graph;
  IntegerPlan result;
  std::set<ValueId> possible;  // values that can be had as codes
  std::set<ValueId> wanted;    // and that somebody wants so
  std::set<NodeId> inside;     // nodes inside integer blocks, which are no steps
  std::set<NodeId> plain;      // nodes that are steps of their own

  // Why the Conv of this step cannot run in integers; empty when it can.
  std::string Refusal(const Step& step, const Node& conv) const {
    if (step.quantize == kNoNode || !HasOneScale(graph, graph.node(step.quantize)))
      return "its output is not quantized";
    if (conv.input(2) != kNoValue && !graph.value(conv.input(2)).is_constant()) return "its bias is computed";
    if (possible.count(conv.input(0)) == 0) return "its input is not quantized";
    if (WeightPair(graph, conv.input(1)) == kNoNode) return "its weight is not quantized by its largest magnitude";
    if (step.residual != kNoValue && possible.count(step.residual) == 0)
      return "the tensor added to it is not quantized";
    return "";
  }

  // A pair behind Conv [-> Add] [-> Relu or Clip] without a batch normalization becomes a block.
  void TryPlainBlock(Step* pair) {
    Step block = *pair;
    block.quantize = pair->node;
    block.normalized = false;
    block.low = -INFINITY;
    block.high = INFINITY;
    std::vector<NodeId> nodes;
    ValueId x = graph.node(pair->node).input(0);
    // The node that makes x, when nobody else reads x and no other step makes it.
    const auto maker = [&]() -> const Node* {
      if (graph.only_consumer(x) == kNoNode || plain.count(graph.value(x).producer) == 0) return nullptr;
      return graph.producer(x);
    };
    const Node* node = maker();
    if (node != nullptr && ReadActivation(graph, *node, &block.low, &block.high)) {
      nodes.push_back(graph.value(x).producer);
      x = node->input(0);
      node = maker();
    }
    if (node != nullptr && node->op == "Add") {
      nodes.push_back(graph.value(x).producer);
      const Node& add = *node;
      for (size_t i = 0; i < 2; ++i) {
        x = add.input(i);
        node = maker();
        block.residual = add.input(1 - i);
        if (node != nullptr && node->op == "Conv" && block.residual != x) break;
        node = nullptr;
      }
    }
    if (node == nullptr || node->op != "Conv") return;
    const NodeId conv = graph.value(x).producer;
    if (!Refusal(block, *node).empty()) return;
    if (block.residual != kNoValue && !(graph.value(block.residual).type == graph.value(x).type)) return;
    block.node = conv;
    Block(&block, conv);
    for (const NodeId id : nodes) {
      inside.insert(id);
      result.plan.hidden.insert(graph.node(id).output());
    }
    *pair = block;
  }

  // A pair behind a Mul of codes with one number for each channel of each image.
  bool TryGate(Step* pair) {
    const ValueId product = graph.node(pair->node).input(0);
    const NodeId id = graph.value(product).producer;
    if (id == kNoNode || plain.count(id) == 0 || graph.only_consumer(product) == kNoNode) return false;
    const Node& mul = graph.node(id);
    if (mul.op != "Mul" || !HasOneScale(graph, graph.node(pair->node))) return false;
    for (size_t i = 0; i < 2; ++i) {
      const ValueId x = mul.input(i), gate = mul.input(1 - i);
      const auto& x_type = graph.value(x).type;
      const auto& gate_type = graph.value(gate).type;
      if (possible.count(x) == 0 || !(x_type == graph.value(product).type) || gate_type.shape.size() != 4) continue;
      if (gate_type.dtype != DType::kF32 || graph.value(gate).is_constant()) continue;
      if (!(gate_type.shape[0] == x_type.shape[0] && gate_type.shape[1] == x_type.shape[1] && gate_type.shape[2] == 1 &&
            gate_type.shape[3] == 1)) {
        continue;
      }
      pair->kind = Step::kIntegerGate;
      pair->quantize = pair->node;
      pair->coded = true;
      pair->residual = gate;
      pair->inputs = {x, gate};
      wanted.insert(x);
      inside.insert(id);
      result.plan.hidden.insert(product);
      return true;
    }
    return false;
  }

  void Block(Step* step, NodeId conv_id) {
    const Node& conv = graph.node(conv_id);
    const NodeId weight = WeightPair(graph, conv.input(1));
    step->kind = Step::kIntegerBlock;
    step->conv = conv_id;
    step->weight = weight;
    step->coded = true;
    // x, the weight, the residual; the others are constants
    step->inputs = {conv.input(0), graph.node(weight).input(0)};
    if (step->residual != kNoValue) step->inputs.push_back(step->residual);
    wanted.insert(conv.input(0));
    if (step->residual != kNoValue) wanted.insert(step->residual);
    inside.insert(conv_id);
    inside.insert(weight);
    result.plan.hidden.insert(conv.output());
    result.plan.hidden.insert(conv.input(1));
    ++result.blocks;
  }
};

// A block whose residual is also the input of a block that it depends on, as in ResNet, hands the residual's gradient
// to that one, whose backward comes later for certain. All steps between them are coded: their gradients are never
// missing.
void JoinGradients(std::vector<Step>* steps) {
  std::map<ValueId, size_t> maker;
  for (size_t i = 0; i < steps->size(); ++i) {
    for (const ValueId id : (*steps)[i].outputs) maker[id] = i;
  }
  std::map<size_t, size_t> taker;  // of the gradient of what a step makes
  for (Step& step : *steps) {
    if (step.kind != Step::kIntegerBlock || step.residual == kNoValue) continue;
    const size_t source = maker.at(step.residual);
    std::vector<ValueId> open = {step.inputs[0]};
    std::set<ValueId> seen;
    while (!open.empty() && !step.passes_gradient) {
      const auto found = maker.find(open.back());
      open.pop_back();
      if (found == maker.end() || found->second <= source) continue;
      Step& before = (*steps)[found->second];
      if (!before.coded || before.kind == Step::kQuantizedPair || !seen.insert(before.inputs[0]).second) continue;
      if (before.kind == Step::kIntegerBlock && maker.at(before.inputs[0]) == source) {
        const size_t first = taker.emplace(source, found->second).first->second;
        before.takes_gradient = step.passes_gradient = first == found->second;
      }
      open.push_back(before.inputs[0]);
    }
  }
}

// Which blocks compute the whole gradient of another block's output: its only readers, or the one that takes what the
// only other reader passes.
void FindWholeGradients(const Graph& graph, std::vector<Step>* steps) {
  std::map<ValueId, size_t> maker;
  std::map<size_t, std::set<size_t>> readers;  // of a block's outputs
  std::set<size_t> read_elsewhere;
  for (size_t i = 0; i < steps->size(); ++i) {
    for (const ValueId id : (*steps)[i].inputs) {
      const auto found = maker.find(id);
      if (found != maker.end()) readers[found->second].insert(i);
    }
    for (const ValueId id : (*steps)[i].outputs) {
      maker[id] = i;
      if (graph.is_output(id)) read_elsewhere.insert(i);
    }
  }
  for (const auto& [made_by, by] : readers) {
    if ((*steps)[made_by].kind != Step::kIntegerBlock || read_elsewhere.count(made_by) != 0) continue;
    const auto reads_as = [&](const Step& step, ValueId id) {
      return step.kind == Step::kIntegerBlock && id != kNoValue && maker.count(id) != 0 && maker.at(id) == made_by;
    };
    Step* taker = nullptr;
    size_t passers = 0;
    for (const size_t i : by) {
      Step& step = (*steps)[i];
      const bool main = reads_as(step, step.kind == Step::kIntegerBlock ? step.inputs[0] : kNoValue);
      const bool side = reads_as(step, step.residual);
      if (main && !side) taker = &step;
      if (side && !main && step.passes_gradient) ++passers;
    }
    if (taker == nullptr || passers + 1 != by.size() || passers > 1) continue;
    taker->sums_gradient = passers == 0 || taker->takes_gradient;
  }
}

}  // namespace

IntegerPlan PlanIntegers(const Graph& graph, const StepPlan& fused) {
  Finder f{graph, {}, {}, {}, {}, {}};
  f.result.plan.hidden = fused.hidden;
  std::vector<Step> steps = fused.steps;
  std::set<NodeId> refused;
  for (const Step& step : steps) {
    if (step.kind == Step::kNode) f.plain.insert(step.node);
  }
  for (Step& step : steps) {
    const Node& node = graph.node(step.node);
    if (step.kind == Step::kQuantizedPair) {
      if (!f.TryGate(&step)) f.TryPlainBlock(&step);
      if (graph.value(node.input(0)).is_constant() || !IsRank4(graph, node.input(0)) || !HasOneScale(graph, node))
        continue;
      f.possible.insert(step.outputs.begin(), step.outputs.end());
    } else if (step.kind == Step::kNormalization) {
      const NodeId conv = graph.value(node.input(0)).producer;
      if (conv == kNoNode || graph.node(conv).op != "Conv" || graph.only_consumer(node.input(0)) == kNoNode) continue;
      const std::string refusal = f.Refusal(step, graph.node(conv));
      if (!refusal.empty()) {
        ++f.result.others[refusal];
        refused.insert(conv);
        continue;
      }
      f.Block(&step, conv);
      f.possible.insert(step.outputs.begin(), step.outputs.end());
    } else if (step.kind == Step::kNode && IsPlainPool(graph, node) && f.possible.count(node.input(0)) != 0) {
      f.possible.insert(node.output());
    } else if (step.kind == Step::kNode && node.op == "GlobalAveragePool" && f.possible.count(node.input(0)) != 0) {
      step.kind = Step::kIntegerMean;
      f.wanted.insert(node.input(0));
    }
  }
  // Backwards: pools and pairs hand on codes where somebody wants them.
  for (size_t i = steps.size(); i-- > 0;) {
    Step& step = steps[i];
    bool wanted = false;
    for (const ValueId id : step.outputs) wanted = wanted || f.wanted.count(id) != 0;
    if (!wanted || step.coded) continue;
    step.coded = true;
    if (step.kind == Step::kNode) {
      step.kind = Step::kIntegerPool;
      f.wanted.insert(graph.node(step.node).input(0));
    }
  }
  const auto is_alone = [](const Step& step) { return step.kind == Step::kNode || step.kind == Step::kQuantizedPair; };
  // A weight that another step reads as well stays a step.
  std::set<ValueId> read;
  for (const Step& step : steps) {
    if (!is_alone(step) || f.inside.count(step.node) == 0) read.insert(step.inputs.begin(), step.inputs.end());
  }
  for (const Step& step : steps) {
    for (const ValueId id : step.outputs) {
      if (step.kind != Step::kQuantizedPair || read.count(id) == 0) continue;
      f.inside.erase(step.node);
      f.result.plan.hidden.erase(id);
    }
  }
  for (const Step& step : steps) {
    const bool alone = is_alone(step);
    if (alone && f.inside.count(step.node) != 0) continue;
    if (alone && graph.node(step.node).op == "Conv" && refused.count(step.node) == 0) {
      ++f.result.others["no quantizer follows it and its normalization or activation"];
    }
    f.result.plan.steps.push_back(step);
  }
  JoinGradients(&f.result.plan.steps);
  FindWholeGradients(graph, &f.result.plan.steps);
  FindReleases(graph, &f.result.plan.steps);
  return f.result;
}

}  // namespace octet::train
