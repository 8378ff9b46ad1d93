#include "train/kernels/optimizer_cpu.h"

#include <cmath>

#include "train/kernels/simd_clones.h"

namespace octet::train {

// Spelled out in each loop: a function of its own would not be inlined into the clones.
#define OCTET_REGULARIZED(g, w) ((g) + t.l2 * (w) + ((w) > 0 ? t.l1 : (w) < 0 ? -t.l1 : 0.0f))

OCTET_SIMD_CLONES void SgdRange(const UpdateTerms& terms, const float* __restrict g, int64_t count, float* __restrict w,
                                float* __restrict velocity) {
  const UpdateTerms t = terms;
  const float look_ahead = t.nesterov ? t.momentum : 1.0f;
  const float step_weight = t.nesterov ? 1.0f : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float step = t.learning_rate * OCTET_REGULARIZED(g[i], w[i]);
    const float v = t.momentum * velocity[i] - step;
    velocity[i] = v;
    w[i] += look_ahead * v - step_weight * step;
  }
}

OCTET_SIMD_CLONES void AdamRange(const UpdateTerms& terms, const float* __restrict g, int64_t count,
                                 float* __restrict w, float* __restrict m, float* __restrict v) {
  const UpdateTerms t = terms;
  for (int64_t i = 0; i < count; ++i) {
    const float gi = OCTET_REGULARIZED(g[i], w[i]);
    m[i] = t.beta_1 * m[i] + (1.0f - t.beta_1) * gi;
    v[i] = t.beta_2 * v[i] + (1.0f - t.beta_2) * gi * gi;
    w[i] -= t.learning_rate * m[i] / (__builtin_sqrtf(v[i]) + t.epsilon);
  }
}

OCTET_SIMD_CLONES void RmsPropRange(const UpdateTerms& terms, const float* __restrict g, int64_t count,
                                    float* __restrict w, float* __restrict v) {
  const UpdateTerms t = terms;
  for (int64_t i = 0; i < count; ++i) {
    const float gi = OCTET_REGULARIZED(g[i], w[i]);
    v[i] = t.beta_2 * v[i] + (1.0f - t.beta_2) * gi * gi;
    w[i] -= t.learning_rate * gi / (__builtin_sqrtf(v[i]) + t.epsilon);
  }
}

#undef OCTET_REGULARIZED

}  // namespace octet::train
