#include "passes/trace_channels.h"

#include <algorithm>

#include "base/error.h"
#include "ir/op_def.h"

namespace octet::passes {

using ir::ChannelFlow;
using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// The elements of the channel axis, or 0 when there is none or its size is unknown.
int64_t ChannelCountOf(const Graph& g, ValueId v) {
  const Shape& shape = g.value(v).type.shape;
  return shape.size() >= 2 && shape[1] > 0 ? shape[1] : 0;
}

std::string Quoted(const Node& node) {
  return fmt::format("'{}' ({})", node.name, node.op);
}

ChannelFlow FlowOf(const Graph& g, const Node& node) {
  const ir::PruneRule& rule = ir::GetOp(node).prune;
  if (!rule.flow) return ChannelFlow::kBarrier;
  // A second output that is read (pool indices, a dropout mask, batch statistics) counts elements in its own way.
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    const ValueId out = node.outputs[i];
    if (out != kNoValue && (!g.value(out).consumers.empty() || g.is_output(out))) return ChannelFlow::kBarrier;
  }
  std::vector<const ir::Value*> inputs;
  for (const ValueId in : node.inputs) inputs.push_back(in == kNoValue ? nullptr : &g.value(in));
  return rule.flow(node, inputs);
}

}  // namespace

ChannelTrace::ChannelTrace(const Graph& graph, const std::set<NodeId>& keep) : graph_(graph) {
  for (const ValueId in : graph.inputs()) channels_[in] = Fixed(in, "network input");
  for (const NodeId id : graph.Order()) {
    Visit(id);
    if (keep.count(id) != 0) Pin(Of(graph.node(id).output()), "excluded_layers");
  }
  for (const ValueId out : graph.outputs()) Pin(Of(out), "network output");
  PinUntracedUses();
}

int ChannelTrace::Class(int channel) const {
  int root = channel;
  while (parent_[root] != root) root = parent_[root];
  while (parent_[channel] != root) {
    const int next = parent_[channel];
    parent_[channel] = root;
    channel = next;
  }
  return root;
}

const std::string& ChannelTrace::pinned(int channel) const {
  return reasons_[pin_[Class(channel)]];
}

Channels ChannelTrace::Fresh(size_t count) {
  Channels made(count);
  for (int& c : made) {
    c = static_cast<int>(parent_.size());
    parent_.push_back(c);
    pin_.push_back(0);
  }
  return made;
}

Channels ChannelTrace::Fixed(ValueId value, const std::string& reason) {
  const Channels made = Fresh(static_cast<size_t>(ChannelCountOf(graph_, value)));
  Pin(made, reason);
  return made;
}

const Channels& ChannelTrace::Of(ValueId value) {
  const auto it = channels_.find(value);
  if (it != channels_.end()) return it->second;
  rigid_.emplace(value, "a constant");  // every other tensor has been visited
  return channels_[value] = Fixed(value, "a constant");
}

void ChannelTrace::Merge(int a, int b) {
  // The lower id represents: classes keep the order in which their first channels were made.
  const auto [low, high] = std::minmax({Class(a), Class(b)});
  if (low == high) return;
  parent_[high] = low;
  if (pin_[low] == 0) pin_[low] = pin_[high];
}

void ChannelTrace::Merge(const Channels& a, const Channels& b) {
  OCTET_CHECK(a.size() == b.size(), "{} channels meet {}", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) Merge(a[i], b[i]);
}

void ChannelTrace::Pin(const Channels& channels, const std::string& reason) {
  if (channels.empty()) return;
  if (reasons_.back() != reason) reasons_.push_back(reason);
  for (const int c : channels) {
    int& pin = pin_[Class(c)];
    if (pin == 0) pin = static_cast<int>(reasons_.size()) - 1;
  }
}

void ChannelTrace::Bind(ValueId constant, int axis, const Channels& wanted) {
  for (const ConstantAxis& bound : constants_) {
    if (bound.constant != constant || bound.axis != axis) continue;
    Merge(bound.channels, wanted);
    return;
  }
  constants_.push_back({constant, axis, wanted});
}

