// Quantization loops over plain memory, one range of elements each; callers split the work over threads.
#pragma once

#include <cstdint>

namespace octet::train {

// max |x[i]|
float AmaxOf(const float* x, int64_t count);

// y = clamp(rne(x / scale), low, high) * scale. `inside` (may be null) becomes 1 where the unclamped code lies in
// [low, high], else 0.
void FakeQuantizeRange(const float* x, int64_t count, float scale, float low, float high, float* y, uint8_t* inside);

// codes[i] = clamp(rne(x / scale), low, high), held as floats.
void QuantizeRange(const float* x, int64_t count, float scale, float low, float high, float* codes);

// dx = inside ? dy : 0
void MaskRange(const float* dy, const uint8_t* inside, int64_t count, float* dx);

}  // namespace octet::train
