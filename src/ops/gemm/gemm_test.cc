#include <gtest/gtest.h>

#include "ops/testing.h"

namespace octet::ops {
namespace {

Tensor T(const Tensor& x) {
  return RunOne("Transpose", {x});
}

TEST(Gemm, HandComputed) {
  const Tensor a = F({2, 3}, {1, 2, 3, 4, 5, 6}), b = F({3, 2}, {1, 10, 100, 1, 0, 2});
  const Tensor product = F({2, 2}, {201, 18, 504, 57});
  ExpectNear(RunOne("Gemm", {a, b}), product);
  ExpectNear(RunOne("Gemm", {T(a), T(b)}, {{"transA", int64_t{1}}, {"transB", int64_t{1}}}), product);
  ExpectNear(RunOne("Gemm", {a, b, F({2}, {1, 2})}, {{"alpha", 0.5f}, {"beta", 2.0f}}),
             F({2, 2}, {102.5f, 13, 254, 32.5f}));
  ExpectNear(RunOne("Gemm", {a, b, F({2, 1}, {1, 2})}), F({2, 2}, {202, 19, 506, 59}));
  ExpectNear(RunOne("Gemm", {a, b, F({}, {1})}), F({2, 2}, {202, 19, 505, 58}));
}

TEST(Gemm, InferenceAndErrors) {
  const Node gemm = MakeNode("Gemm", {{"transB", int64_t{1}}});
  EXPECT_EQ(InferShapeOf(gemm, {{DType::kF32, {-1, 512}}, {DType::kF32, {10, 512}}, {DType::kF32, {10}}}),
            (Shape{-1, 10}));
  ExpectUserError(
      [&] {
        InferShapeOf(gemm, {{DType::kF32, {-1, 500}}, {DType::kF32, {10, 512}}});
      },
      {"node 'n' (Gemm)", "f32[N,500]", "f32[10,512] (transposed)", "500 columns against 512 rows"});
  ExpectUserError(
      [&] {
        InferShapeOf(gemm, {{DType::kF32, {-1, 512}}, {DType::kF32, {10, 512}}, {DType::kF32, {9}}});
      },
      {"(Gemm)", "[9]"});
  EXPECT_EQ(ir::GetOp(gemm).quant.weight_axis(gemm), 0);
  EXPECT_EQ(ir::GetOp(gemm).quant.weight_axis(MakeNode("Gemm")), 1);
}

TEST(MatMul, BroadcastsBatches) {
  const Tensor a = RandomF32({2, 1, 3, 4}, 1), b = RandomF32({5, 4, 2}, 2);
  const Tensor y = RunOne("MatMul", {a, b});
  ASSERT_EQ(y.shape(), (Shape{2, 5, 3, 2}));
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t m = 0; m < 5; ++m) {
      const auto part = [](const Tensor& t, int64_t batch, Shape shape) {
        const auto all = t.ToVector<float>();
        const int64_t size = NumElements(shape);
        return F(shape, std::vector<float>(all.begin() + batch * size, all.begin() + (batch + 1) * size));
      };
      ExpectNear(part(y, n * 5 + m, {3, 2}), RunOne("Gemm", {part(a, n, {3, 4}), part(b, m, {4, 2})}));
    }
}

TEST(MatMul, Vectors) {
  const Tensor v = F({2}, {1, 10}), m = F({2, 3}, {1, 2, 3, 4, 5, 6});
  ExpectNear(RunOne("MatMul", {v, m}), F({3}, {41, 52, 63}));
  ExpectNear(RunOne("MatMul", {T(m), v}), F({3}, {41, 52, 63}));
  ExpectNear(RunOne("MatMul", {v, v}), F({}, {101}));
}

}  // namespace
}  // namespace octet::ops
