// Batch normalisation with what follows it (residual, activation, fake quantization) over NHWC memory: `rows` x
// `channels`, row-major. Callers split the rows; partial sums of a fixed split are added in order, so results do not
// depend on the number of threads.
#pragma once

#include <cstdint>

namespace octet::train {

// Sums over a range of rows, per channel, relative to shift[c] (any number near the mean).
struct ChannelSums {
  double* sum;      // of x - shift
  double* squares;  // of (x - shift)^2
  float* low;       // min x
  float* high;      // max x
};
void SumChannels(const float* x, int64_t rows, int64_t channels, const float* shift, const ChannelSums& out);

// What happens to z = a[c] * x + b[c] (+ residual):
//   y = clip(z, low, high); with scale != 0: y = clamp(rne(y / scale), code_low, code_high) * scale.
// The gradient passes where z lies in [pass_low, pass_high].
struct Tail {
  float low, high;
  float pass_low, pass_high;
  float scale = 0;
  float code_low = -128, code_high = 127;
  bool find_range = false;
};

// `passes` (may be null): 1 where the gradient passes. Returns max |clip(z)| when
// tail.find_range is set (and there is no scale), else 0.
float NormalizeRows(const float* x, const float* residual_or_null, int64_t rows, int64_t channels, const float* a,
                    const float* b, const Tail& tail, float* y, uint8_t* passes_or_null);

// The gradient of z: g = dy where it passes, else 0; from `passes`, or recomputed from x when it is null. Per channel
// the sums of g and of g * (x - mean[c]). `g` (may be null) receives the gradient itself: the residual's.
void SumGradient(const float* x, const float* dy, const uint8_t* passes_or_null, int64_t rows, int64_t channels,
                 const float* a, const float* b, const Tail& tail, const float* mean, double* sum_g, double* sum_gx,
                 float* g_or_null);

// dx = a[c] * g + p[c] * x + q[c], g as above (or read from `g` when given).
void InputGradient(const float* x, const float* dy, const float* g_or_null, int64_t rows, int64_t channels,
                   const float* a, const float* b, const Tail& tail, const float* p, const float* q, float* dx);

}  // namespace octet::train
