// Max pooling of INT8 codes, NHWC, one image a call. AVX-512 only.
#pragma once

#include <cstdint>

namespace octet::train {

struct PoolShape {
  int64_t channels = 0, in_h = 0, in_w = 0, out_h = 0, out_w = 0;
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
};

// y = max over the window; `chosen` (may be null): which tap of the window, the first of equals. At most 255 taps.
void MaxPoolImage(const PoolShape& shape, const int8_t* x, int8_t* y, uint8_t* chosen);

// dx = sum of the dy whose window chose this place.
void MaxPoolGradientImage(const PoolShape& shape, const float* dy, const uint8_t* chosen, float* dx);

}  // namespace octet::train
