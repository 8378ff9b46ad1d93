// Folds BatchNormalization into the convolution before it: w' = w * g, b' = beta + (b - mean) * g with
// g = gamma / sqrt(var + epsilon), in double. Runs at export and before lowering, never in training.
//
// On a quantized weight (W -> Q -> DQ -> Conv -> BN) the codes stay what training made them: the scale becomes s' = s *
// |g|, the weight q * s' with the sign of g. A channel with g = 0 becomes zeros with the scale of amax = 1. Weight
// scales are first brought up to date with the weights (max_abs observer), so a checkpoint from any step folds right.
//
// A BatchNormalization that follows no convolution, or whose convolution is read elsewhere, stays.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph FoldBatchNorm(ir::Graph graph);

// Sets every `max_abs` weight scale from its weight: per-channel max |w| / 127.
ir::Graph UpdateWeightScales(ir::Graph graph);

}  // namespace octet::passes
