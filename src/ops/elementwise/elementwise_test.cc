#include "ops/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace octet::ops {
namespace {

TEST(Elementwise, ArithmeticBroadcasts) {
  const Tensor a = F({2, 3}, {1, 2, 3, 4, 5, 6}), row = F({3}, {10, 20, 30}), column = F({2, 1}, {1, 2});
  EXPECT_EQ(RunOne("Add", {a, row}), F({2, 3}, {11, 22, 33, 14, 25, 36}));
  EXPECT_EQ(RunOne("Sub", {row, a}), F({2, 3}, {9, 18, 27, 6, 15, 24}));
  EXPECT_EQ(RunOne("Mul", {a, column}), F({2, 3}, {1, 2, 3, 8, 10, 12}));
  EXPECT_EQ(RunOne("Div", {a, F({}, {2})}), F({2, 3}, {0.5f, 1, 1.5f, 2, 2.5f, 3}));
  EXPECT_EQ(RunOne("Add", {row, column}), F({2, 3}, {11, 21, 31, 12, 22, 32}));
  EXPECT_EQ(RunOne("Max", {a, F({}, {3}), column}), F({2, 3}, {3, 3, 3, 4, 5, 6}));
  EXPECT_EQ(RunOne("Min", {a, F({}, {3})}), F({2, 3}, {1, 2, 3, 3, 3, 3}));
  EXPECT_EQ(RunOne("Sum", {a, a, a}), F({2, 3}, {3, 6, 9, 12, 15, 18}));
  EXPECT_EQ(RunOne("Mean", {a, F({}, {2})}), F({2, 3}, {1.5f, 2, 2.5f, 3, 3.5f, 4}));
}

TEST(Elementwise, Integers) {
  EXPECT_EQ(RunOne("Div", {I({7, -7, 8}), I({2, 2, -1})}), I({3, -3, -8}));
  EXPECT_EQ(RunOne("Mul", {I({7, -7}), I({2})}), I({14, -14}));
  EXPECT_EQ(RunOne("Pow", {I({2, 3}), I({10, 3})}), I({1024, 27}));
  EXPECT_EQ(RunOne("Abs", {I({-7, 7})}), I({7, 7}));
  EXPECT_EQ(RunOne("Add", {Tensor::From<int8_t>({1}, {127}), Tensor::From<int8_t>({1}, {1})}),
            Tensor::From<int8_t>({1}, {-128}));
  ExpectUserError([] { RunOne("Div", {I({1}), I({0})}); }, {"division by zero"});
}

TEST(Elementwise, ComparisonsAndWhere) {
  const Tensor less = RunOne("Less", {F({3}, {1, 2, 3}), F({}, {2})});
  EXPECT_EQ(less.ToVector<int32_t>(), (std::vector<int32_t>{1, 0, 0}));
  const Tensor equal = RunOne("Equal", {I({1, -1, 3}), I({-1})});
  EXPECT_EQ(RunOne("Where", {equal, I({9}), I({1, -1, 3})}), I({1, 9, 3}));
  EXPECT_EQ(RunOne("Not", {less}).ToVector<int32_t>(), (std::vector<int32_t>{0, 1, 1}));
  EXPECT_EQ(RunOne("Or", {less, equal}).ToVector<int32_t>(), (std::vector<int32_t>{1, 1, 0}));
}

TEST(Elementwise, Functions) {
  const Tensor x = F({4}, {0.5f, 1.5f, 2.5f, 4});
  EXPECT_EQ(RunOne("Round", {x}), F({4}, {0, 2, 2, 4}));
  EXPECT_EQ(RunOne("Floor", {x}), F({4}, {0, 1, 2, 4}));
  EXPECT_EQ(RunOne("Ceil", {x}), F({4}, {1, 2, 3, 4}));
  EXPECT_EQ(RunOne("Reciprocal", {x}), F({4}, {2, 1 / 1.5f, 0.4f, 0.25f}));
  ExpectNear(RunOne("Exp", {RunOne("Log", {x})}), x);
  ExpectNear(RunOne("Pow", {RunOne("Sqrt", {x}), F({}, {2})}), x);
  EXPECT_EQ(RunOne("Neg", {x}), F({4}, {-0.5f, -1.5f, -2.5f, -4}));
  ExpectNear(RunOne("Erf", {x}), F({4}, {std::erf(0.5f), std::erf(1.5f), std::erf(2.5f), std::erf(4.0f)}));
}

TEST(Elementwise, DynamicBroadcast) {
  const Node add = MakeNode("Add");
  const auto infer = [&](const Shape& a, const Shape& b) {
    return InferShapeOf(add, {{DType::kF32, a}, {DType::kF32, b}});
  };
  EXPECT_EQ(infer({-1, 8, 4, 4}, {8, 1, 1}), (Shape{-1, 8, 4, 4}));
  EXPECT_EQ(infer({-1, 8, 4, 4}, {-1, 8, 1, 1}), (Shape{-1, 8, 4, 4}));
  EXPECT_EQ(infer({-1, 8}, {1, 8}), (Shape{-1, 8}));
  ExpectUserError([&] { infer({1, 8, 4, 4}, {1, 6, 4, 4}); }, {"node 'n' (Add)", "[1,8,4,4]", "[1,6,4,4]", "8 and 6"});
  ExpectUserError([&] { InferShapeOf(add, {{DType::kF32, {2}}, {DType::kS64, {2}}}); }, {"different element types"});
}

TEST(BroadcastTo, MatchesIndexArithmetic) {
  const Tensor x = RandomF32({3, 1, 2}, 4);
  const Tensor y = BroadcastTo(x, {2, 3, 4, 2});
  for (int64_t i = 0; i < y.size(); ++i) EXPECT_EQ(y.data<float>()[i], x.data<float>()[i / 8 % 3 * 2 + i % 2]);
}

}  // namespace
}  // namespace octet::ops
