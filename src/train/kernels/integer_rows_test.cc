#include "train/kernels/integer_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "train/kernels/product_s16.h"

namespace octet::train {
namespace {

// The floats beside each half-way case, for many scales: where an error of the quotient's last bit would show.
TEST(IntegerRows, CodesAreThoseOfTheDivision) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  std::mt19937 random(3);
  std::uniform_real_distribution<float> mantissa(1.0f, 2.0f);
  std::uniform_int_distribution<int> exponent(-40, 20);
  for (int s = 0; s < 400; ++s) {
    float scale = std::ldexp(mantissa(random), exponent(random));
    if (s == 0) scale = std::nextafter(2.0f, 0.0f);  // the reciprocal that is hardest to round
    if (s == 1) scale = 1.0f / 127;
    if (s == 2) scale = 6.0f / 127;
    std::vector<float> x;
    for (int code = -140; code <= 140; ++code) {
      float v = (static_cast<float>(code) + 0.5f) * scale;
      for (int i = 0; i < 4; ++i) v = std::nextafter(v, -INFINITY);
      for (int i = 0; i < 9; ++i) {
        x.push_back(v);
        v = std::nextafter(v, INFINITY);
      }
    }
    x.insert(x.end(), {0.0f, -0.0f, 1e-30f, 1e30f, -1e30f});
    std::vector<int8_t> codes(x.size());
    std::vector<uint8_t> inside(x.size());
    QuantizeValues(x.data(), static_cast<int64_t>(x.size()), scale, -128, 127, codes.data(), inside.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const float code = std::nearbyint(x[i] / scale);
      ASSERT_EQ(codes[i], std::min(127.0f, std::max(-128.0f, code))) << x[i] << " / " << scale;
      ASSERT_EQ(inside[i], code >= -128 && code <= 127 ? 1 : 0) << x[i] << " / " << scale;
    }
  }
}

}  // namespace
}  // namespace octet::train
