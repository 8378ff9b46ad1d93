#include "ops/select/select.h"

#include <cmath>

#include "ops/testing.h"

namespace octet::ops {
namespace {

Tensor Longs(Shape shape, const std::vector<int64_t>& values) {
  return Tensor::From<int64_t>(std::move(shape), values);
}

TEST(GatherNd, TuplesAndBatches) {
  const Tensor x = F({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(RunOne("GatherND", {x, Longs({2, 2}, {0, 1, 1, 0})}), F({2, 2}, {2, 3, 4, 5}));
  EXPECT_EQ(RunOne("GatherND", {x, Longs({2, 3}, {0, 0, 1, -1, -1, -1})}), F({2}, {1, 7}));
  EXPECT_EQ(RunOne("GatherND", {x, Longs({2, 1}, {1, 0})}, {{"batch_dims", int64_t{1}}}), F({2, 2}, {2, 3, 4, 5}));
  ExpectUserError([&] { RunOne("GatherND", {x, Longs({1, 1}, {2})}); }, {"index 2 is outside a dimension of 2"});
  ExpectUserError([&] { RunOne("GatherND", {x, Longs({1, 4}, {0, 0, 0, 0})}); }, {"tuples of 4 indices"});
}

TEST(GatherElements, AlongAnAxis) {
  const Tensor x = F({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(RunOne("GatherElements", {x, Longs({2, 3}, {1, 2, 0, -1, 0, 0})}), F({2, 3}, {4, 8, 3, 7, 2, 3}));
  EXPECT_EQ(RunOne("GatherElements", {x, Longs({3, 1}, {2, 0, 1})}, {{"axis", int64_t{1}}}), F({3, 1}, {3, 4, 8}));
  ExpectUserError([&] { RunOne("GatherElements", {x, Longs({1, 3}, {3, 0, 0})}); }, {"index 3"});
}

TEST(ScatterNd, WritesSlices) {
  const Tensor x = F({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(RunOne("ScatterND", {x, Longs({2, 1}, {3, 0}), F({2, 2}, {-1, -2, -3, -4})}),
            F({4, 2}, {-3, -4, 2, 3, 4, 5, -1, -2}));
  EXPECT_EQ(RunOne("ScatterND", {x, Longs({1, 2}, {1, 1}), F({1}, {9})}), F({4, 2}, {0, 1, 2, 9, 4, 5, 6, 7}));
  ExpectUserError([&] { RunOne("ScatterND", {x, Longs({1, 1}, {0}), F({1}, {9})}); }, {"expected the shape [1,2]"});
}

TEST(TopK, LargestSmallestAndTies) {
  const Tensor x = F({2, 4}, {3, 1, 3, 2, 0, 5, 5, 7});
  Tensors out = RunNode(MakeNode("TopK", {}, 2), {x, I({2})});
  EXPECT_EQ(out[0], F({2, 2}, {3, 3, 7, 5}));
  EXPECT_EQ(out[1], Longs({2, 2}, {0, 2, 3, 1}));
  out = RunNode(MakeNode("TopK", {{"axis", int64_t{0}}, {"largest", int64_t{0}}}, 2), {x, I({1})});
  EXPECT_EQ(out[0], F({1, 4}, {0, 1, 3, 2}));
  EXPECT_EQ(out[1], Longs({1, 4}, {1, 0, 0, 0}));
  ExpectUserError([&] { RunNode(MakeNode("TopK", {}, 2), {x, I({5})}); }, {"k [5]"});
}

}  // namespace
}  // namespace octet::ops
