// What squeeze and excitation does with INT8 codes: means, and products with a gate of each channel. NHWC, one image a
// call. AVX-512 only.
#pragma once

#include <cstdint>

namespace octet::train {

struct GateTail {
  const float* gate = nullptr;  // of each channel
  float x_scale = 1, y_scale = 1;
  float code_low = -127, code_high = 127;
};

// sums[c] = sum over the pixels.
void SumCodes(const int8_t* x, int64_t pixels, int64_t channels, int32_t* sums);

// max |code * x_scale * gate|.
float RangeOfGated(const int8_t* x, int64_t pixels, int64_t channels, const GateTail& tail);

// The codes of code * x_scale * gate.
void GateCodes(const int8_t* x, int64_t pixels, int64_t channels, const GateTail& tail, int8_t* y);

// From the gradient of float(y) * y_scale: dx, of float(x) * x_scale, and dgate[c], sums over the pixels.
void GateGradient(const float* dy, const int8_t* x, int64_t pixels, int64_t channels, const GateTail& tail, float* dx,
                  double* dgate);

}  // namespace octet::train
