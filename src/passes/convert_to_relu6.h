// Turns activations into ReLU6 = Clip(0, 6): ReLU and its relatives, hard-swish, and swish written as x * Sigmoid(x). A
// bounded range is what makes an INT8 scale stable in training. Runs first of the QAT passes, while swish is still a
// pattern of two nodes. Left alone: gates (a Sigmoid that multiplies another tensor) and whatever
// lies between the last weighted layer and a graph output.
#pragma once

#include "ir/graph.h"

namespace octet::passes {

ir::Graph ConvertToRelu6(ir::Graph graph);

// How many of them are more than clipped: all but ReLU. Statistics behind them are no longer those of the network.
int64_t CountNewFunctions(const ir::Graph& graph);

}  // namespace octet::passes
