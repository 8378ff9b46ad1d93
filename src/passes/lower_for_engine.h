// From a Q/DQ graph (batch norm folded) to the few operators that the INT8 engine runs: each quantized fusion region
// becomes one QConv, pools and stand-alone adds on codes become QMaxPool, QGlobalAveragePool, QAveragePool, QAdd. What
// has no quantized form stays a float ONNX operator between QDequantize and QQuantize. The last graph pass before a
// plan.
//
// The arithmetic of each lowered operator is docs/numerics.md; the lowered graph runs on the reference kernels, on
// LibTorch and on the engine with equal codes.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph LowerForEngine(const ir::Graph& graph);

}  // namespace octet::passes
