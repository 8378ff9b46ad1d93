// Written so that the compiler vectorises each loop; built for several instruction sets, chosen when the program
// starts.
#include "train/kernels/fake_quant_cpu.h"

#include <algorithm>
#include <cmath>

#include "train/kernels/simd_clones.h"

namespace octet::train {
namespace {

// Rounds |t| < 2^22 to the nearest integer, ties to even: in this binade a float holds no fraction.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

}  // namespace

OCTET_SIMD_CLONES float AmaxOf(const float* x, int64_t count) {
  constexpr int kLanes = 32;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const float a = __builtin_fabsf(x[i + k]);
      lanes[k] = lanes[k] < a ? a : lanes[k];
    }
  }
  float amax = 0;
  for (; i < count; ++i) amax = std::max(amax, std::fabs(x[i]));
  for (const float lane : lanes) amax = std::max(amax, lane);
  return amax;
}

OCTET_SIMD_CLONES void QuantizeRange(const float* __restrict x, int64_t count, float scale, float low, float high,
                                     float* __restrict codes) {
  for (int64_t i = 0; i < count; ++i) {
    float t = x[i] / scale;
    t = t < low ? low : t;
    t = t > high ? high : t;
    codes[i] = (t + kRounder) - kRounder;
  }
}

OCTET_SIMD_CLONES void FakeQuantizeRange(const float* __restrict x, int64_t count, float scale, float low, float high,
                                         float* __restrict y, uint8_t* __restrict inside) {
  if (inside == nullptr) {
    for (int64_t i = 0; i < count; ++i) {
      float t = x[i] / scale;
      t = t < low ? low : t;
      t = t > high ? high : t;
      y[i] = ((t + kRounder) - kRounder) * scale;
    }
    return;
  }
  // Ties go to even: low - 0.5 rounds into the range when low is even, high + 0.5 rounds out of it when high is odd.
  const bool low_even = std::fmod(low, 2.0f) == 0.0f;
  const bool high_even = std::fmod(high, 2.0f) == 0.0f;
  const float first = low_even ? low - 0.5f : std::nextafter(low - 0.5f, 0.0f);
  const float last = high_even ? high + 0.5f : std::nextafter(high + 0.5f, 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    const float exact = x[i] / scale;
    float t = exact < low ? low : exact;
    t = t > high ? high : t;
    y[i] = ((t + kRounder) - kRounder) * scale;
    inside[i] = static_cast<uint8_t>((exact >= first) & (exact <= last));
  }
}

OCTET_SIMD_CLONES void MaskRange(const float* __restrict dy, const uint8_t* __restrict inside, int64_t count,
                                 float* __restrict dx) {
  for (int64_t i = 0; i < count; ++i) {
    const float v = dy[i];
    dx[i] = inside[i] != 0 ? v : 0.0f;
  }
}

}  // namespace octet::train
