#include <gtest/gtest.h>

#include "ops/testing.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

using IntsV = std::vector<int64_t>;

TEST(Conv, HandComputed) {
  const Tensor x = F({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Tensor w = F({1, 1, 2, 2}, {1, 10, 100, 1000});
  ExpectNear(RunOne("Conv", {x, w}), F({1, 1, 2, 2}, {5421, 6532, 8754, 9865}));
  ExpectNear(RunOne("Conv", {x, w, F({1}, {0.5f})}, {{"strides", IntsV{2, 2}}}), F({1, 1, 1, 1}, {5421.5f}));
  // SAME_UPPER puts the odd pixel behind: 3 positions, the last hangs over.
  ExpectNear(RunOne("Conv", {x, w}, {{"auto_pad", std::string("SAME_UPPER")}, {"strides", IntsV{2, 2}}}),
             F({1, 1, 2, 2}, {5421, 603, 87, 9}));
  ExpectNear(RunOne("Conv", {x, w}, {{"auto_pad", std::string("SAME_LOWER")}, {"strides", IntsV{2, 2}}}),
             F({1, 1, 2, 2}, {1000, 3200, 7040, 9865}));
}

// The definition, with every index written out.
Tensor SlowConv(const Tensor& x, const Tensor& w, int64_t group, const IntsV& stride, const IntsV& pad,
                const IntsV& dilation) {
  const int64_t oh = (x.dim(2) + pad[0] + pad[2] - (w.dim(2) - 1) * dilation[0] - 1) / stride[0] + 1;
  const int64_t ow = (x.dim(3) + pad[1] + pad[3] - (w.dim(3) - 1) * dilation[1] - 1) / stride[1] + 1;
  Tensor y(DType::kF32, {x.dim(0), w.dim(0), oh, ow});
  float* to = y.mutable_data<float>();
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t k = 0; k < w.dim(0); ++k)
      for (int64_t i = 0; i < oh; ++i)
        for (int64_t j = 0; j < ow; ++j) {
          double sum = 0;
          for (int64_t c = 0; c < w.dim(1); ++c)
            for (int64_t a = 0; a < w.dim(2); ++a)
              for (int64_t b = 0; b < w.dim(3); ++b) {
                const int64_t h = i * stride[0] - pad[0] + a * dilation[0],
                              v = j * stride[1] - pad[1] + b * dilation[1];
                if (h < 0 || h >= x.dim(2) || v < 0 || v >= x.dim(3)) continue;
                const int64_t channel = k / (w.dim(0) / group) * w.dim(1) + c;
                sum += static_cast<double>(x.data<float>()[((n * x.dim(1) + channel) * x.dim(2) + h) * x.dim(3) + v]) *
                       w.data<float>()[((k * w.dim(1) + c) * w.dim(2) + a) * w.dim(3) + b];
              }
          to[((n * w.dim(0) + k) * oh + i) * ow + j] = static_cast<float>(sum);
        }
  return y;
}

TEST(Conv, RandomGeometriesMatchTheDefinition) {
  std::mt19937 random(7);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int round = 0; round < 60; ++round) {
    const int64_t group = pick(1, 3), c = pick(1, 3), k = pick(1, 3);
    const IntsV stride = {pick(1, 3), pick(1, 3)}, dilation = {pick(1, 2), pick(1, 2)};
    const IntsV pad = {pick(0, 3), pick(0, 3), pick(0, 3), pick(0, 3)};
    const Tensor x = RandomF32({2, group * c, pick(5, 9), pick(5, 9)}, round);
    const Tensor w = RandomF32({group * k, c, pick(1, 3), pick(1, 3)}, round + 1000);
    const Tensor y =
        RunOne("Conv", {x, w}, {{"group", group}, {"strides", stride}, {"pads", pad}, {"dilations", dilation}});
    ExpectNear(y, SlowConv(x, w, group, stride, pad, dilation));
  }
}

TEST(Conv, OneAndThreeSpatialAxes) {
  ExpectNear(RunOne("Conv", {F({1, 1, 4}, {1, 2, 3, 4}), F({1, 1, 2}, {1, 10})}), F({1, 1, 3}, {21, 32, 43}));
  const Tensor x = RandomF32({1, 2, 3, 4, 5}, 1);
  const Tensor ones = F({1, 2, 3, 4, 5}, std::vector<float>(120, 1.0f));
  double sum = 0;
  for (const double v : x.ToVector<double>()) sum += v;
  ExpectNear(RunOne("Conv", {x, ones}), F({1, 1, 1, 1, 1}, {static_cast<float>(sum)}));
}

TEST(Conv, DynamicBatchAndImage) {
  const Node conv = MakeNode("Conv", {{"pads", IntsV{1, 1, 1, 1}}, {"strides", IntsV{2, 2}}});
  EXPECT_EQ(InferShapeOf(conv, {{DType::kF32, {-1, 3, 32, 32}}, {DType::kF32, {8, 3, 3, 3}}}), (Shape{-1, 8, 16, 16}));
  EXPECT_EQ(InferShapeOf(conv, {{DType::kF32, {-1, 3, -1, 32}}, {DType::kF32, {8, 3, 3, 3}}}), (Shape{-1, 8, -1, 16}));
}

