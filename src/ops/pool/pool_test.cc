#include <gtest/gtest.h>

#include "ops/testing.h"

namespace octet::ops {
namespace {

using IntsV = std::vector<int64_t>;

TEST(MaxPool, ValuesIndicesAndTypes) {
  const Tensor x = F({1, 1, 3, 3}, {1, 2, 3, 9, 5, 6, 7, 8, 4});
  const ir::Attrs attrs = {{"kernel_shape", IntsV{2, 2}}};
  const Tensors out = RunNode(MakeNode("MaxPool", attrs, 2), {x});
  EXPECT_EQ(out[0], F({1, 1, 2, 2}, {9, 6, 9, 8}));
  EXPECT_EQ(out[1].ToVector<int64_t>(), (IntsV{3, 5, 3, 7}));
  ir::Attrs column = attrs;
  column["storage_order"] = int64_t{1};
  EXPECT_EQ(RunNode(MakeNode("MaxPool", column, 2), {x})[1].ToVector<int64_t>(), (IntsV{1, 7, 1, 5}));
  const Tensor codes = Tensor::From<int8_t>({1, 1, 2, 2}, {-3, -2, -128, -7});
  EXPECT_EQ(RunOne("MaxPool", {codes}, {{"kernel_shape", IntsV{2, 2}}, {"pads", IntsV{1, 1, 0, 0}}}),
            Tensor::From<int8_t>({1, 1, 2, 2}, {-3, -2, -3, -2}));
}

TEST(MaxPool, CeilModeAndDilation) {
  const Tensor x = F({1, 1, 1, 6}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(
      RunOne("MaxPool", {x}, {{"kernel_shape", IntsV{1, 3}}, {"strides", IntsV{1, 2}}, {"ceil_mode", int64_t{1}}}),
      F({1, 1, 1, 3}, {3, 5, 6}));
  EXPECT_EQ(RunOne("MaxPool", {x}, {{"kernel_shape", IntsV{1, 2}}, {"dilations", IntsV{1, 3}}}),
            F({1, 1, 1, 3}, {4, 5, 6}));
  EXPECT_EQ(RunOne("MaxPool", {x},
                   {{"kernel_shape", IntsV{1, 2}}, {"strides", IntsV{1, 4}}, {"auto_pad", std::string("SAME_UPPER")}}),
            F({1, 1, 1, 2}, {2, 6}));
}

TEST(AveragePool, PadCounting) {
  const Tensor x = F({1, 1, 2, 2}, {1, 2, 3, 4});
  const ir::Attrs attrs = {{"kernel_shape", IntsV{2, 2}}, {"pads", IntsV{1, 1, 1, 1}}, {"strides", IntsV{2, 2}}};
  EXPECT_EQ(RunOne("AveragePool", {x}, attrs), F({1, 1, 2, 2}, {1, 2, 3, 4}));
  ir::Attrs include = attrs;
  include["count_include_pad"] = int64_t{1};
  EXPECT_EQ(RunOne("AveragePool", {x}, include), F({1, 1, 2, 2}, {0.25f, 0.5f, 0.75f, 1}));
  // ceil_mode's overhang is outside the padded input and does not count: 4 columns, windows of 3 at 0 and 2.
  EXPECT_EQ(RunOne("AveragePool", {F({1, 1, 1, 4}, {1, 2, 3, 4})},
                   {{"kernel_shape", IntsV{1, 3}},
                    {"strides", IntsV{1, 2}},
                    {"ceil_mode", int64_t{1}},
                    {"count_include_pad", int64_t{1}}}),
            F({1, 1, 1, 2}, {2, 3.5f}));
}

TEST(GlobalPool, IsAPoolOverThePlane) {
  const Tensor x = RandomF32({2, 3, 4, 5}, 2);
  ExpectNear(RunOne("GlobalAveragePool", {x}), RunOne("AveragePool", {x}, {{"kernel_shape", IntsV{4, 5}}}));
  EXPECT_EQ(RunOne("GlobalMaxPool", {x}), RunOne("MaxPool", {x}, {{"kernel_shape", IntsV{4, 5}}}));
}

TEST(Pool, InferenceAndErrors) {
  const Node pool =
      MakeNode("MaxPool", {{"kernel_shape", IntsV{3, 3}}, {"strides", IntsV{2, 2}}, {"pads", IntsV{1, 1, 1, 1}}});
  EXPECT_EQ(InferShapeOf(pool, {{DType::kF32, {-1, 64, 112, 112}}}), (Shape{-1, 64, 56, 56}));
  EXPECT_EQ(InferShapeOf(MakeNode("GlobalAveragePool"), {{DType::kF32, {-1, 64, 7, 7}}}), (Shape{-1, 64, 1, 1}));
  ExpectUserError(
      [&] {
        InferShapeOf(MakeNode("AveragePool", {{"kernel_shape", IntsV{7, 7}}}), {{DType::kF32, {1, 8, 4, 4}}});
      },
      {"node 'n' (AveragePool)", "window of 7", "input size 4"});
  ExpectUserError(
      [&] {
        InferShapeOf(MakeNode("MaxPool"), {{DType::kF32, {1, 8, 4, 4}}});
      },
      {"kernel has 0 sizes, expected 2"});
}

}  // namespace
}  // namespace octet::ops
