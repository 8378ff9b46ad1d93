#include "engine/layout.h"

#include <algorithm>
#include <set>

namespace octet::engine {
namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

bool ToChannelsLast(const Node& node) {
  return node.op == "Transpose" && node.attr_ints("perm", {}) == std::vector<int64_t>{0, 2, 3, 1};
}

bool Is(const std::vector<ValueId>& ids, ValueId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Computed, f32.
bool Movable(const Graph& graph, ValueId id) {
  return id != kNoValue && graph.producer(id) != nullptr && graph.value(id).type.dtype == DType::kF32;
}

int64_t Bytes(const Graph& graph, ValueId id) {
  const ir::TensorType& type = graph.value(id).type;
  return NumElements(type.shape) * static_cast<int64_t>(SizeOf(type.dtype));
}

// The value in whose memory `id` lies so far.
View Resolve(const std::unordered_map<ValueId, View>& views, ValueId id) {
  View at{id, 0};
  for (auto it = views.find(id); it != views.end(); it = views.find(at.home)) {
    at.offset += it->second.offset;
    at.home = it->second.home;
  }
  return at;
}

bool SameBytes(const Graph& graph, const Node& node, const std::unordered_set<ValueId>& channels_last) {
  static const std::set<std::string> kReshapes = {"Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze"};
  if (node.outputs.size() != 1 || node.inputs.empty() || !Movable(graph, node.input(0)) ||
      !Movable(graph, node.output()) || Bytes(graph, node.input(0)) != Bytes(graph, node.output())) {
    return false;
  }
  const bool last = channels_last.count(node.input(0)) != 0;
  return ToChannelsLast(node) ? last : !last && kReshapes.count(node.op) != 0;
}

// Nothing before the axis has more than one element: the inputs lie one behind the other.
bool JoinsWholes(const Graph& graph, const Node& node) {
  if (node.op != "Concat" || !Movable(graph, node.output())) return false;
  const Shape& shape = graph.value(node.output()).type.shape;
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = node.attr_int("axis", 0);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return false;
  return std::all_of(shape.begin(), shape.begin() + axis, [](int64_t size) { return size == 1; });
}

}  // namespace

bool IsFloatConv(const Graph& graph, const Node& node) {
  if (node.op != "Conv" || node.inputs.size() < 2 || !graph.value(node.input(1)).is_constant()) return false;
  const ir::TensorType& x = graph.value(node.input(0)).type;
  const bool bias = node.inputs.size() > 2 && node.input(2) != kNoValue;
  return !graph.value(node.input(0)).is_constant() && x.dtype == DType::kF32 && x.shape.size() == 4 &&
         graph.value(node.input(1)).type.dtype == DType::kF32 && graph.value(node.input(1)).type.shape.size() == 4 &&
         graph.value(node.output()).type.dtype == DType::kF32 && (!bias || graph.value(node.input(2)).is_constant());
}

std::unordered_set<ValueId> ChannelsLastValues(const Graph& graph) {
  std::unordered_set<ValueId> result;
  for (const ir::NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    if (node.op != "QDequantize" && !IsFloatConv(graph, node)) continue;
    const ValueId y = node.output();
    const ir::Value& value = graph.value(y);
    if (!Movable(graph, y) || value.type.shape.size() != 4 || value.consumers.empty() || Is(graph.outputs(), y)) {
      continue;
    }
    const bool fits = std::all_of(value.consumers.begin(), value.consumers.end(), [&](ir::NodeId consumer) {
      const Node& reader = graph.node(consumer);
      return IsFloatConv(graph, reader) || ToChannelsLast(reader);
    });
    if (fits) result.insert(y);
  }
  return result;
}

Views FindViews(const Graph& graph, const std::unordered_set<ValueId>& channels_last) {
  Views views;
  for (const ir::NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    if (!SameBytes(graph, node, channels_last)) continue;
    views.values[node.output()] = {node.input(0), 0};
    views.nodes.insert(id);
  }
  for (const ir::NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    if (!JoinsWholes(graph, node)) continue;
    std::vector<ValueId> parts;
    for (const ValueId in : node.inputs) {
      const ValueId home = Movable(graph, in) ? Resolve(views.values, in).home : kNoValue;
      // Another kernel might write whole vectors, over the next part.
      if (home == kNoValue || !IsFloatConv(graph, *graph.producer(home)) || Is(parts, home)) break;
      if (channels_last.count(in) != 0 || Bytes(graph, home) != Bytes(graph, in)) break;
      parts.push_back(home);
    }
    if (parts.size() != node.inputs.size()) continue;
    int64_t offset = 0;
    for (const ValueId part : parts) {
      views.values[part] = {node.output(), offset};
      offset += Bytes(graph, part);
    }
    views.nodes.insert(id);
  }
  for (auto& [id, view] : views.values) view = Resolve(views.values, id);
  return views;
}

}  // namespace octet::engine
