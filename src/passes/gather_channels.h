// Channels that an exporter moves by several nodes - the shuffle of ShuffleNet is Reshape, Transpose, Reshape and Split
// - become one Gather along axis 1 for each tensor that is read: the engine then moves bytes inside a pixel, once. For
// lowering only: files keep the exporter's nodes, which TensorRT knows how to fuse.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph GatherChannels(ir::Graph graph);

}  // namespace octet::passes
