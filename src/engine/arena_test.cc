#include "engine/arena.h"

#include <gtest/gtest.h>

#include <random>

namespace octet::engine {
namespace {

TEST(Arena, LivingTensorsDoNotOverlap) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> tensors;
    int64_t sum = 0;
    for (int i = 0; i < 20; ++i) {
      const int first = static_cast<int>(random() % 30);
      tensors.push_back({static_cast<int64_t>(random() % 1000), first, first + static_cast<int>(random() % 6)});
      sum += (tensors.back().bytes + 63) / 64 * 64;
    }
    const ArenaLayout layout = LayOutArena(tensors);
    EXPECT_LE(layout.bytes, sum);
    for (size_t a = 0; a < tensors.size(); ++a) {
      EXPECT_EQ(layout.offsets[a] % 64, 0);
      EXPECT_LE(layout.offsets[a] + tensors[a].bytes, layout.bytes);
      for (size_t b = 0; b < a; ++b) {
        if (tensors[a].last < tensors[b].first || tensors[b].last < tensors[a].first) continue;
        EXPECT_TRUE(layout.offsets[a] + tensors[a].bytes <= layout.offsets[b] ||
                    layout.offsets[b] + tensors[b].bytes <= layout.offsets[a]);
      }
    }
  }
}

TEST(Arena, ChainNeedsTwoBuffers) {
  std::vector<Lifetime> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({640, i, i + 1});
  EXPECT_EQ(LayOutArena(chain).bytes, 1280);
}

}  // namespace
}  // namespace octet::engine
