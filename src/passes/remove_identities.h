// Removes Identity and Dropout nodes (inference does nothing there). Runs first at export: a Dropout between
// convolution and activation would hide a fusion region.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph RemoveIdentities(ir::Graph graph);

// Drop-connect (Dropout with per_sample) disappears: it would stand between a convolution and the Add that TensorRT
// fuses with it. QAT of recipe `fused` trains without.
ir::Graph RemoveDropConnect(ir::Graph graph);

}  // namespace octet::passes
