// Moves quantizers to where the engine can use them: Q(op(x)) becomes op(Q(x)) for operators that commute with
// quantization (MaxPool, Reshape, nearest Resize, ...) and for Concat, whose inputs all get the scale of its result, as
// TensorRT does. The codes stay the same; then the layer in front writes codes itself. A Concat's input that has codes
// of another scale is requantized: DQ(s1) -> Q(s2).
//
// First step of LowerForEngine; exported graphs keep their pairs where training had them.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph HoistQuantizers(ir::Graph graph);

}  // namespace octet::passes
