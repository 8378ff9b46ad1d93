// Cross-layer equalization before post-training quantization: where a convolution feeds one convolution through
// nothing or a (leaky) ReLU, channel c of the tensor between them may be divided by any s_c > 0 if the second layer's
// weights for that channel are multiplied by it. The network computes the same; one INT8 scale then suits all channels.
//
// The first layer's weights cost nothing (they have a scale for each output channel). A depthwise second layer neither:
// there all channels of the tensor get the same range. A dense second layer has one scale a row of weights, so the
// difference is shared: s_c = sqrt(amax of activation c / amax of the second layer's weights for c).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::passes {

struct EqualizablePair {
  ir::NodeId first = ir::kNoNode;
  ir::NodeId second = ir::kNoNode;
  ir::ValueId between = ir::kNoValue;  // what the second layer reads
};

// Batch norm must be folded. Layers that share their weights with others are left out, and what is a graph output.
std::vector<EqualizablePair> FindEqualizablePairs(const ir::Graph& graph);

// `channel_amax`: largest magnitude of every channel, by the name of the tensor between two layers; a tensor that is
// absent stays. `changed` (may be nullptr) receives the names of the tensors whose channels were scaled.
ir::Graph EqualizeLayers(ir::Graph graph, const std::map<std::string, std::vector<float>>& channel_amax,
                         std::vector<std::string>* changed = nullptr);

}  // namespace octet::passes
