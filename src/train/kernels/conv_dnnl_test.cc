// FP32 convolutions and their gradients against plain loops.
#include "train/kernels/conv_dnnl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace octet::train {
namespace {

using Floats = std::vector<float>;

Floats Random(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Floats v(static_cast<size_t>(count));
  for (float& f : v) f = normal(random);
  return v;
}

// f(index of x, index of the weight, index of y) for every product of the convolution.
template <typename F>
void ForEachProduct(const ConvShape& s, F f) {
  const int64_t in_c = s.in_channels / s.group, out_c = s.out_channels / s.group;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t i = 0; i < s.out[0] * s.out[1] * s.kernel[0] * s.kernel[1]; ++i) {
      const int64_t q = i % s.kernel[1], r = i / s.kernel[1] % s.kernel[0];
      const int64_t w = i / (s.kernel[0] * s.kernel[1]) % s.out[1], h = i / (s.kernel[0] * s.kernel[1]) / s.out[1];
      const int64_t y = h * s.strides[0] - s.pad_begin[0] + r, x = w * s.strides[1] - s.pad_begin[1] + q;
      if (y < 0 || y >= s.in[0] || x < 0 || x >= s.in[1]) continue;
      for (int64_t k = 0; k < s.out_channels; ++k) {
        for (int64_t c = 0; c < in_c; ++c) {
          f(((n * s.in[0] + y) * s.in[1] + x) * s.in_channels + k / out_c * in_c + c,
            ((k * s.kernel[0] + r) * s.kernel[1] + q) * in_c + c,
            ((n * s.out[0] + h) * s.out[1] + w) * s.out_channels + k);
        }
      }
    }
  }
}

void ExpectNear(const Floats& got, const std::vector<double>& want, const char* what) {
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-3 * (1 + std::abs(want[i]))) << what << i;
}

void Check(int64_t in_c, int64_t size, int64_t out_c, int64_t kernel, int64_t stride, int64_t pad, int64_t group) {
  SCOPED_TRACE(testing::Message() << in_c << "x" << size << " -> " << out_c << " kernel " << kernel << " stride "
                                  << stride << " group " << group);
  ConvShape s;
  s.batch = 3;
  s.in_channels = in_c;
  s.out_channels = out_c;
  s.group = group;
  const int64_t out = (size + 2 * pad - kernel) / stride + 1;
  s.in = {size, size};
  s.out = {out, out};
  s.kernel = {kernel, kernel};
  s.strides = {stride, stride};
  s.dilations = {1, 1};
  s.pad_begin = s.pad_end = {pad, pad};
  const Floats x = Random(s.batch * size * size * in_c, 1), dy = Random(s.batch * out * out * out_c, 2),
               weight = Random(out_c * in_c / group * kernel * kernel, 3);
  Floats y(dy.size()), dx(x.size()), dweight(weight.size()), dbias(static_cast<size_t>(out_c));
  std::vector<double> want_y(y.size()), want_dx(x.size()), want_dweight(weight.size()), want_dbias(dbias.size());
  ForEachProduct(s, [&](int64_t i, int64_t w, int64_t o) {
    want_y[o] += static_cast<double>(x[i]) * weight[w];
    want_dx[i] += static_cast<double>(dy[o]) * weight[w];
    want_dweight[w] += static_cast<double>(dy[o]) * x[i];
  });
  for (size_t i = 0; i < dy.size(); ++i) want_dbias[i % out_c] += dy[i];
  // The weight gradient comes first: its scratch memory is then no larger than it needs.
  ConvBackwardWeight(s, x.data(), dy.data(), dweight.data(), nullptr);
  ExpectNear(dweight, want_dweight, "dweight");
  ConvBackwardWeight(s, x.data(), dy.data(), dweight.data(), dbias.data());
  ExpectNear(dweight, want_dweight, "dweight with bias");
  ExpectNear(dbias, want_dbias, "dbias");
  ConvBackwardData(s, dy.data(), weight.data(), dx.data());
  ExpectNear(dx, want_dx, "dx");
  ConvForward(s, x.data(), weight.data(), nullptr, y.data());
  ExpectNear(y, want_y, "y");
}

// oneDNN 2.6 corrupted the heap here: it writes past the pixels that it gathers.
TEST(ConvDnnl, StridedOneByOneOfOddChannels) {
  for (const int64_t in_c : {13, 3, 20, 7}) {
    for (const int64_t size : {8, 17, 32, 64}) Check(in_c, size, 48, 1, 2, 0, 1);
  }
}

TEST(ConvDnnl, EqualsLoops) {
  Check(3, 9, 16, 3, 2, 1, 1);
  Check(16, 9, 24, 1, 2, 0, 1);
  Check(16, 9, 24, 1, 1, 0, 1);
  Check(24, 8, 40, 1, 2, 0, 4);
  Check(12, 7, 12, 3, 1, 1, 12);
  Check(5, 7, 9, 5, 1, 2, 1);
}

}  // namespace
}  // namespace octet::train
