// What a training block does to the s32 sums of its integer convolution, over NHWC memory: `rows` x `channels`. The
// fewest passes: statistics; [range, with a residual]; codes together with what backward needs (one 16-bit number a
// value). Backward: sums; the convolution's gradient. AVX-512 only, like the products (product_s16.h).
//
// v = float(sum) * m[c] is the convolution's output; x^ = (v - mean[c]) * inverse[c]; z = a[c] v + b[c] (+ residual).
#pragma once

#include <cstdint>

#include "train/kernels/normalize_cpu.h"

namespace octet::train {

// As SumChannels (normalize_cpu.h), of v; `add`: to what `out` holds already.
void SumChannelsOfSums(const int32_t* sums, int64_t rows, int64_t channels, const float* m, const float* shift,
                       bool add, const ChannelSums& out);

struct BlockTail {
  const float* m = nullptr;
  const float* a = nullptr;
  const float* b = nullptr;
  const float* mean = nullptr;
  const float* inverse = nullptr;
  float low = 0, high = 0;            // of the activation; infinite without one
  float pass_low = 0, pass_high = 0;  // the gradient passes where z lies in between
  float scale = 1;                    // of the codes
  float code_low = -128, code_high = 127;
  const int8_t* residual = nullptr;  // codes, or null
  float residual_scale = 0;
};

// max |clip(z)|
float RangeOfSums(const int32_t* sums, int64_t rows, int64_t channels, const BlockTail& tail);

// codes = clamp(rne(clip(z) / scale)). `saved` (may be null): x^ rounded to the upper 15 bits of its float; the lowest
// bit is 1 where the gradient passes.
void CodesOfSums(const int32_t* sums, int64_t rows, int64_t channels, const BlockTail& tail, int8_t* codes,
                 uint16_t* saved);

// g = dy where it passes, else 0. Per channel the sums of g and of g x^, and max |g|; `g` (may be null) receives g. The
// rows of all three lie `stride` elements apart.
void SumPassedGradient(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, int64_t stride,
                       double* sum_g, double* sum_gx, float* most, float* g);

// g of dense tensors.
void PassedValues(const float* dy, const uint16_t* saved, int64_t count, float* g);

// y = a[c] g + p[c] x^ + q[c], as rounded codes, as f32, or rounded to bfloat16.
void GradientCodes(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                   const float* p, const float* q, int16_t* y);
void GradientValues(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                    const float* p, const float* q, float* y);

void GradientBf16(const float* dy, const uint16_t* saved, int64_t rows, int64_t channels, const float* a,
                  const float* p, const float* q, uint16_t* y);

// y = float(code), exact in bfloat16
void CodesToBf16(const int8_t* codes, int64_t count, uint16_t* y);

// y = float(code) * scale
void DequantizeCodes(const int8_t* codes, int64_t count, float scale, float* y);

// codes = clamp(rne(x / scale)); `inside` (may be null): 1 where no clamping was needed.
void QuantizeValues(const float* x, int64_t count, float scale, float low, float high, int8_t* codes, uint8_t* inside);

}  // namespace octet::train
