// A Run of a large batch takes all layers for a few images, then all layers for the next few: the activations of a
// whole batch would leave the second-level cache between one layer and the next.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"

namespace octet::engine {

// How many images go through the network together, one number for each slice of `options.batch` images; sizes differ
// by one at most, the larger ones first. One slice where the batch is small, keep_intermediates wants all images at
// once, or one image's results may depend on another's: an operator that is not known to keep images apart, a value
// without the batch as its first axis. `graph` is the network's, its batch unknown; `whole` has the batch.
std::vector<int64_t> SliceBatch(const ir::Graph& graph, const ir::Graph& whole, const ContextOptions& options);

}  // namespace octet::engine
