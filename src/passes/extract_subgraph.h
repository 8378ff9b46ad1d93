// A part of a graph as a graph of its own, under the same names: what stands around a tensor, to be run by itself
// (task/ptq measures errors that way).
#pragma once

#include <vector>

#include "ir/graph.h"

namespace octet::passes {

// The nodes with the constants that they read. Its inputs are the values that they read and do not make, in the order
// in which they are first read; its outputs are `outputs`, values that the nodes make.
ir::Graph ExtractSubgraph(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes,
                          const std::vector<ir::ValueId>& outputs);

}  // namespace octet::passes
