// What every AVX-512 kernel does with its accumulators. Only *_avx512.cc files include this; they are compiled with
// AVX-512 flags and called after a cpuid check.
#pragma once

#include <immintrin.h>

#include "engine/kernels/kernels.h"

namespace octet::engine::avx512 {

// Everything in the anonymous namespace: a copy compiled with AVX-512 flags must never be picked for another file.
namespace {

struct Epilogue {
  __m512 inverse;
  __m512 scale;
  __m512 limit;  // |y * inverse - rne| above this: near a tie, divide
  __m512 residual_scale;
  __m512i lo, hi;
  explicit Epilogue(const Quantizer& q, float residual = 0.0f) {
    inverse = _mm512_set1_ps(q.inverse);
    scale = _mm512_set1_ps(q.scale);
    limit = _mm512_set1_ps(q.divide ? -1.0f : 0.5f - kTieDistance);
    residual_scale = _mm512_set1_ps(residual);
    lo = _mm512_set1_epi8(static_cast<char>(q.lo));
    hi = _mm512_set1_epi8(static_cast<char>(q.hi));
  }
};

// NV vectors of y, in packed lane order -> NV * 16 bytes in channel order, in the low bytes of the result.
template <int NV>
inline __attribute__((always_inline)) __m512i QuantizePack(const __m512 (&y)[NV], const Epilogue& e) {
  __m512 t[NV];
  __m512 worst = _mm512_setzero_ps();
  for (int a = 0; a < NV; ++a) {
    t[a] = _mm512_mul_ps(y[a], e.inverse);
    worst = _mm512_range_ps(worst, _mm512_reduce_ps(t[a], 8), 0xb);  // max of magnitudes; reduce: t - rne(t)
  }
  if (__builtin_expect(_mm512_cmp_ps_mask(worst, e.limit, _CMP_GT_OQ) != 0, 0)) {
    for (int a = 0; a < NV; ++a) t[a] = _mm512_div_ps(y[a], e.scale);
  }
  // Above 2^31 the conversion would give INT_MIN; below -2^31 INT_MIN is right.
  const __m512 top = _mm512_set1_ps(127.0f);
  __m512i q[NV];
  for (int a = 0; a < NV; ++a) q[a] = _mm512_cvtps_epi32(_mm512_min_ps(t[a], top));
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
  for (int a = 0; a < NV; ++a) codes[a] = _mm512_sub_epi32(codes[a], offset);
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

// n bytes, n <= 64.
inline __mmask64 ByteMask(int64_t n) {
  return n >= 64 ? ~0ull : (1ull << n) - 1;
}

}  // namespace

}  // namespace octet::engine::avx512
