// What TensorRT runs as one kernel: anchor (Conv, ConvTranspose, Gemm, MatMul) [+ BatchNormalization] [+ residual Add]
// [+ activation]. The one answer that Q/DQ insertion, lowering, calibration caches and the lint share.
//
// Inside a region nothing is rounded; a Q/DQ pair sits after it. That is why QAT writes fewer scales than calibration,
// which ranges every tensor.
#pragma once

#include <set>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"

namespace octet::passes {

struct FusionRegion {
  ir::NodeId anchor = ir::kNoNode;
  ir::NodeId scale_shift = ir::kNoNode;
  ir::NodeId join = ir::kNoNode;        // Add of two tensors of one shape
  ir::NodeId activation = ir::kNoNode;  // for swish: the Mul; its Sigmoid is in nodes as well
  ir::ValueId residual = ir::kNoValue;  // the join's other input
  ir::ValueId output = ir::kNoValue;
  std::vector<ir::NodeId> nodes;  // in order
};

struct FusionRegions {
  std::vector<FusionRegion> regions;                 // by anchor, in topological order
  std::unordered_map<ir::NodeId, size_t> region_of;  // node -> index in regions
};

// A join takes the latest anchor that reaches it (the longer branch); the other branch ends before the join.
FusionRegions FindFusionRegions(const ir::Graph& graph);

// The anchors whose result reaches a graph output without passing another anchor: they stay FP32.
std::set<ir::NodeId> FindOutputLayers(const ir::Graph& graph);

// x -> Sigmoid -> Mul(x, .): returns the Mul when `value` is such an x and has no other consumer, else kNoNode.
ir::NodeId MatchSwish(const ir::Graph& graph, ir::ValueId value);

const ir::QuantRule& RuleOf(const ir::Node& node);

}  // namespace octet::passes
