#include "train/kernels/optimizer_cpu.h"

#include <cmath>

#include "train/kernels/simd_clones.h"

namespace octet::train {
namespace {

inline float Regularized(const UpdateTerms& t, float g, float w) {
  const float sign = w > 0 ? 1.0f : w < 0 ? -1.0f : 0.0f;
  return g + t.l2 * w + t.l1 * sign;
}

}  // namespace

OCTET_SIMD_CLONES void SgdRange(const UpdateTerms& terms, const float* __restrict g, int64_t count, float* __restrict w,
                                float* __restrict velocity) {
  const UpdateTerms t = terms;
  for (int64_t i = 0; i < count; ++i) {
    const float step = t.learning_rate * Regularized(t, g[i], w[i]);
    const float v = t.momentum * velocity[i] - step;
    velocity[i] = v;
    w[i] += t.nesterov ? t.momentum * v - step : v;
  }
}

OCTET_SIMD_CLONES void AdamRange(const UpdateTerms& terms, const float* __restrict g, int64_t count,
                                 float* __restrict w, float* __restrict m, float* __restrict v) {
  const UpdateTerms t = terms;
  for (int64_t i = 0; i < count; ++i) {
    const float gi = Regularized(t, g[i], w[i]);
    m[i] = t.beta_1 * m[i] + (1.0f - t.beta_1) * gi;
    v[i] = t.beta_2 * v[i] + (1.0f - t.beta_2) * gi * gi;
    w[i] -= t.learning_rate * m[i] / (std::sqrt(v[i]) + t.epsilon);
  }
}

OCTET_SIMD_CLONES void RmsPropRange(const UpdateTerms& terms, const float* __restrict g, int64_t count,
                                    float* __restrict w, float* __restrict v) {
  const UpdateTerms t = terms;
  for (int64_t i = 0; i < count; ++i) {
    const float gi = Regularized(t, g[i], w[i]);
    v[i] = t.beta_2 * v[i] + (1.0f - t.beta_2) * gi * gi;
    w[i] -= t.learning_rate * gi / (std::sqrt(v[i]) + t.epsilon);
  }
}

}  // namespace octet::train
