// What every AVX-512 kernel does with its accumulators. Only *_avx512.cc files include this; they are compiled with
// AVX-512 flags and called after a cpuid check.
#pragma once

#include <immintrin.h>

#include <utility>

#include "engine/kernels/avx512_activation.h"
#include "engine/kernels/kernels.h"

namespace octet::engine::avx512 {

// Everything in the anonymous namespace: a copy compiled with AVX-512 flags must never be picked for another file.
namespace {

// f(0), f(1), ... f(N - 1) with constants as arguments. Loops over arrays of vectors are written with it: the compiler
// then sees only constant indices and keeps the arrays in registers.
template <typename F, int... I>
inline __attribute__((always_inline)) void UnrollImpl(F&& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, typename F>
inline __attribute__((always_inline)) void Unroll(F&& f) {
  UnrollImpl(f, std::make_integer_sequence<int, N>{});
}
#define OCTET_UNROLLED(index) [&](auto index) __attribute__((always_inline))

struct Epilogue {
  __m512 inverse;
  __m512 scale;
  __m512 limit;  // |y * inverse - rne| above this: near a tie, divide
  __m512 residual_scale;
  __m512i lo, hi;
  __m512 fast_limit = _mm512_set1_ps(-1.0f);
  __m512 fast_residual = _mm512_setzero_ps();
  const quant::Activation* activation = nullptr;  // beyond a clip of codes
  explicit Epilogue(const Quantizer& q, float residual = 0.0f, const FastScale* fast = nullptr,
                    const quant::Activation* act = nullptr) {
    if (act && act->kind != quant::ActivationKind::kNone && act->kind != quant::ActivationKind::kClip) activation = act;
    if (fast) {
      fast_limit = _mm512_set1_ps(fast->limit);
      fast_residual = _mm512_set1_ps(fast->residual);
    }
    inverse = _mm512_set1_ps(q.inverse);
    scale = _mm512_set1_ps(q.scale);
    limit = _mm512_set1_ps(q.divide ? -1.0f : 0.5f - kTieDistance);
    residual_scale = _mm512_set1_ps(residual);
    lo = _mm512_set1_epi8(static_cast<char>(q.lo));
    hi = _mm512_set1_epi8(static_cast<char>(q.hi));
  }
};

// NV vectors in packed lane order, rounded to codes -> NV * 16 stored bytes in channel order, clipped.
template <int NV>
inline __attribute__((always_inline)) __m512i RoundPack(const __m512 (&t)[NV], const Epilogue& e) {
  __m512i q[NV];
  Unroll<NV>(OCTET_UNROLLED(a) { q[a] = _mm512_cvtps_epi32(t[a]); });
  __m512i bytes;
  if constexpr (NV == 4) {
    bytes = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
  } else if constexpr (NV == 2) {
    bytes = _mm512_castsi256_si512(_mm512_cvtsepi16_epi8(_mm512_packs_epi32(q[0], q[1])));
  } else {
    bytes = _mm512_castsi128_si512(_mm512_cvtsepi32_epi8(q[0]));
  }
  bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80)));
  return _mm512_min_epu8(_mm512_max_epu8(bytes, e.lo), e.hi);
}

// NV vectors of y, in packed lane order -> NV * 16 bytes in channel order, in the low bytes of the result.
template <int NV>
inline __attribute__((always_inline)) __m512i QuantizePack(const __m512 (&y)[NV], const Epilogue& e) {
  __m512 t[NV];
  __m512 worst = _mm512_setzero_ps();
  Unroll<NV>(OCTET_UNROLLED(a) {
    t[a] = _mm512_mul_ps(y[a], e.inverse);
    worst = _mm512_range_ps(worst, _mm512_reduce_ps(t[a], 8), 0xb);  // max of magnitudes; reduce: t - rne(t)
  });
  if (__builtin_expect(_mm512_cmp_ps_mask(worst, e.limit, _CMP_GT_OQ) != 0, 0)) {
    Unroll<NV>(OCTET_UNROLLED(a) { t[a] = _mm512_div_ps(y[a], e.scale); });
  }
  // Above 2^31 the conversion would give INT_MIN; below -2^31 INT_MIN is right.
  const __m512 top = _mm512_set1_ps(127.0f);
  Unroll<NV>(OCTET_UNROLLED(a) { t[a] = _mm512_min_ps(t[a], top); });
  return RoundPack<NV>(t, e);
}

// NV * 16 stored bytes in channel order -> NV vectors of codes (s32) in packed lane order.
template <int NV>
inline __attribute__((always_inline)) void LoadUnpack(const uint8_t* from, __m512i (&codes)[NV]) {
  const __m512i offset = _mm512_set1_epi32(128);
  if constexpr (NV == 4) {
    const __m512i bytes = _mm512_loadu_si512(from);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i low = _mm512_unpacklo_epi8(bytes, zero);
    const __m512i high = _mm512_unpackhi_epi8(bytes, zero);
    codes[0] = _mm512_unpacklo_epi16(low, zero);
    codes[1] = _mm512_unpackhi_epi16(low, zero);
    codes[2] = _mm512_unpacklo_epi16(high, zero);
    codes[3] = _mm512_unpackhi_epi16(high, zero);
  } else if constexpr (NV == 2) {
    const __m512i words = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    const __m512i zero = _mm512_setzero_si512();
    codes[0] = _mm512_unpacklo_epi16(words, zero);
    codes[1] = _mm512_unpackhi_epi16(words, zero);
  } else {
    codes[0] = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  Unroll<NV>(OCTET_UNROLLED(a) { codes[a] = _mm512_sub_epi32(codes[a], offset); });
}

template <int NV>
inline __attribute__((always_inline)) void StoreBytes(uint8_t* to, __m512i bytes) {
  if constexpr (NV == 4) {
    _mm512_storeu_si512(to, bytes);
  } else if constexpr (NV == 2) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(bytes));
  } else {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_castsi512_si128(bytes));
  }
}

