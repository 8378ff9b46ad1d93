// Depthwise sums and gradients against loops over every tap, on shapes with every kind of edge.
#include "train/kernels/depthwise_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "train/kernels/product_s16.h"

namespace octet::train {
namespace {

struct Case {
  const char* name;
  int64_t channels, height, width, kernel, stride, pad_begin, pad_end;
};

ConvShape ShapeOf(const Case& c) {
  ConvShape s;
  s.batch = 2;
  s.in_channels = s.out_channels = s.group = c.channels;
  s.in = {c.height, c.width};
  for (size_t d = 0; d < 2; ++d) {
    s.kernel[d] = c.kernel;
    s.strides[d] = c.stride;
    s.dilations[d] = 1;
    s.pad_begin[d] = c.pad_begin;
    s.pad_end[d] = c.pad_end;
    s.out[d] = (s.in[d] + c.pad_begin + c.pad_end - c.kernel) / c.stride + 1;
  }
  return s;
}

class Depthwise : public testing::TestWithParam<Case> {};

TEST_P(Depthwise, IsTheSumOverItsTaps) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  const ConvShape s = ShapeOf(GetParam());
  ASSERT_TRUE(IsDepthwise(s));
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const int64_t channels = s.in_channels, k = s.kernel[0], in = s.in[0] * s.in[1] * channels;
  const int64_t out = s.out[0] * s.out[1] * channels;
  std::vector<int8_t> x(static_cast<size_t>(s.batch * in)), weight(static_cast<size_t>(channels * k * k));
  for (int8_t& v : x) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  for (int8_t& v : weight) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  std::vector<float> spread(weight.size()), dy(static_cast<size_t>(out)), scale(static_cast<size_t>(channels));
  for (float& v : dy) v = normal(random);
  for (float& v : scale) v = 0.5f + static_cast<float>(random() % 4);
  SpreadDepthwise(s, weight.data(), spread.data());
  std::vector<int64_t> sums(static_cast<size_t>(s.batch * out));
  std::vector<double> dx(static_cast<size_t>(in)), dw(weight.size());
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t i = 0; i < out; ++i) {
      const int64_t c = i % channels, ow = i / channels % s.out[1], oh = i / channels / s.out[1];
      for (int64_t t = 0; t < k * k; ++t) {
        const int64_t h = oh * s.strides[0] - s.pad_begin[0] + t / k, w = ow * s.strides[1] - s.pad_begin[1] + t % k;
        if (h < 0 || h >= s.in[0] || w < 0 || w >= s.in[1]) continue;
        const int64_t at = (h * s.in[1] + w) * channels + c;
        const int8_t code = x[static_cast<size_t>(n * in + at)], tap = weight[static_cast<size_t>(c * k * k + t)];
        sums[static_cast<size_t>(n * out + i)] += code * tap;
        if (n != 0) continue;
        const double g = dy[static_cast<size_t>(i)];
        dx[static_cast<size_t>(at)] += g * tap * scale[static_cast<size_t>(c)];
        dw[static_cast<size_t>(t * channels + c)] += g * code;
      }
    }
  }
  // In stretches that begin and end within rows.
  const int64_t pixels = s.batch * s.out[0] * s.out[1];
  std::vector<int32_t> got(static_cast<size_t>(pixels * channels));
  for (int64_t first = 0; first < pixels; first += 13) {
    DepthwiseSums(s, x.data(), spread.data(), first, std::min<int64_t>(13, pixels - first),
                  got.data() + first * channels);
  }
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], sums[i]) << i;
  // One image, both gradients and each alone.
  const GradientRow row = [&](int64_t h, float* to) {
    std::copy_n(dy.data() + h * s.out[1] * channels, s.out[1] * channels, to);
  };
  std::vector<float> scratch(static_cast<size_t>(DepthwiseScratch(s)));
  for (const int which : {3, 1, 2}) {
    std::vector<float> got_dx(dx.size(), NAN), got_dw(dw.size(), NAN);
    DepthwiseGradients(s, row, spread.data(), scale.data(), x.data(), (which & 1) != 0 ? got_dx.data() : nullptr,
                       (which & 2) != 0 ? got_dw.data() : nullptr, scratch.data());
    for (size_t i = 0; (which & 1) != 0 && i < dx.size(); ++i) ASSERT_NEAR(got_dx[i], dx[i], 0.02) << i;
    for (size_t i = 0; (which & 2) != 0 && i < dw.size(); ++i) ASSERT_NEAR(got_dw[i], dw[i], 0.02) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Depthwise,
    testing::Values(Case{"k3", 32, 9, 11, 3, 1, 1, 1}, Case{"k3_masked", 20, 8, 7, 3, 1, 1, 1},
                    Case{"k3_unpadded", 16, 6, 9, 3, 1, 0, 0}, Case{"k3_stride2", 24, 12, 20, 3, 2, 1, 1},
                    Case{"k3_stride2_same", 16, 12, 10, 3, 2, 0, 1}, Case{"k5", 40, 7, 13, 5, 1, 2, 2},
                    Case{"k5_small", 16, 2, 3, 5, 1, 2, 2}, Case{"k5_stride2", 16, 15, 22, 5, 2, 2, 2},
                    Case{"k5_stride2_same", 48, 14, 16, 5, 2, 1, 2}, Case{"one_row", 16, 1, 8, 3, 1, 1, 1},
                    Case{"wide_pads", 16, 5, 5, 3, 1, 2, 2}),
    [](const auto& info) { return info.param.name; });

TEST(Depthwise, OthersGoElsewhere) {
  ConvShape s = ShapeOf({"", 16, 9, 9, 3, 1, 1, 1});
  EXPECT_TRUE(IsDepthwise(s));
  s.dilations = {2, 2};
  EXPECT_FALSE(IsDepthwise(s));
  s = ShapeOf({"", 16, 9, 9, 3, 3, 1, 1});
  EXPECT_FALSE(IsDepthwise(s));
  s = ShapeOf({"", 16, 9, 9, 7, 1, 3, 3});
  EXPECT_FALSE(IsDepthwise(s));
}

}  // namespace
}  // namespace octet::train
