// Vectors of 16 channels; within a block of rows that stays in the L1 cache a channel's sums stay in registers.
#include <immintrin.h>

#include <algorithm>
#include <cmath>

#include "train/kernels/integer_rows.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;

__mmask16 MaskFor(int64_t left) {
  return left >= kLanes ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
}

// Rows in a block: about 16 KiB of f32.
int64_t BlockRows(int64_t channels) {
  return std::max<int64_t>(8, std::min<int64_t>(64, 4096 / channels));
}

inline __m512 Values(const int32_t* sums, __mmask16 mask, __m512 m) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums)), m);
}

inline __m512 Codes(const int8_t* codes, __mmask16 mask) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, codes)));
}

inline void AddDoubles(double* to, __mmask16 mask, __m512 v) {
  float lanes[kLanes];
  _mm512_storeu_ps(lanes, v);
  for (int64_t i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1) != 0) to[i] += static_cast<double>(lanes[i]);
  }
}

// Parameters of 16 channels.
struct Lane {
  __m512 m, a, b, mean, inverse;
  Lane(const BlockTail& t, int64_t c, __mmask16 mask)
      : m(_mm512_maskz_loadu_ps(mask, t.m + c)),
        a(_mm512_maskz_loadu_ps(mask, t.a + c)),
        b(_mm512_maskz_loadu_ps(mask, t.b + c)),
        mean(_mm512_maskz_loadu_ps(mask, t.mean + c)),
        inverse(_mm512_maskz_loadu_ps(mask, t.inverse + c)) {}
  __m512 Affine(__m512 v) const { return _mm512_add_ps(_mm512_mul_ps(v, a), b); }
};

inline __m512 Joined(const BlockTail& t, __m512 z, int64_t at, __mmask16 mask) {
  if (t.residual == nullptr) return z;
  return _mm512_add_ps(z, _mm512_mul_ps(Codes(t.residual + at, mask), _mm512_set1_ps(t.residual_scale)));
}

inline __m512 Clip(__m512 z, float low, float high) {
  return _mm512_min_ps(_mm512_max_ps(z, _mm512_set1_ps(low)), _mm512_set1_ps(high));
}

// x / scale in 5 instructions; the division of a vector takes some 16 cycles. One step of Newton's with the remainder
// that fma computes, as processors without a divider do it (Markstein, IBM Journal of R&D 34, 1990). The test compares
// the codes of all values beside half-way cases with the division's.
struct Divisor {
  __m512 scale, reciprocal;
  explicit Divisor(float s) : scale(_mm512_set1_ps(s)), reciprocal(_mm512_set1_ps(1.0f / s)) {}
  __m512 Quotient(__m512 x) const {
    // Far from every code the step may start anywhere; infinity would make it infinity - infinity.
    const __m512 near = Clip(_mm512_mul_ps(x, reciprocal), -1e4f, 1e4f);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(near, scale, x), reciprocal, near);
  }
};

// x^ with the bit that says whether the gradient passes.
struct Saved {
  __m512 value;
  __mmask16 passes;
  Saved(const uint16_t* at, __mmask16 mask) {
    const __m512i word = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at));
    passes = _mm512_test_epi32_mask(word, _mm512_set1_epi32(1));
    value = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_srli_epi32(word, 1), 17));
  }
};

struct Affine {
  __m512 a, p, q;
  Affine(const float* a_at, const float* p_at, const float* q_at, __mmask16 mask)
      : a(_mm512_maskz_loadu_ps(mask, a_at)),
        p(_mm512_maskz_loadu_ps(mask, p_at)),
        q(_mm512_maskz_loadu_ps(mask, q_at)) {}
  __m512 Gradient(const float* dy, const uint16_t* saved, __mmask16 mask) const {
    const Saved x(saved, mask);
    const __m512 g = _mm512_maskz_loadu_ps(mask & x.passes, dy);
    return _mm512_fmadd_ps(a, g, _mm512_fmadd_ps(p, x.value, q));
  }
};

}  // namespace

