// The same integers in the two dialects of Q/DQ graphs. octet's own form, TensorRT's: INT8 codes with zero point 0, and
// float weights in front of their pairs. ONNX Runtime's: weights stored as codes, and activations as unsigned codes
// (code + 128, zero point 128), for which its x86-64 kernels are made.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

// W -> Q -> DQ becomes codes -> DQ.
ir::Graph StoreWeightCodes(ir::Graph graph);

// Activation pairs get the type u8 and the zero point 128.
ir::Graph UseUnsignedActivations(ir::Graph graph);

// The way back: pairs of type u8 whose zero points all are 128 become INT8 with zero point 0; constants that such a
// DequantizeLinear reads as well. Pairs with other zero points stay. First step of PrepareForExport.
ir::Graph UseSignedCodes(ir::Graph graph);

}  // namespace octet::passes