void ChannelTrace::Visit(NodeId id) {
  const Node& node = graph_.node(id);
  bool done = false;
  switch (FlowOf(graph_, node)) {
    case ChannelFlow::kBarrier: break;
    case ChannelFlow::kThrough: done = VisitThrough(node); break;
    case ChannelFlow::kLayer: done = VisitLayer(id); break;
    case ChannelFlow::kDepthwise: done = VisitDepthwise(id); break;
    case ChannelFlow::kJoin: done = VisitJoin(node); break;
    case ChannelFlow::kConcat: done = VisitConcat(node); break;
    case ChannelFlow::kFlatten: done = VisitFlatten(node); break;
  }
  if (!done) VisitBarrier(node);
  for (const ValueId out : node.outputs) {
    if (out != kNoValue && channels_.count(out) == 0) channels_[out] = Fixed(out, "output of " + Quoted(node));
  }
  const int shape_input = ir::GetOp(node).prune.shape_input;
  if (done && shape_input >= 0 && node.input(static_cast<size_t>(shape_input)) != kNoValue) {
    counts_.push_back({id, shape_input, Of(node.output())});
  }
}

bool ChannelTrace::VisitThrough(const Node& node) {
  const Channels x = Of(node.input(0));
  if (x.empty() || ChannelCountOf(graph_, node.output()) != static_cast<int64_t>(x.size())) return false;
  const ir::OpDef& op = ir::GetOp(node);
  const auto per_channel = [&](size_t i) {
    return node.input(i) != kNoValue && (op.role(i) == ir::InputRole::kParam || op.role(i) == ir::InputRole::kBuffer);
  };
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (!per_channel(i)) continue;
    const ir::Value& value = graph_.value(node.input(i));
    if (!value.is_constant() || value.constant.shape() != Shape{static_cast<int64_t>(x.size())}) return false;
  }
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (per_channel(i)) Bind(node.input(i), 0, x);
  }
  channels_[node.output()] = x;
  return true;
}

// The bias lies along its last axis; a bias of one element serves all channels.
bool ChannelTrace::BindBias(const Node& node, const Channels& channels) {
  const ValueId bias = node.input(2);
  if (bias == kNoValue) return true;
  const ir::Value& value = graph_.value(bias);
  if (!value.is_constant()) return false;
  const int rank = value.constant.rank();
  if (rank == 0 || (value.constant.dim(-1) == 1 && channels.size() != 1)) return true;
  if (value.constant.dim(-1) != static_cast<int64_t>(channels.size())) return false;
  Bind(bias, rank - 1, channels);
  return true;
}

bool ChannelTrace::VisitLayer(NodeId id) {
  const Node& node = graph_.node(id);
  const ir::OpDef& op = ir::GetOp(node);
  const ir::Value& weight = graph_.value(node.input(1));
  const Channels x = Of(node.input(0));
  if (!weight.is_constant() || x.empty()) return false;
  const int out_axis = op.quant.weight_axis(node);
  const int in_axis = op.prune.weight_input_axis(node);
  if (weight.constant.dim(in_axis) != static_cast<int64_t>(x.size())) return false;
  const Channels made = Fresh(static_cast<size_t>(weight.constant.dim(out_axis)));
  if (!BindBias(node, made)) return false;
  Bind(node.input(1), in_axis, x);
  Bind(node.input(1), out_axis, made);
  channels_[node.output()] = made;
  layers_.push_back({id, node.input(1), out_axis, false, made});
  return true;
}

bool ChannelTrace::VisitDepthwise(NodeId id) {
  const Node& node = graph_.node(id);
  const ir::Value& weight = graph_.value(node.input(1));
  const Channels x = Of(node.input(0));
  if (!weight.is_constant() || x.empty()) return false;
  const int out_axis = ir::GetOp(node).quant.weight_axis(node);
  const auto made = static_cast<size_t>(weight.constant.dim(out_axis));
  if (made % x.size() != 0) return false;
  Channels y;
  for (const int c : x) y.insert(y.end(), made / x.size(), c);
  if (!BindBias(node, y)) return false;
  Bind(node.input(1), out_axis, y);
  counts_.push_back({id, -1, x});
  channels_[node.output()] = y;
  layers_.push_back({id, node.input(1), out_axis, true, y});
  return true;
}

