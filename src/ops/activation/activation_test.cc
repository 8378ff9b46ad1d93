#include "ops/activation/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing.h"

namespace octet::ops {
namespace {

TEST(Activation, KnownValues) {
  const Tensor x = F({5}, {-4, -1, 0, 1, 4});
  const auto e = [](double v) { return static_cast<float>(v); };
  EXPECT_EQ(RunOne("Relu", {x}), F({5}, {0, 0, 0, 1, 4}));
  ExpectNear(RunOne("LeakyRelu", {x}, {{"alpha", 0.5f}}), F({5}, {-2, -0.5f, 0, 1, 4}));
  ExpectNear(RunOne("HardSigmoid", {x}), F({5}, {0, 0.3f, 0.5f, 0.7f, 1}));
  ExpectNear(RunOne("HardSwish", {x}), F({5}, {0, e(-1.0 / 3), 0, e(2.0 / 3), 4}));
  ExpectNear(RunOne("Elu", {x}, {{"alpha", 2.0f}}), F({5}, {e(2 * std::expm1(-4)), e(2 * std::expm1(-1)), 0, 1, 4}));
  const Tensor sigmoid = RunOne("Sigmoid", {x});
  for (int i = 0; i < 5; ++i) {
    const double v = x.data<float>()[i], s = 1 / (1 + std::exp(-v));
    EXPECT_NEAR(sigmoid.data<float>()[i], s, 1e-7);
    EXPECT_NEAR(RunOne("Swish", {x}).data<float>()[i], v * s, 1e-6);
    EXPECT_NEAR(RunOne("Tanh", {x}).data<float>()[i], 2 / (1 + std::exp(-2 * v)) - 1, 1e-7);
    EXPECT_NEAR(RunOne("Softplus", {x}).data<float>()[i], std::log(1 + std::exp(v)), 1e-6);
    EXPECT_NEAR(RunOne("Mish", {x}).data<float>()[i], v * std::tanh(std::log(1 + std::exp(v))), 1e-6);
    EXPECT_NEAR(RunOne("Gelu", {x}).data<float>()[i], v * 0.5 * std::erfc(-v / std::sqrt(2.0)), 1e-6);
  }
}

TEST(Activation, LargeInputsStayFinite) {
  const Tensor x = F({2}, {-1000, 1000});
  EXPECT_EQ(RunOne("Sigmoid", {x}), F({2}, {0, 1}));
  EXPECT_EQ(RunOne("Softplus", {x}), F({2}, {0, 1000}));
  EXPECT_EQ(RunOne("Softmax", {F({1, 2}, {10000, 10000})}), F({1, 2}, {0.5f, 0.5f}));
}

TEST(Clip, BoundsAreInputs) {
  const Tensor x = F({4}, {-3, 0.5f, 6.5f, 100});
  EXPECT_EQ(RunOne("Clip", {x, F({}, {0}), F({}, {6})}), F({4}, {0, 0.5f, 6, 6}));
  EXPECT_EQ(RunOne("Clip", {x, {}, F({}, {6})}), F({4}, {-3, 0.5f, 6, 6}));
  EXPECT_EQ(RunOne("Clip", {x}), x);
  EXPECT_EQ(RunOne("Clip", {x, F({}, {2}), F({}, {1})}), F({4}, {1, 1, 1, 1}));
  ExpectUserError([&] { RunOne("Clip", {x, F({2}, {0, 1})}); }, {"node 'n' (Clip)", "min", "expected a scalar"});
}

TEST(Clip, ConstantBounds) {
  InstallOps();
  ir::Graph g("g");
  const auto x = g.AddInput("x", {DType::kF32, {2}});
  const auto hi = g.AddConstant("hi", F({}, {6}));
  const auto id = g.AddNode("Clip", "c", {x, ir::kNoValue, hi}, {"y"});
  float low = 0, high = 0;
  ASSERT_TRUE(ConstantClipBounds(g, g.node(id), &low, &high));
  EXPECT_EQ(low, std::numeric_limits<float>::lowest());
  EXPECT_EQ(high, 6);
  const auto lo = g.AddInput("lo", {DType::kF32, {}});
  const auto free = g.AddNode("Clip", "d", {x, lo, hi}, {"z"});
  EXPECT_FALSE(ConstantClipBounds(g, g.node(free), &low, &high));
}

TEST(PRelu, SlopePerChannel) {
  const Tensor x = F({1, 2, 1, 2}, {-1, 1, -2, 2});
  EXPECT_EQ(RunOne("PRelu", {x, F({2, 1, 1}, {0.5f, 0.25f})}), F({1, 2, 1, 2}, {-0.5f, 1, -0.5f, 2}));
  ExpectUserError([&] { RunOne("PRelu", {x, F({3, 1, 1}, {1, 1, 1})}); }, {"(PRelu)"});
}

TEST(Softmax, SumsToOneAlongItsAxis) {
  const Tensor x = RandomF32({2, 5, 3}, 1, -4, 4);
  for (const int64_t axis : {0, 1, -1}) {
    const Tensor y = RunOne("Softmax", {x}, {{"axis", axis}});
    const Tensor sums = RunOne("ReduceSum", {y, I({axis})});
    for (const float s : sums.ToVector<float>()) EXPECT_NEAR(s, 1, 1e-6);
    ExpectNear(RunOne("LogSoftmax", {x}, {{"axis", axis}}), RunOne("Log", {y}), 1e-5);
  }
  ExpectUserError([&] { RunOne("Softmax", {x}, {{"axis", int64_t{3}}}); }, {"axis 3", "3 dimensions"});
}

}  // namespace
}  // namespace octet::ops
