// quant/activation.h on vectors of 16, operation for operation: the same bits.
#pragma once

#include <immintrin.h>

#include "quant/activation.h"

namespace octet::engine::avx512 {

namespace {

inline __m512 Exp(__m512 x) {
  const auto c = [](float v) { return _mm512_set1_ps(v); };
  x = _mm512_max_ps(x, c(-87.0f));
  const __m512 n =
      _mm512_roundscale_ps(_mm512_mul_ps(x, c(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_sub_ps(x, _mm512_mul_ps(n, c(0.693359375f)));
  r = _mm512_sub_ps(r, _mm512_mul_ps(n, c(-2.12194440e-4f)));
  __m512 p = c(1.0f / 5040);
  for (const float k : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    p = _mm512_add_ps(_mm512_mul_ps(p, r), c(k));
  }
  const __m512i bits = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
  return _mm512_mul_ps(p, _mm512_castsi512_ps(bits));
}

inline __m512 Sigmoid(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 e = Exp(_mm512_or_ps(x, _mm512_set1_ps(-0.0f)));  // -|x|
  const __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
  return _mm512_div_ps(_mm512_mask_blend_ps(positive, e, one), _mm512_add_ps(one, e));
}

inline __m512 HardSigmoid(__m512 x, float alpha, float beta) {
  const __m512 y = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(alpha)), _mm512_set1_ps(beta));
  return _mm512_min_ps(_mm512_max_ps(y, _mm512_setzero_ps()), _mm512_set1_ps(1.0f));
}

inline __m512 Activate(__m512 y, const quant::Activation& f) {
  using Kind = quant::ActivationKind;
  switch (f.kind) {
    case Kind::kNone: return y;
    case Kind::kClip: return _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps(f.alpha)), _mm512_set1_ps(f.beta));
    case Kind::kLeakyRelu:
      return _mm512_mask_mul_ps(y, _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ), y, _mm512_set1_ps(f.alpha));
    case Kind::kSigmoid: return Sigmoid(y);
    case Kind::kHardSigmoid: return HardSigmoid(y, f.alpha, f.beta);
    case Kind::kHardSwish: return _mm512_mul_ps(y, HardSigmoid(y, 1.0f / 6, 0.5f));
    case Kind::kSwish: return _mm512_mul_ps(y, Sigmoid(y));
  }
  return y;
}

}  // namespace

}  // namespace octet::engine::avx512
