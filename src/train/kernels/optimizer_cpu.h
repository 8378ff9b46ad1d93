// The updates of optimizer.h over plain memory: one pass over each parameter.
#pragma once

#include <cstdint>

namespace octet::train {

struct UpdateTerms {
  float learning_rate = 0;  // with every correction
  float l2 = 0;             // gradient += l2 * w
  float l1 = 0;             // gradient += l1 * sign(w)
  float momentum = 0;       // sgd
  bool nesterov = false;
  float beta_1 = 0, beta_2 = 0;  // adam; beta_2 is rho for rmsprop
  float epsilon = 0;
};

void SgdRange(const UpdateTerms& terms, const float* g, int64_t count, float* w, float* velocity);
void AdamRange(const UpdateTerms& terms, const float* g, int64_t count, float* w, float* m, float* v);
void RmsPropRange(const UpdateTerms& terms, const float* g, int64_t count, float* w, float* v);

}  // namespace octet::train
