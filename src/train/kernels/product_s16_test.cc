// The integer gradients of a convolution against sums in int64 and double, on shapes with every kind of edge.
#include "train/kernels/product_s16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "train/kernels/integer_rows.h"

namespace octet::train {
namespace {

struct Case {
  const char* name;
  int64_t batch, in, out, height, width, kernel, stride, pad, dilation;
};

ConvShape ShapeOf(const Case& c) {
  ConvShape s;
  s.batch = c.batch;
  s.in_channels = c.in;
  s.out_channels = c.out;
  s.in = {c.height, c.width};
  for (size_t d = 0; d < 2; ++d) {
    s.kernel[d] = c.kernel;
    s.strides[d] = c.stride;
    s.dilations[d] = c.dilation;
    s.pad_begin[d] = c.pad;
    const int64_t reach = (c.kernel - 1) * c.dilation + 1;
    s.out[d] = (s.in[d] + 2 * c.pad - reach) / c.stride + 1;
    s.pad_end[d] = (s.out[d] - 1) * c.stride + reach - s.in[d] - c.pad;
  }
  return s;
}

void Serial(int64_t jobs, const std::function<void(int64_t)>& body) {
  for (int64_t i = jobs; i-- > 0;) body(i);
}

class Products : public testing::TestWithParam<Case> {};

TEST_P(Products, AreTheSums) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  const ConvShape s = ShapeOf(GetParam());
  const GradientLayout g = LayoutOfGradient(s);
  std::mt19937 random(7);
  const auto code = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most; };
  const int64_t filter = s.kernel[0] * s.kernel[1] * s.in_channels;
  std::vector<int8_t> x(static_cast<size_t>(s.batch * s.in[0] * s.in[1] * s.in_channels));
  std::vector<int8_t> weight(static_cast<size_t>(s.out_channels * filter));
  for (int8_t& v : x) v = static_cast<int8_t>(code(127));
  for (int8_t& v : weight) v = static_cast<int8_t>(code(127));
  std::vector<int16_t> gradient(static_cast<size_t>(g.size + 32), 0);
  std::vector<float> scale, factor;
  for (int64_t i = 0; i < g.groups; ++i) scale.push_back(0.5f + 0.25f * static_cast<float>(i));
  for (int64_t k = 0; k < s.out_channels; ++k) factor.push_back(0.125f * static_cast<float>(1 + k % 5));
  std::vector<double> dx(x.size(), 0.0), dw(weight.size(), 0.0), largest(weight.size(), 0.0);
  for (int64_t n = 0; n < s.batch; ++n) {
    const double by = scale[static_cast<size_t>(n / g.images_per_scale)];
    for (int64_t oh = 0; oh < s.out[0]; ++oh) {
      for (int64_t ow = 0; ow < s.out[1]; ++ow) {
        for (int64_t k = 0; k < s.out_channels; ++k) {
          const int q = code(static_cast<int>(g.most_code));
          gradient[static_cast<size_t>(g.first + n * g.image + oh * g.row + ow * g.channels + k)] =
              static_cast<int16_t>(q);
          for (int64_t r = 0; r < s.kernel[0]; ++r) {
            for (int64_t t = 0; t < s.kernel[1]; ++t) {
              const int64_t h = oh * s.strides[0] + r * s.dilations[0] - s.pad_begin[0];
              const int64_t w = ow * s.strides[1] + t * s.dilations[1] - s.pad_begin[1];
              if (h < 0 || h >= s.in[0] || w < 0 || w >= s.in[1]) continue;
              for (int64_t c = 0; c < s.in_channels; ++c) {
                const auto at_x = static_cast<size_t>(((n * s.in[0] + h) * s.in[1] + w) * s.in_channels + c);
                const auto at_w = static_cast<size_t>(k * filter + (r * s.kernel[1] + t) * s.in_channels + c);
                dx[at_x] += by * q * weight[at_w];
                dw[at_w] += by * q * x[at_x] * factor[static_cast<size_t>(k)];
              }
            }
          }
        }
      }
    }
  }
  std::vector<float> got_dx(x.size(), NAN), got_dw(weight.size(), NAN);
  Scratch scratch;
  DataGradientS16(s, g, gradient.data(), scale.data(), weight.data(), {}, got_dx.data(), &scratch, Serial);
  std::vector<float> more(x.size());
  std::vector<uint16_t> passes(x.size());
  for (size_t i = 0; i < more.size(); ++i) more[i] = static_cast<float>(i % 7);
  for (size_t i = 0; i < more.size(); ++i) passes[i] = static_cast<uint16_t>(i * 5 / 3);
  DataGradientOptions options;
  options.add = true;
  options.passes = passes.data();
  // For strides of 1 with the sums that the block below needs: two groups of pixels, the second one smaller.
  const bool sums = s.strides[0] == 1 && s.strides[1] == 1;
  const int64_t pixels = s.batch * s.in[0] * s.in[1], in = s.in_channels, first = (2 * pixels + 2) / 3;
  std::vector<uint16_t> values(x.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<uint16_t>(0x3f00 + i % 200 + (i % 3 == 0 ? 0x8000 : 0));
  }
  std::vector<double> sum_g(static_cast<size_t>(in)), sum_gx(sum_g);
  std::vector<float> most(static_cast<size_t>(2 * in));
  if (sums) {
    options.values = values.data();
    options.pixels_per_group = first;
    options.sum_g = sum_g.data();
    options.sum_gx = sum_gx.data();
    options.most = most.data();
  }
  DataGradientS16(s, g, gradient.data(), scale.data(), weight.data(), options, more.data(), &scratch, Serial);
  for (int64_t group = 0; sums && group < 2; ++group) {
    std::vector<double> want_g(sum_g.size()), want_gx(sum_g.size());
    std::vector<float> want_most(sum_g.size());
    const int64_t at = group * first * in;
    SumPassedGradient(more.data() + at, values.data() + at, group == 0 ? first : pixels - first, in, in, want_g.data(),
                      want_gx.data(), want_most.data(), nullptr);
    for (size_t c = 0; c < want_g.size(); ++c) {
      ASSERT_EQ(most[static_cast<size_t>(group * in) + c], want_most[c]) << "channel " << c;
      sum_g[c] -= want_g[c];
      sum_gx[c] -= want_gx[c];
    }
  }
  for (size_t c = 0; sums && c < sum_g.size(); ++c) {
    const double all = 1e-5 * static_cast<double>(pixels) * std::max(most[c], most[static_cast<size_t>(in) + c]);
    ASSERT_NEAR(sum_g[c], 0, all) << "channel " << c;
    ASSERT_NEAR(sum_gx[c], 0, all) << "channel " << c;
  }
  WeightGradientS16(s, g, gradient.data(), scale.data(), x.data(), factor.data(), got_dw.data(), &scratch, Serial);
  // The sums of a group are exact; f32 holds 24 bits of them.
  double most_x = 0, most_w = 0;
  for (const double v : dx) most_x = std::max(most_x, std::fabs(v));
  for (const double v : dw) most_w = std::max(most_w, std::fabs(v));
  for (size_t i = 0; i < dx.size(); ++i) ASSERT_NEAR(got_dx[i], dx[i], 1e-6 * most_x) << "dx " << i;
  for (size_t i = 0; i < dx.size(); ++i) {
    ASSERT_NEAR(more[i], dx[i] + (passes[i] % 2 == 1 ? static_cast<double>(i % 7) : 0.0), 1e-6 * (most_x + 7))
        << "added dx " << i;
  }
  for (size_t i = 0; i < dw.size(); ++i) ASSERT_NEAR(got_dw[i], dw[i], 2e-6 * most_w) << "dw " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Products,
    testing::Values(Case{"plain", 2, 64, 64, 9, 8, 3, 1, 1, 1}, Case{"stride2", 2, 16, 32, 9, 10, 3, 2, 1, 1},
                    Case{"odd_channels", 3, 20, 37, 13, 11, 5, 2, 2, 1}, Case{"dilated", 2, 70, 18, 9, 10, 3, 1, 2, 2},
                    Case{"pointwise_stride2", 2, 33, 15, 7, 9, 1, 2, 0, 1},
                    Case{"pointwise", 2, 48, 24, 5, 5, 1, 1, 0, 1}, Case{"first_layer", 2, 3, 17, 15, 14, 7, 2, 3, 1},
                    Case{"gray", 1, 1, 8, 8, 8, 3, 1, 1, 1}, Case{"bands", 1, 4, 6, 80, 90, 3, 1, 1, 1},
                    Case{"bands_of_images", 9, 24, 20, 33, 34, 3, 1, 1, 1},
                    Case{"bands_strided", 7, 8, 40, 70, 66, 3, 2, 1, 1},
                    Case{"groups_of_images", 5, 8, 8, 20, 20, 3, 1, 1, 1}, Case{"no_pad", 2, 16, 16, 6, 7, 3, 1, 0, 1},
                    Case{"one_pixel", 3, 32, 20, 1, 1, 1, 1, 0, 1},
                    Case{"stride_over_kernel", 2, 16, 16, 8, 8, 2, 3, 0, 1}),
    [](const auto& info) { return std::string(info.param.name); });

