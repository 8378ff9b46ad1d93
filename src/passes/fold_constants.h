// Nodes that read nothing but constants become constants, under the same names: the normalised fusion weights of a
// BiFPN, shape arithmetic of imported networks. Runs at export and before lowering, never in training: what is folded
// cannot be trained. Q/DQ pairs stay: they say how a weight is quantized.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph FoldConstants(ir::Graph graph);

}  // namespace octet::passes