void SumChannelsOfSums(const int32_t* sums, int64_t rows, int64_t channels, const float* m, const float* shift,
                       bool add, const ChannelSums& out) {
  if (!add) {
    std::fill(out.sum, out.sum + channels, 0.0);
    std::fill(out.squares, out.squares + channels, 0.0);
    std::fill(out.low, out.low + channels, INFINITY);
    std::fill(out.high, out.high + channels, -INFINITY);
  }
  const int64_t block = BlockRows(channels);
  for (int64_t begin = 0; begin < rows; begin += block) {
    const int64_t end = std::min(rows, begin + block);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const __m512 by = _mm512_maskz_loadu_ps(mask, m + c), near = _mm512_maskz_loadu_ps(mask, shift + c);
      __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
      __m512 low = _mm512_set1_ps(INFINITY), high = _mm512_set1_ps(-INFINITY);
      for (int64_t r = begin; r < end; ++r) {
        const __m512 v = Values(sums + r * channels + c, mask, by);
        const __m512 d = _mm512_sub_ps(v, near);
        sum = _mm512_add_ps(sum, d);
        squares = _mm512_fmadd_ps(d, d, squares);
        low = _mm512_min_ps(low, v);
        high = _mm512_max_ps(high, v);
      }
      AddDoubles(out.sum + c, mask, sum);
      AddDoubles(out.squares + c, mask, squares);
      _mm512_mask_storeu_ps(out.low + c, mask, _mm512_min_ps(low, _mm512_maskz_loadu_ps(mask, out.low + c)));
      _mm512_mask_storeu_ps(out.high + c, mask, _mm512_max_ps(high, _mm512_maskz_loadu_ps(mask, out.high + c)));
    }
  }
}

float RangeOfSums(const int32_t* sums, int64_t rows, int64_t channels, const BlockTail& t) {
  __m512 most = _mm512_setzero_ps();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const Lane lane(t, c, mask);
      const int64_t at = r * channels + c;
      const __m512 z = Joined(t, lane.Affine(Values(sums + at, mask, lane.m)), at, mask);
      most = _mm512_mask_max_ps(most, mask, most, _mm512_abs_ps(Clip(z, t.low, t.high)));
    }
  }
  return _mm512_reduce_max_ps(most);
}

void CodesOfSums(const int32_t* sums, int64_t rows, int64_t channels, const BlockTail& t, int8_t* codes,
                 uint16_t* saved) {
  const Divisor scale(t.scale);
  const __m512 pass_low = _mm512_set1_ps(t.pass_low), pass_high = _mm512_set1_ps(t.pass_high);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const Lane lane(t, c, mask);
      const int64_t at = r * channels + c;
      const __m512 v = Values(sums + at, mask, lane.m);
      const __m512 z = Joined(t, lane.Affine(v), at, mask);
      const __m512 exact = scale.Quotient(Clip(z, t.low, t.high));
      const __m512i q = _mm512_cvtps_epi32(Clip(exact, t.code_low, t.code_high));  // to nearest, ties to even
      _mm_mask_storeu_epi8(codes + at, mask, _mm512_cvtepi32_epi8(q));
      if (saved == nullptr) continue;
      const __mmask16 passes =
          _mm512_cmp_ps_mask(z, pass_low, _CMP_GE_OQ) & _mm512_cmp_ps_mask(z, pass_high, _CMP_LE_OQ);
      const __m512 normal = _mm512_mul_ps(_mm512_sub_ps(v, lane.mean), lane.inverse);
      __m512i word = _mm512_add_epi32(_mm512_castps_si512(normal), _mm512_set1_epi32(0x10000));
      word = _mm512_slli_epi32(_mm512_srli_epi32(word, 17), 1);
      word = _mm512_mask_or_epi32(word, passes, word, _mm512_set1_epi32(1));
      _mm256_mask_storeu_epi16(saved + at, mask, _mm512_cvtepi32_epi16(word));
    }
  }
}