bool ChannelTrace::VisitJoin(const Node& node) {
  const ValueId out = node.output();
  const auto rank = static_cast<int>(graph_.value(out).type.shape.size());
  const int64_t count = ChannelCountOf(graph_, out);
  if (count == 0) return false;
  std::vector<std::pair<ValueId, int>> constants;  // with the axis that meets the channels
  Channels y;
  const auto is_scalar = [&](ValueId in) {  // computed, one number for all
    const Shape& shape = graph_.value(in).type.shape;
    return shape.size() <= 1 && (shape.empty() || shape[0] == 1);
  };
  for (const ValueId in : node.inputs) {
    if (in == kNoValue || (!graph_.value(in).is_constant() && is_scalar(in))) continue;
    const Shape& shape = graph_.value(in).type.shape;
    const int axis = 1 - (rank - static_cast<int>(shape.size()));
    if (graph_.value(in).is_constant()) {
      if (axis >= 0 && shape[static_cast<size_t>(axis)] == count && count > 1) {
        constants.emplace_back(in, axis);
      } else if (NumElements(shape) > 1) {
        rigid_.emplace(in, "input of " + Quoted(node));
      }
      continue;
    }
    if (axis != 1) return false;
    const Channels& x = Of(in);
    if (static_cast<int64_t>(x.size()) != count && x.size() != 1) return false;
    if (static_cast<int64_t>(x.size()) == count && y.empty()) y = x;
  }
  if (y.empty()) return false;
  for (const ValueId in : node.inputs) {
    if (in == kNoValue || graph_.value(in).is_constant() || is_scalar(in)) continue;
    const Channels x = Of(in);
    if (x.size() == y.size()) {
      Merge(x, y);
    } else {
      Pin(x, "read by all channels of " + Quoted(node));
    }
  }
  for (const auto& [constant, axis] : constants) Bind(constant, axis, y);
  channels_[out] = y;
  return true;
}

bool ChannelTrace::VisitConcat(const Node& node) {
  const auto rank = static_cast<int64_t>(graph_.value(node.output()).type.shape.size());
  const int64_t axis = node.attr_int("axis", 0) + (node.attr_int("axis", 0) < 0 ? rank : 0);
  Channels y;
  for (const ValueId in : node.inputs) {
    const Channels& x = Of(in);
    if (x.empty() || (axis != 1 && !y.empty() && x.size() != y.size())) return false;
    if (axis == 1) {
      y.insert(y.end(), x.begin(), x.end());
    } else if (y.empty()) {
      y = x;
    } else {
      Merge(y, x);
    }
  }
  channels_[node.output()] = y;
  return true;
}

bool ChannelTrace::VisitFlatten(const Node& node) {
  const Channels& x = Of(node.input(0));
  const int64_t count = ChannelCountOf(graph_, node.output());
  if (x.empty() || count % static_cast<int64_t>(x.size()) != 0) return false;
  Channels y;
  for (const int c : x) y.insert(y.end(), static_cast<size_t>(count) / x.size(), c);
  channels_[node.output()] = y;
  return true;
}

void ChannelTrace::VisitBarrier(const Node& node) {
  const std::string reason = "input of " + Quoted(node);
  for (const ValueId in : node.inputs) {
    if (in == kNoValue) continue;
    if (graph_.value(in).is_constant()) {
      rigid_.emplace(in, reason);
    } else {
      Pin(Of(in), reason);
    }
  }
}

void ChannelTrace::PinUntracedUses() {
  for (const ConstantAxis& bound : constants_) {
    const auto it = rigid_.find(bound.constant);
    if (it != rigid_.end()) Pin(bound.channels, it->second);
    if (graph_.is_output(bound.constant)) Pin(bound.channels, "network output");
  }
}

}  // namespace octet::passes
