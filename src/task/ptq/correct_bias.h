// Bias correction: rounding weights and inputs shifts the mean of a layer's results; the shift is measured on a few
// images, channel by channel, and taken out of the bias, which costs nothing when the network runs.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::task {

// `quantized` is `graph` with Q/DQ pairs (passes/insert_qdq) and tells which layers are quantized and how. Each layer
// is measured by itself on the float network's tensors. Returns `graph` with corrected biases; a layer without one gets
// one. `changed` (may be nullptr): how many layers.
ir::Graph CorrectBias(ir::Graph graph, const ir::Graph& quantized, const std::vector<Tensor>& probes,
                      const std::string& device, int* changed = nullptr);

}  // namespace octet::task
