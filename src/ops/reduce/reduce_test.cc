#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace octet::ops {
namespace {

using IntsV = std::vector<int64_t>;

TEST(Reduce, HandComputed) {
  const Tensor x = F({2, 3}, {1, 2, 3, 4, 5, -6});
  EXPECT_EQ(RunOne("ReduceSum", {x, I({0})}), F({1, 3}, {5, 7, -3}));
  EXPECT_EQ(RunOne("ReduceMean", {x}, {{"axes", IntsV{-1}}, {"keepdims", int64_t{0}}}), F({2}, {2, 1}));
  EXPECT_EQ(RunOne("ReduceMax", {x}), F({1, 1}, {5}));
  EXPECT_EQ(RunOne("ReduceMin", {x, I({1})}), F({2, 1}, {1, -6}));
  EXPECT_EQ(RunOne("ReduceProd", {x, I({0})}), F({1, 3}, {4, 10, -18}));
  EXPECT_EQ(RunOne("ReduceSumSquare", {x, I({1})}), F({2, 1}, {14, 77}));
  EXPECT_EQ(RunOne("ReduceL1", {x, I({1})}), F({2, 1}, {6, 15}));
  EXPECT_EQ(RunOne("ReduceSum", {x}, {{"noop_with_empty_axes", int64_t{1}}}), x);
  EXPECT_EQ(RunOne("ReduceMax", {I({-5, -9})}), I({-5}));
  ExpectUserError([&] { RunOne("ReduceSum", {x, I({2})}); }, {"(ReduceSum)", "axis 2"});
  ExpectUserError([&] { RunOne("ReduceSum", {x, I({0, -2})}); }, {"one axis twice"});
}

TEST(Reduce, MeanOverThePlaneIsGlobalAveragePool) {
  const Tensor x = RandomF32({2, 3, 4, 5}, 1);
  ExpectNear(RunOne("ReduceMean", {x}, {{"axes", IntsV{2, 3}}}), RunOne("GlobalAveragePool", {x}));
  EXPECT_EQ(InferShapeOf(MakeNode("ReduceMean", {{"axes", IntsV{2, 3}}, {"keepdims", int64_t{0}}}),
                         {{DType::kF32, {-1, 8, 7, 7}}}),
            (Shape{-1, 8}));
}

TEST(Reduce, EmptySet) {
  const Tensor x(DType::kF32, {2, 0, 4});
  EXPECT_EQ(RunOne("ReduceSum", {x, I({1})}), Tensor(DType::kF32, {2, 1, 4}));
  EXPECT_TRUE(std::isinf(RunOne("ReduceMax", {x, I({1})}).data<float>()[0]));
}

TEST(ArgMax, TiesAndAxes) {
  const Tensor x = F({2, 3}, {1, 3, 3, 2, 0, 2});
  EXPECT_EQ(RunOne("ArgMax", {x}, {{"axis", int64_t{1}}}), Tensor::From<int64_t>({2, 1}, {1, 0}));
  EXPECT_EQ(RunOne("ArgMax", {x}, {{"axis", int64_t{1}}, {"select_last_index", int64_t{1}}, {"keepdims", int64_t{0}}}),
            I({2, 2}));
  EXPECT_EQ(RunOne("ArgMin", {x}, {{"keepdims", int64_t{0}}}), I({0, 1, 1}));
}

TEST(CumSum, AxesAndForms) {
  const Tensor x = F({2, 3}, {1, 2, 3, 4, 5, -6});
  const ir::Attrs exclusive = {{"exclusive", int64_t{1}}}, reverse = {{"reverse", int64_t{1}}};
  EXPECT_EQ(RunOne("CumSum", {x, I({1})}), F({2, 3}, {1, 3, 6, 4, 9, 3}));
  EXPECT_EQ(RunOne("CumSum", {x, I({-2})}), F({2, 3}, {1, 2, 3, 5, 7, -3}));
  EXPECT_EQ(RunOne("CumSum", {x, I({1})}, exclusive), F({2, 3}, {0, 1, 3, 0, 4, 9}));
  EXPECT_EQ(RunOne("CumSum", {x, I({1})}, reverse), F({2, 3}, {6, 5, 3, 3, -1, -6}));
  EXPECT_EQ(RunOne("CumSum", {I({3, 4}), I({0})}, {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}}), I({4, 0}));
  ExpectUserError([&] { RunOne("CumSum", {x, I({2})}); }, {"(CumSum)", "axis 2"});
  ExpectUserError([&] { RunOne("CumSum", {x, I({0, 1})}); }, {"2 axes, expected one"});
}

}  // namespace
}  // namespace octet::ops
