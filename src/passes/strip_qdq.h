// The implicit form of a quantized graph: the same network without Q/DQ, and beside it the scale of every tensor that
// had one. Runs last at export, after FoldBatchNorm.
//
// Weights are written as code * scale, so that TensorRT's own rule (per channel max |w| / 127, ties up) finds the codes
// of training again: the largest code of a channel is 127 by construction, hence max |w| / 127 is the scale.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace octet::passes {

// (tensor name, scale) in topological order: the quantized tensors, and the outputs of operators that commute with
// quantization (MaxPool, Flatten, ...), which have the scale of their input.
using Scales = std::vector<std::pair<std::string, float>>;
Scales CollectScales(const ir::Graph& graph);

ir::Graph StripQdq(ir::Graph graph);

}  // namespace octet::passes
