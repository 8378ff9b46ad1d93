// Which f32 values lie channels last in memory, and which lie in the memory of another value, so that nobody copies
// them: the heads of a detector end in Transpose, Reshape and Concat of large tensors.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "ir/graph.h"

namespace octet::engine {

// A Conv on f32 with four axes whose weight and bias are constants: runs by FloatConv, in either layout.
bool IsFloatConv(const ir::Graph& graph, const ir::Node& node);

// f32[N,C,H,W] values that are stored as N,H,W,C: made by a FloatConv or from codes, and read only by FloatConvs and by
// Transposes to that order, which then have nothing to do.
std::unordered_set<ir::ValueId> ChannelsLastValues(const ir::Graph& graph);

struct View {
  ir::ValueId home = ir::kNoValue;  // lies in this value's memory, which is nobody's view
  int64_t offset = 0;               // bytes
};
struct Views {
  std::unordered_map<ir::ValueId, View> values;
  std::unordered_set<ir::NodeId> nodes;  // whose result is the memory of their inputs as it lies: nothing to do
};
// f32 results of Reshape and its relatives, and of a Transpose that has nothing to do; what a Concat of FloatConvs'
// results joins, where it puts one wholly behind the other. `graph` has all sizes.
Views FindViews(const ir::Graph& graph, const std::unordered_set<ir::ValueId>& channels_last);

}  // namespace octet::engine
