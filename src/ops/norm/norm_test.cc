#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace octet::ops {
namespace {

TEST(BatchNormalization, HandComputed) {
  const Tensor x = F({1, 2, 1, 2}, {1, 3, 10, 20});
  const Tensor y =
      RunOne("BatchNormalization", {x, F({2}, {2, 1}), F({2}, {0.5f, -1}), F({2}, {1, 10}), F({2}, {3, 24})},
             {{"epsilon", 1.0f}});
  ExpectNear(y, F({1, 2, 1, 2}, {0.5f, 2.5f, -1, 1}));
}

TEST(BatchNormalization, TrainingModeNormalizesAndMovesTheRunningValues) {
  const Tensor x = RandomF32({4, 3, 5, 5}, 3, -2, 5);
  const Tensor one = F({3}, {1, 1, 1}), zero = F({3}, {0, 0, 0});
  const Node node =
      MakeNode("BatchNormalization", {{"training_mode", int64_t{1}}, {"momentum", 0.75f}, {"epsilon", 0.0f}}, 3);
  const Tensors out = RunNode(node, {x, one, zero, zero, one});
  for (int c = 0; c < 3; ++c) {
    double sum = 0, squares = 0, raw = 0;
    for (int n = 0; n < 4; ++n)
      for (int i = 0; i < 25; ++i) {
        const double v = out[0].data<float>()[(n * 3 + c) * 25 + i];
        sum += v;
        squares += v * v;
        raw += x.data<float>()[(n * 3 + c) * 25 + i];
      }
    EXPECT_NEAR(sum / 100, 0, 1e-6);
    EXPECT_NEAR(squares / 100, 1, 1e-5);
    EXPECT_NEAR(out[1].data<float>()[c], 0.25 * raw / 100, 1e-6);
  }
}

TEST(BatchNormalization, Errors) {
  const TensorType x{DType::kF32, {-1, 4, 8, 8}}, good{DType::kF32, {4}}, bad{DType::kF32, {3}};
  ExpectUserError(
      [&] {
        InferShapeOf(MakeNode("BatchNormalization"), {x, good, bad, good, good});
      },
      {"node 'n' (BatchNormalization)", "bias", "f32[3]", "expected [4]"});
  EXPECT_EQ(InferShapeOf(MakeNode("BatchNormalization"), {x, good, good, good, good}), x.shape);
}

TEST(InstanceNormalization, HandComputed) {
  // test_instancenorm_example of ONNX: x [1,2,1,3]
  const Tensor y =
      RunOne("InstanceNormalization", {F({1, 2, 1, 3}, {-1, 0, 1, 2, 3, 4}), F({2}, {1.0f, 1.5f}), F({2}, {0, 1})});
  const float r = static_cast<float>(1 / std::sqrt(2.0 / 3 + 1e-5));
  ExpectNear(y, F({1, 2, 1, 3}, {-r, 0, r, 1 - 1.5f * r, 1, 1 + 1.5f * r}));
}

// Rows of [2,3]: (1,2,3) has mean 2 and variance 2/3, (0,0,6) mean 2 and variance 8.
TEST(LayerNormalization, HandComputed) {
  const Tensor x = F({2, 3}, {1, 2, 3, 0, 0, 6});
  const Tensor y = RunOne("LayerNormalization", {x, F({3}, {1, 2, 1}), F({3}, {0, 0, 1})}, {{"epsilon", 0.0f}});
  const float a = static_cast<float>(1 / std::sqrt(2.0 / 3)), b = static_cast<float>(1 / std::sqrt(8.0));
  ExpectNear(y, F({2, 3}, {-a, 0, a + 1, -2 * b, -4 * b, 4 * b + 1}));
  const TensorType type{DType::kF32, {-1, 4, 8}}, good{DType::kF32, {8}}, bad{DType::kF32, {4}};
  ExpectUserError(
      [&] {
        InferShapeOf(MakeNode("LayerNormalization"), {type, bad});
      },
      {"node 'n' (LayerNormalization)", "scale", "f32[4]", "expected [8]"});
  EXPECT_EQ(InferShapeOf(MakeNode("LayerNormalization"), {type, good}), type.shape);
}

TEST(Lrn, OneChannelWindow) {
  const Tensor y = RunOne("LRN", {F({1, 3, 1, 1}, {1, 2, 3})},
                          {{"size", int64_t{3}}, {"alpha", 3.0f}, {"beta", 1.0f}, {"bias", 1.0f}});
  ExpectNear(y, F({1, 3, 1, 1}, {1 / 6.0f, 2 / 15.0f, 3 / 14.0f}));
}

}  // namespace
}  // namespace octet::ops