// y = float(acc) * m + b [+ r * s_r], each operation rounded.
template <int NV>
inline __attribute__((always_inline)) void DefinedResult(const __m512i* acc, const float* mul, const float* bias,
                                                         const uint8_t* residual, const Epilogue& e, __m512 (&y)[NV]) {
  Unroll<NV>(OCTET_UNROLLED(a) {
    y[a] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[a]), _mm512_loadu_ps(mul + a * 16));
    y[a] = _mm512_add_ps(y[a], _mm512_loadu_ps(bias + a * 16));
  });
  if (residual) {
    __m512i codes[NV];
    LoadUnpack<NV>(residual, codes);
    Unroll<NV>(OCTET_UNROLLED(a) {
      y[a] = _mm512_add_ps(y[a], _mm512_mul_ps(_mm512_cvtepi32_ps(codes[a]), e.residual_scale));
    });
  }
}

// The codes by the definition. Apart, because it is rare: a call costs less than its code in every tile.
template <int NV>
__attribute__((noinline)) __m512i DefinedCodes(const __m512i* acc, const float* mul, const float* bias,
                                               const uint8_t* residual, const Epilogue& e) {
  __m512 y[NV];
  DefinedResult<NV>(acc, mul, bias, residual, e, y);
  if (e.activation) Unroll<NV>(OCTET_UNROLLED(a) { y[a] = Activate(y[a], *e.activation); });
  return QuantizePack<NV>(y, e);
}

// The codes of NV accumulators, the quick way where it is safe (FastScale). mul and bias are the defined ones, fast_*
// the scaled ones, all at the place of these lanes.
template <int NV>
inline __attribute__((always_inline)) __m512i Codes(const __m512i (&acc)[NV], const float* mul, const float* bias,
                                                    const float* fast_mul, const float* fast_bias,
                                                    const uint8_t* residual, const Epilogue& e) {
  __m512 t[NV];
  __m512 worst = _mm512_setzero_ps();
  Unroll<NV>(OCTET_UNROLLED(a) {
    t[a] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[a]), _mm512_loadu_ps(fast_mul + a * 16),
                           _mm512_loadu_ps(fast_bias + a * 16));
  });
  if (residual) {
    __m512i codes[NV];
    LoadUnpack<NV>(residual, codes);
    Unroll<NV>(OCTET_UNROLLED(a) { t[a] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(codes[a]), e.fast_residual, t[a]); });
  }
  Unroll<NV>(OCTET_UNROLLED(a) { worst = _mm512_range_ps(worst, _mm512_reduce_ps(t[a], 8), 0xb); });
  if (__builtin_expect(_mm512_cmp_ps_mask(worst, e.fast_limit, _CMP_GT_OQ) != 0, 0)) {
    __m512i copy[NV];
    Unroll<NV>(OCTET_UNROLLED(a) { copy[a] = acc[a]; });
    return DefinedCodes<NV>(copy, mul, bias, residual, e);
  }
  return RoundPack<NV>(t, e);
}

// Packed lane order of four vectors to channel order, for f32 results of 64 channels.
inline void StoreF32(const __m512 (&y)[4], int64_t channels, float* to, int64_t channel_stride) {
  float values[64];
  for (int a = 0; a < 4; ++a) _mm512_storeu_ps(values + a * 16, y[a]);
  for (int a = 0; a < 4; ++a) {
    for (int lane = 0; lane < 16; ++lane) {
      const int64_t c = PackedChannel(4, a, lane);
      if (c < channels) to[c * channel_stride] = values[a * 16 + lane];
    }
  }
}

// Up to 64 stored bytes -> four vectors of s32 in packed lane order, 128 still in.
inline __attribute__((always_inline)) void LoadMasked(const uint8_t* from, __mmask64 mask, __m512i (&words)[4]) {
  const __m512i bytes = _mm512_maskz_loadu_epi8(mask, from);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(bytes, zero);
  const __m512i high = _mm512_unpackhi_epi8(bytes, zero);
  words[0] = _mm512_unpacklo_epi16(low, zero);
  words[1] = _mm512_unpackhi_epi16(low, zero);
  words[2] = _mm512_unpacklo_epi16(high, zero);
  words[3] = _mm512_unpackhi_epi16(high, zero);
}

// n bytes, n <= 64.
inline __mmask64 ByteMask(int64_t n) {
  return n >= 64 ? ~0ull : (1ull << n) - 1;
}

}  // namespace

}  // namespace octet::engine::avx512
