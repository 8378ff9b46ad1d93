// One QuantizeLinear -> DequantizeLinear pair: names, types and observers, the same wherever a recipe puts it (ir:
// docs/numerics.md). A tensor X gets X.scale, X.zero_point, X.q, X.dq; a second pair of the same tensor gets the
// graph's next free names.
#pragma once

#include <string>

#include "ir/graph.h"

namespace octet::passes {

// amax 6: where an activation starts that nothing has ranged yet.
constexpr float kInitialScale = 6.0f / 127.0f;

struct QdqPair {
  ir::NodeId quantize;
  ir::ValueId real;  // the dequantized tensor; nobody reads it yet
};

// A pair behind an activation. `observer`: "moving_average", or "" for a scale that stays.
QdqPair AddActivationPair(ir::Graph& graph, ir::ValueId value, float scale, const std::string& observer);

// A pair behind a constant weight, one scale per slice of `axis` (its largest magnitude / 127), which training follows
// when `observed`. The pair that another layer's use of the weight made already, if there is one.
QdqPair AddWeightPair(ir::Graph& graph, ir::ValueId weight, int axis, bool observed);

}  // namespace octet::passes
