#include <immintrin.h>

#include <algorithm>

#include "train/kernels/gate_codes.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kPixels = 256;  // whose sums f32 adds up before they become double

__mmask16 MaskFor(int64_t left) {
  return left >= kLanes ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
}

inline __m512i LoadCodes(const int8_t* codes, __mmask16 mask) {
  return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, codes));
}

// 16 channels of code * x_scale and of its product with the gate, rounded as the simulation rounds them.
struct Gated {
  __m512 x, product;
  Gated(const int8_t* codes, __mmask16 mask, __m512 scale, __m512 gate)
      : x(_mm512_mul_ps(_mm512_cvtepi32_ps(LoadCodes(codes, mask)), scale)), product(_mm512_mul_ps(x, gate)) {}
};

}  // namespace

void SumCodes(const int8_t* x, int64_t pixels, int64_t channels, int32_t* sums) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t p = 0; p < pixels; ++p) sum = _mm512_add_epi32(sum, LoadCodes(x + p * channels + c, mask));
    _mm512_mask_storeu_epi32(sums + c, mask, sum);
  }
}

float RangeOfGated(const int8_t* x, int64_t pixels, int64_t channels, const GateTail& t) {
  float most = 0;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512i largest = _mm512_setzero_si512();
    for (int64_t p = 0; p < pixels; ++p) {
      largest = _mm512_max_epi32(largest, _mm512_abs_epi32(LoadCodes(x + p * channels + c, mask)));
    }
    // Rounded products are monotone in the code: the channel's largest one has the largest product.
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(largest), _mm512_set1_ps(t.x_scale));
    const __m512 product = _mm512_mul_ps(value, _mm512_maskz_loadu_ps(mask, t.gate + c));
    most = std::max(most, _mm512_reduce_max_ps(_mm512_abs_ps(product)));
  }
  return most;
}

void GateCodes(const int8_t* x, int64_t pixels, int64_t channels, const GateTail& t, int8_t* y) {
  const __m512 x_scale = _mm512_set1_ps(t.x_scale), y_scale = _mm512_set1_ps(t.y_scale);
  const __m512 low = _mm512_set1_ps(t.code_low), high = _mm512_set1_ps(t.code_high);
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const int64_t at = p * channels + c;
      const Gated g(x + at, mask, x_scale, _mm512_maskz_loadu_ps(mask, t.gate + c));
      const __m512 exact = _mm512_div_ps(g.product, y_scale);
      const __m512i q = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(exact, low), high));  // ties to even
      _mm_mask_storeu_epi8(y + at, mask, _mm512_cvtepi32_epi8(q));
    }
  }
}

void GateGradient(const float* dy, const int8_t* x, int64_t pixels, int64_t channels, const GateTail& t, float* dx,
                  double* dgate) {
  std::fill(dgate, dgate + channels, 0.0);
  const __m512 x_scale = _mm512_set1_ps(t.x_scale), y_scale = _mm512_set1_ps(t.y_scale);
  const __m512 low = _mm512_set1_ps(t.code_low), high = _mm512_set1_ps(t.code_high);
  for (int64_t begin = 0; begin < pixels; begin += kPixels) {
    const int64_t end = std::min(pixels, begin + kPixels);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const __m512 gate = _mm512_maskz_loadu_ps(mask, t.gate + c);
      __m512 sum = _mm512_setzero_ps();
      for (int64_t p = begin; p < end; ++p) {
        const int64_t at = p * channels + c;
        const Gated g(x + at, mask, x_scale, gate);
        // The gradient passes where the code needed no clamping.
        const __m512 code =
            _mm512_roundscale_ps(_mm512_div_ps(g.product, y_scale), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __mmask16 inside =
            mask & _mm512_cmp_ps_mask(code, low, _CMP_GE_OQ) & _mm512_cmp_ps_mask(code, high, _CMP_LE_OQ);
        const __m512 d = _mm512_maskz_loadu_ps(inside, dy + at);
        _mm512_mask_storeu_ps(dx + at, mask, _mm512_mul_ps(d, gate));
        sum = _mm512_fmadd_ps(d, g.x, sum);
      }
      float lanes[kLanes];
      _mm512_storeu_ps(lanes, sum);
      for (int64_t i = 0; i < std::min(kLanes, channels - c); ++i) dgate[c + i] += static_cast<double>(lanes[i]);
    }
  }
}

}  // namespace octet::train
