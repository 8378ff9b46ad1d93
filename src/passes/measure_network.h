// How large a network is: what pruning is judged by.
#pragma once

#include <cstdint>
#include <string>

#include "ir/graph.h"

namespace octet::passes {

struct NetworkSize {
  int64_t parameters = 0;  // trained numbers: weights, biases, batch norm scale and shift; a shared tensor counts once
  int64_t statistics = 0;  // batch norm means and variances, which most tools count as parameters too
  int64_t macs = 0;        // multiply-adds of convolutions and matrix products for one image
};

// Types must be inferred; sizes other than the batch must be known for macs (else the layer does not count).
NetworkSize MeasureNetwork(const ir::Graph& graph);

}  // namespace octet::passes