// The largest codes everywhere do not overflow the sums.
TEST(Products, LargestCodesDoNotOverflow) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  const ConvShape s = ShapeOf({"", 1, 16, 512, 64, 64, 3, 1, 1, 1});
  const GradientLayout g = LayoutOfGradient(s);
  std::vector<int16_t> gradient(static_cast<size_t>(g.size + 32), 0);
  for (int64_t h = 0; h < 64; ++h) {
    for (int64_t w = 0; w < 64 * 512; ++w) {
      gradient[static_cast<size_t>(g.first + h * g.row + w)] = static_cast<int16_t>(g.most_code);
    }
  }
  const std::vector<int8_t> x(64 * 64 * 16, -128), weight(512 * 9 * 16, -127);
  const std::vector<float> scale(static_cast<size_t>(g.groups), 1.0f), factor(512, 1.0f);
  std::vector<float> dx(x.size()), dw(weight.size());
  Scratch scratch;
  DataGradientS16(s, g, gradient.data(), scale.data(), weight.data(), {}, dx.data(), &scratch, Serial);
  WeightGradientS16(s, g, gradient.data(), scale.data(), x.data(), factor.data(), dw.data(), &scratch, Serial);
  const double code = static_cast<int16_t>(g.most_code);
  EXPECT_NEAR(dx[(32 * 64 + 32) * 16] / (-127.0 * 512 * 9 * code), 1.0, 1e-6);
  EXPECT_NEAR(dw[4 * 16] / (-128.0 * 64 * 64 * code), 1.0, 1e-6);  // the middle tap
}

}  // namespace
}  // namespace octet::train
