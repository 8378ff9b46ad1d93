// The activations that a lowered operator applies to its fp32 result before it is quantized (docs/numerics.md), one
// scalar function each. Every executor gives the same bits: each float operation is IEEE single precision, rounded on
// its own, in the order written here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace octet::quant {

enum class ActivationKind { kNone, kClip, kLeakyRelu, kSigmoid, kHardSigmoid, kHardSwish, kSwish };

// e^x for x <= 0; below -87 as at -87. n = rne(x log2 e), r = x - n ln 2 in two steps, Taylor's sum to r^7, times 2^n.
inline float Exp(float x) {
  x = x > -87.0f ? x : -87.0f;
  const float n = std::nearbyintf(x * 1.44269504f);
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

inline float Sigmoid(float x) {
  const float e = Exp(-std::fabs(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// min(max(alpha x + beta, 0), 1)
inline float HardSigmoid(float x, float alpha, float beta) {
  float y = x * alpha;
  y = y + beta;
  y = y > 0.0f ? y : 0.0f;
  return y < 1.0f ? y : 1.0f;
}

struct Activation {
  ActivationKind kind = ActivationKind::kNone;
  float alpha = 0, beta = 0;  // kClip: the bounds; kLeakyRelu: the slope; kHardSigmoid: its parameters

  float operator()(float y) const {
    switch (kind) {
      case ActivationKind::kNone: return y;
      // As the vector instructions compute it: on equality the bound, so that -0 clipped at 0 gives +0.
      case ActivationKind::kClip: y = y > alpha ? y : alpha; return y < beta ? y : beta;
      case ActivationKind::kLeakyRelu: return y < 0.0f ? y * alpha : y;
      case ActivationKind::kSigmoid: return Sigmoid(y);
      case ActivationKind::kHardSigmoid: return HardSigmoid(y, alpha, beta);
      case ActivationKind::kHardSwish: return y * HardSigmoid(y, 1.0f / 6, 0.5f);
      case ActivationKind::kSwish: return y * Sigmoid(y);
    }
    return y;
  }
};

}  // namespace octet::quant