void SumPassedGradient(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, int64_t stride,
                       double* sum_g, double* sum_gx, float* most, float* g) {
  std::fill(sum_g, sum_g + channels, 0.0);
  std::fill(sum_gx, sum_gx + channels, 0.0);
  std::fill(most, most + channels, 0.0f);
  const int64_t block = BlockRows(channels);
  for (int64_t begin = 0; begin < rows; begin += block) {
    const int64_t end = std::min(rows, begin + block);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      __m512 sum = _mm512_setzero_ps(), product = _mm512_setzero_ps(), top = _mm512_maskz_loadu_ps(mask, most + c);
      for (int64_t r = begin; r < end; ++r) {
        const int64_t at = r * stride + c;
        const Saved x(saved + at, mask);
        const __m512 v = _mm512_maskz_loadu_ps(mask & x.passes, dy + at);
        sum = _mm512_add_ps(sum, v);
        product = _mm512_fmadd_ps(v, x.value, product);
        top = _mm512_max_ps(top, _mm512_abs_ps(v));
        if (g != nullptr) _mm512_mask_storeu_ps(g + at, mask, v);
      }
      AddDoubles(sum_g + c, mask, sum);
      AddDoubles(sum_gx + c, mask, product);
      _mm512_mask_storeu_ps(most + c, mask, top);
    }
  }
}

void PassedValues(const float* dy, const uint16_t* saved, int64_t count, float* g) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = MaskFor(count - i);
    const Saved x(saved + i, mask);
    _mm512_mask_storeu_ps(g + i, mask, _mm512_maskz_loadu_ps(mask & x.passes, dy + i));
  }
}

void GradientCodes(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                   const float* p, const float* q, int16_t* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const int64_t at = r * channels + c;
      const __m512 v = Affine(a + c, p + c, q + c, mask).Gradient(dy + at, saved + at, mask);
      _mm256_mask_storeu_epi16(y + at, mask, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v)));
    }
  }
}

void GradientValues(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                    const float* p, const float* q, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const int64_t at = r * channels + c;
      _mm512_mask_storeu_ps(y + at, mask, Affine(a + c, p + c, q + c, mask).Gradient(dy + at, saved + at, mask));
    }
  }
}

void GradientBf16(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                  const float* p, const float* q, uint16_t* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskFor(channels - c);
      const int64_t at = r * channels + c;
      const __m512i v = _mm512_castps_si512(Affine(a + c, p + c, q + c, mask).Gradient(dy + at, saved + at, mask));
      // To nearest, ties to even.
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(v, 16), _mm512_set1_epi32(1));
      const __m512i up = _mm512_add_epi32(v, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
      _mm256_mask_storeu_epi16(y + at, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16)));
    }
  }
}

void CodesToBf16(const int8_t* codes, int64_t count, uint16_t* y) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = MaskFor(count - i);
    const __m512i v = _mm512_castps_si512(Codes(codes + i, mask));
    _mm256_mask_storeu_epi16(y + i, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)));
  }
}

void DequantizeCodes(const int8_t* codes, int64_t count, float scale, float* y) {
  const __m512 by = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = MaskFor(count - i);
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(Codes(codes + i, mask), by));
  }
}

void QuantizeValues(const float* x, int64_t count, float scale, float low, float high, int8_t* codes, uint8_t* inside) {
  const Divisor by(scale);
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = MaskFor(count - i);
    const __m512 exact = by.Quotient(_mm512_maskz_loadu_ps(mask, x + i));
    const __m512i q = _mm512_cvtps_epi32(Clip(exact, low, high));
    _mm_mask_storeu_epi8(codes + i, mask, _mm512_cvtepi32_epi8(q));
    if (inside == nullptr) continue;
    // Rounded on its own: half-way cases go to even, into the range or out of it.
    const __m512 code = _mm512_roundscale_ps(exact, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __mmask16 in = _mm512_cmp_ps_mask(code, _mm512_set1_ps(low), _CMP_GE_OQ) &
                         _mm512_cmp_ps_mask(code, _mm512_set1_ps(high), _CMP_LE_OQ);
    _mm_mask_storeu_epi8(inside + i, mask, _mm_maskz_set1_epi8(in, 1));
  }
}

}  // namespace octet::train
