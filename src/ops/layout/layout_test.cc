#include <gtest/gtest.h>

#include "ops/testing.h"

namespace octet::ops {
namespace {

using IntsV = std::vector<int64_t>;

TEST(Transpose, PermutesAndComesBack) {
  const Tensor x = RandomF32({2, 3, 4}, 1);
  const Tensor y = RunOne("Transpose", {x}, {{"perm", IntsV{2, 0, 1}}});
  ASSERT_EQ(y.shape(), (Shape{4, 2, 3}));
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 3; ++j)
      for (int64_t k = 0; k < 4; ++k)
        EXPECT_EQ(y.data<float>()[(k * 2 + i) * 3 + j], x.data<float>()[(i * 3 + j) * 4 + k]);
  EXPECT_EQ(RunOne("Transpose", {y}, {{"perm", IntsV{1, 2, 0}}}), x);
  ExpectUserError([&] { RunOne("Transpose", {x}, {{"perm", IntsV{0, 0, 1}}}); }, {"perm [0,0,1]", "3 axes"});
}

TEST(Concat, AndSplitAreInverse) {
  const Tensor x = RandomS8({2, 7, 3}, 1);
  const Node split = MakeNode("Split", {{"axis", int64_t{1}}}, 3);
  const Tensors parts = RunNode(split, {x, I({2, 4, 1})});
  EXPECT_EQ(parts[1].shape(), (Shape{2, 4, 3}));
  EXPECT_EQ(RunOne("Concat", parts, {{"axis", int64_t{-2}}}), x);
  EXPECT_EQ(RunNode(split, {x})[2].shape(), (Shape{2, 1, 3}));  // 3, 3, 1
  ExpectUserError([&] { RunNode(split, {x, I({2, 4, 2})}); }, {"split [2,4,2]", "size 7"});
  ExpectUserError(
      [&] {
        RunOne("Concat", {x, RandomS8({2, 7, 4}, 1)}, {{"axis", int64_t{1}}});
      },
      {"(Concat)", "s8[2,7,4]", "axis 1"});
  const Node concat = MakeNode("Concat", {{"axis", int64_t{1}}});
  EXPECT_EQ(InferShapeOf(concat, {{DType::kF32, {-1, 8, 4, 4}}, {DType::kF32, {-1, 4, 4, 4}}}), (Shape{-1, 12, 4, 4}));
}

TEST(Slice, StartsEndsSteps) {
  const Tensor x = I({0, 1, 2, 3, 4, 5});
  const auto slice = [&](int64_t start, int64_t end, int64_t step) {
    return RunOne("Slice", {x, I({start}), I({end}), I({0}), I({step})});
  };
  EXPECT_EQ(slice(1, 4, 1), I({1, 2, 3}));
  EXPECT_EQ(slice(-3, 100, 2), I({3, 5}));
  EXPECT_EQ(slice(-1, -100, -1), I({5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(slice(4, 0, -2), I({4, 2}));
  EXPECT_EQ(slice(100, -7, -3), I({5, 2}));
  EXPECT_EQ(slice(4, 2, 1).size(), 0);
  EXPECT_EQ(RunOne("Slice", {RandomF32({4, 5}, 1), I({1}), I({3}), I({-1})}).shape(), (Shape{4, 2}));
  ExpectUserError([&] { slice(0, 1, 0); }, {"step 0"});
  EXPECT_EQ(
      InferShapeOf(MakeNode("Slice"), {{DType::kF32, {-1, 8}}, {}, {}, {}}, {{1, I({2})}, {2, I({6})}, {3, I({1})}}),
      (Shape{-1, 4}));
}

TEST(Pad, Modes) {
  const Tensor x = F({1, 3}, {1, 2, 3}), pads = I({0, 2, 1, 1});
  EXPECT_EQ(RunOne("Pad", {x, pads, F({}, {9})}), F({2, 6}, {9, 9, 1, 2, 3, 9, 9, 9, 9, 9, 9, 9}));
  EXPECT_EQ(RunOne("Pad", {x, I({0, 2, 0, 1})}, {{"mode", std::string("edge")}}), F({1, 6}, {1, 1, 1, 2, 3, 3}));
  EXPECT_EQ(RunOne("Pad", {x, I({0, 2, 0, 2})}, {{"mode", std::string("reflect")}}), F({1, 7}, {3, 2, 1, 2, 3, 2, 1}));
  EXPECT_EQ(RunOne("Pad", {x, I({0, 2, 0, 1})}, {{"mode", std::string("wrap")}}), F({1, 6}, {2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(RunOne("Pad", {x, I({0, -1, 0, 1})}), F({1, 3}, {2, 3, 0}));
  EXPECT_EQ(RunOne("Pad", {x, I({1, 0}), {}, I({-1})}), F({1, 4}, {0, 1, 2, 3}));
  EXPECT_EQ(InferShapeOf(MakeNode("Pad"), {{DType::kF32, {-1, 3, 8, 8}}, {}}, {{1, I({0, 0, 1, 1, 0, 0, 2, 2})}}),
            (Shape{-1, 3, 11, 11}));
  ExpectUserError([&] { RunOne("Pad", {x, I({0, 1})}); }, {"2 pads, expected 4"});
}

TEST(Gather, RowsColumnsNegative) {
  const Tensor x = F({3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(RunOne("Gather", {x, I({-1, 0})}), F({2, 2}, {5, 6, 1, 2}));
  EXPECT_EQ(RunOne("Gather", {x, Tensor::Scalar<int64_t>(1)}, {{"axis", int64_t{1}}}), F({3}, {2, 4, 6}));
  EXPECT_EQ(RunOne("Gather", {x, Tensor::From<int64_t>({1, 2}, {0, 2})}).shape(), (Shape{1, 2, 2}));
  ExpectUserError([&] { RunOne("Gather", {x, I({3})}); }, {"index 3", "size 3"});
}

TEST(ExpandAndTile, Repeat) {
  EXPECT_EQ(RunOne("Expand", {F({2, 1}, {1, 2}), I({3})}), F({2, 3}, {1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(RunOne("Tile", {F({1, 2}, {1, 2}), I({2, 2})}), F({2, 4}, {1, 2, 1, 2, 1, 2, 1, 2}));
}

TEST(DepthToSpace, BothModesAndBack) {
  const Tensor x = F({1, 4, 1, 1}, {1, 2, 3, 4});
  EXPECT_EQ(RunOne("DepthToSpace", {x}, {{"blocksize", int64_t{2}}}), F({1, 1, 2, 2}, {1, 2, 3, 4}));
  const Tensor y = RandomF32({2, 8, 3, 4}, 1);
  const Tensor dcr = RunOne("DepthToSpace", {y}, {{"blocksize", int64_t{2}}});
  EXPECT_EQ(RunOne("SpaceToDepth", {dcr}, {{"blocksize", int64_t{2}}}), y);
  const Tensor crd = RunOne("DepthToSpace", {y}, {{"blocksize", int64_t{2}}, {"mode", std::string("CRD")}});
  // CRD: out[n, c, h*b + i, w*b + j] = in[n, c*b*b + i*b + j, h, w]
  EXPECT_EQ(crd.data<float>()[((0 * 2 + 1) * 6 + 5) * 8 + 2],
            y.data<float>()[((0 * 8 + 1 * 4 + 1 * 2 + 0) * 3 + 2) * 4 + 1]);
  ExpectUserError([&] { RunOne("DepthToSpace", {y}, {{"blocksize", int64_t{3}}}); }, {"8 channels", "9"});
}

}  // namespace
}  // namespace octet::ops
