// Which channels of a network stand or fall together. Every tensor's channel axis (axis 1) becomes a list of channel
// ids; operators say how they carry channels (ir::PruneRule), and ids that must share one fate are merged into a class:
// the two sides of a residual Add, a depthwise layer and its producer, all uses of a shared weight. Concat appends
// lists, Flatten repeats ids.
//
// Pruning asks this once; it knows nothing of weights' sizes or thresholds.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::passes {

using Channels = std::vector<int>;  // ids, one per element of an axis

// A layer with a weight: a maker of channels, or a depthwise layer, which carries those of its producer.
struct ChannelLayer {
  ir::NodeId node = ir::kNoNode;
  ir::ValueId weight = ir::kNoValue;
  int weight_axis = 0;   // of the output channels
  bool follows = false;  // depthwise
  Channels channels;     // of its output
};

// An axis of a constant that shrinks with these channels.
struct ConstantAxis {
  ir::ValueId constant = ir::kNoValue;
  int axis = 0;
  Channels channels;
};

// A number in a node that counts channels: the attribute `group`, or element 1 of a shape constant at `input`.
struct ChannelCount {
  ir::NodeId node = ir::kNoNode;
  int input = -1;  // -1: the attribute `group`
  Channels channels;
};

class ChannelTrace {
 public:
  // `keep`: nodes whose output keeps all its channels. Types must be inferred.
  ChannelTrace(const ir::Graph& graph, const std::set<ir::NodeId>& keep);

  const std::vector<ChannelLayer>& layers() const { return layers_; }  // in topological order
  const std::vector<ConstantAxis>& constants() const { return constants_; }
  const std::vector<ChannelCount>& counts() const { return counts_; }

  // The representative of a channel's class.
  int Class(int channel) const;
  // Why the class of this channel cannot go; "" when it can.
  const std::string& pinned(int channel) const;

 private:
  Channels Fresh(size_t count);
  Channels Fixed(ir::ValueId value, const std::string& reason);
  const Channels& Of(ir::ValueId value);
  void Merge(int a, int b);
  void Merge(const Channels& a, const Channels& b);
  void Pin(const Channels& channels, const std::string& reason);
  // The channels along `axis` of a constant: `wanted`, merged with those of its earlier uses.
  void Bind(ir::ValueId constant, int axis, const Channels& wanted);

  void Visit(ir::NodeId id);
  bool VisitThrough(const ir::Node& node);
  bool VisitLayer(ir::NodeId id);
  bool VisitDepthwise(ir::NodeId id);
  bool VisitJoin(const ir::Node& node);
  bool VisitConcat(const ir::Node& node);
  bool VisitFlatten(const ir::Node& node);
  void VisitBarrier(const ir::Node& node);
  bool BindBias(const ir::Node& node, const Channels& channels);
  void PinUntracedUses();

  const ir::Graph& graph_;
  std::map<ir::ValueId, Channels> channels_;
  mutable std::vector<int> parent_;
  std::vector<int> pin_;  // of a representative: index into reasons_
  std::vector<std::string> reasons_ = {""};
  std::vector<ChannelLayer> layers_;
  std::vector<ConstantAxis> constants_;
  std::vector<ChannelCount> counts_;
  std::map<ir::ValueId, std::string> rigid_;  // constants that some use needs as they are
};

}  // namespace octet::passes
