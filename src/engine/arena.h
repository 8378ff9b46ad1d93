// One block of memory for all intermediate tensors: tensors whose lives do not overlap share bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace octet::engine {

struct Lifetime {
  int64_t bytes = 0;
  int first = 0;  // step that writes it
  int last = 0;   // last step that reads it (inclusive)
};

struct ArenaLayout {
  std::vector<int64_t> offsets;  // one for each request; multiples of 64
  int64_t bytes = 0;
};

// Greedy by size: the largest tensor first, each at the lowest offset that is free during its life.
ArenaLayout LayOutArena(const std::vector<Lifetime>& tensors);

}  // namespace octet::engine