TEST(Conv, Errors) {
  const auto infer = [](const Shape& x, const Shape& w, ir::Attrs attrs = {}) {
    return [=] { InferShapeOf(MakeNode("Conv", attrs), {{DType::kF32, x}, {DType::kF32, w}}); };
  };
  ExpectUserError(infer({1, 4, 8, 8}, {8, 3, 3, 3}),
                  {"node 'n' (Conv)", "has 4 channels", "f32[8,3,3,3]", "expects 3"});
  ExpectUserError(infer({1, 3, 2, 2}, {8, 3, 3, 3}), {"window of 3", "input size 2", "image is too small"});
  ExpectUserError(infer({1, 3, 8, 8}, {8, 3, 3, 3}, {{"strides", IntsV{1}}}), {"strides has 1 numbers, expected 2"});
  ExpectUserError(infer({1, 3, 8, 8}, {8, 3, 3, 3}, {{"strides", IntsV{0, 1}}}), {"strides holds 0"});
  ExpectUserError(infer({1, 3, 8, 8}, {8, 3, 3, 3}, {{"kernel_shape", IntsV{5, 5}}}), {"kernel_shape [5,5]", "[3,3]"});
  ExpectUserError(infer({1, 3, 8, 8}, {8, 3, 3, 3}, {{"auto_pad", std::string("SAME")}}), {"auto_pad is 'SAME'"});
  ExpectUserError(infer({1, 6, 8, 8}, {8, 2, 3, 3}, {{"group", int64_t{3}}}), {"8 output channels", "3 groups"});
}

TEST(ConvTranspose, HandComputed) {
  const Tensor x = F({1, 1, 2, 2}, {1, 2, 3, 4});
  const Tensor w = F({1, 1, 2, 2}, {1, 10, 100, 1000});
  ExpectNear(RunOne("ConvTranspose", {x, w}, {{"strides", IntsV{2, 2}}}),
             F({1, 1, 4, 4}, {1, 10, 2, 20, 100, 1000, 200, 2000, 3, 30, 4, 40, 300, 3000, 400, 4000}));
  ExpectNear(RunOne("ConvTranspose", {x, w}), F({1, 1, 3, 3}, {1, 12, 20, 103, 1234, 2040, 300, 3400, 4000}));
  ExpectNear(RunOne("ConvTranspose", {x, w}, {{"pads", IntsV{1, 1, 1, 1}}}), F({1, 1, 1, 1}, {1234}));
  const Node wide = MakeNode("ConvTranspose", {{"strides", IntsV{3, 3}}, {"output_shape", IntsV{10, 8}}});
  EXPECT_EQ(InferShapeOf(wide, {{DType::kF32, {-1, 1, 3, 3}}, {DType::kF32, {1, 2, 3, 3}}}), (Shape{-1, 2, 10, 8}));
}

// <ConvTranspose(x, w), y> == <x, Conv(y, w)>: one is the adjoint of the other.
TEST(ConvTranspose, AdjointOfConv) {
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const int64_t group = seed % 2 + 1;
    const ir::Attrs attrs = {
        {"group", group}, {"strides", IntsV{2, 1}}, {"pads", IntsV{1, 0, 1, 1}}, {"dilations", IntsV{1, 2}}};
    const Tensor w = RandomF32({4, 3, 3, 2}, seed);  // Conv: 3*group -> 4 channels
    const Tensor y = RandomF32({1, 3 * group, 7, 8}, seed + 100);
    const Tensor conv = RunOne("Conv", {y, w}, attrs);
    const Tensor x = RandomF32(conv.shape(), seed + 200);
    const Tensor back = RunOne("ConvTranspose", {x, w}, attrs);
    ASSERT_EQ(back.shape(), y.shape());
    const auto dot = [](const Tensor& a, const Tensor& b) {
      double sum = 0;
      for (int64_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a.data<float>()[i]) * b.data<float>()[i];
      return sum;
    };
    EXPECT_NEAR(dot(back, y), dot(x, conv), 1e-5);
  }
}

TEST(Window, SamePadsAndCeil) {
  const Node upper = MakeNode("Conv", {{"auto_pad", std::string("SAME_UPPER")}, {"strides", IntsV{2}}});
  const Window u = ResolveWindow(upper, {224}, {3});
  EXPECT_EQ(u.out, (Shape{112}));
  EXPECT_EQ(u.begin, (IntsV{0}));
  EXPECT_EQ(u.end, (IntsV{1}));
  const Node lower = MakeNode("Conv", {{"auto_pad", std::string("SAME_LOWER")}, {"strides", IntsV{2}}});
  EXPECT_EQ(ResolveWindow(lower, {224}, {3}).begin, (IntsV{1}));
  const Node ceil = MakeNode("MaxPool", {{"ceil_mode", int64_t{1}}, {"strides", IntsV{2}}, {"kernel_shape", IntsV{3}}});
  EXPECT_EQ(ResolveWindow(ceil, {8}, {3}).out, (Shape{4}));
  // The window that would start in the padding is dropped (test_maxpool_2d_ceil_output_size_reduce_by_one).
  const Node drop = MakeNode("MaxPool", {{"ceil_mode", int64_t{1}}, {"strides", IntsV{2}}, {"kernel_shape", IntsV{1}}});
  EXPECT_EQ(ResolveWindow(drop, {2}, {1}).out, (Shape{1}));
}

TEST(Window, InsideRangeMatchesBruteForce) {
  for (int64_t in = 1; in < 6; ++in)
    for (int64_t out = 1; out < 6; ++out)
      for (int64_t stride = 1; stride < 4; ++stride)
        for (int64_t offset = -7; offset < 7; ++offset) {
          const Range r = InsideRange(in, out, stride, offset);
          for (int64_t o = 0; o < out; ++o) {
            const bool inside = o * stride + offset >= 0 && o * stride + offset < in;
            EXPECT_EQ(inside, o >= r.first && o < r.last)
                << in << " " << out << " " << stride << " " << offset << " " << o;
          }
          EXPECT_LE(r.first, r.last);
        }
}

}  // namespace
}  // namespace octet::ops
