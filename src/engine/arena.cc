#include "engine/arena.h"

#include <algorithm>
#include <numeric>

namespace octet::engine {

ArenaLayout LayOutArena(const std::vector<Lifetime>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tensors[a].bytes > tensors[b].bytes; });
  ArenaLayout layout;
  layout.offsets.assign(tensors.size(), 0);
  std::vector<size_t> placed;  // by offset
  for (const size_t t : order) {
    const int64_t size = (tensors[t].bytes + 63) / 64 * 64;
    int64_t offset = 0;
    for (const size_t other : placed) {
      const bool together = tensors[t].first <= tensors[other].last && tensors[other].first <= tensors[t].last;
      if (!together) continue;
      if (offset + size <= layout.offsets[other]) break;
      offset = std::max(offset, layout.offsets[other] + (tensors[other].bytes + 63) / 64 * 64);
    }
    layout.offsets[t] = offset;
    layout.bytes = std::max(layout.bytes, offset + size);
    const auto at = std::upper_bound(placed.begin(), placed.end(), t,
                                     [&](size_t a, size_t b) { return layout.offsets[a] < layout.offsets[b]; });
    placed.insert(at, t);
  }
  return layout;
}

}  // namespace octet::engine
