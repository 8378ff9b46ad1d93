// Brings an imported network into the form of the zoo's, before it is trained: one node where an exporter wrote
// several, so that fusion regions, QAT and pruning see what the layer was. Function and tensor names at the seams stay.
//   - Conv / ConvTranspose + constant per channel -> bias; MatMul + constant -> Gemm
//   - zero Pad in front of a Conv -> its pads
//   - ReduceMean over space -> GlobalAveragePool (+ Flatten)
//   - clip(x + 3, 0, 6) / 6 -> HardSigmoid; x * that -> HardSwish; x * (1 + erf(x / sqrt 2)) / 2 -> Gelu
//   - parameters and statistics that several nodes share for the exporter's convenience -> one each; shared kernels
//   (tied
//     layers) stay shared
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph SimplifyImported(ir::Graph graph);

}  // namespace octet::passes
