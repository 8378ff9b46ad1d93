// Depthwise convolution (one input channel for each output channel) of INT8 codes, and its gradients. It moves memory
// rather than multiplies: each call covers a stretch of pixels or one image, so that what goes in and out stays in
// caches. AVX-512 only. Products of codes and their sums are exact in f32 for up to 1000 taps.
#pragma once

#include <cstdint>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// group == in_channels == out_channels, and a square kernel of 3 or 5.
bool IsDepthwise(const ConvShape& shape);

// `weight` [C][KH][KW] codes -> f32 [KH][KW][C].
void SpreadDepthwise(const ConvShape& shape, const int8_t* weight, float* spread);

// The sums of output pixels [first, first + count) of the batch: s32 [count][C].
void DepthwiseSums(const ConvShape& shape, const int8_t* x, const float* spread, int64_t first, int64_t count,
                   int32_t* sums);

// One image. dx = scale[c] * sum over taps of dy * spread.
void DepthwiseDataGradient(const ConvShape& shape, const float* dy, const float* spread, const float* scale, float* dx);

// One image. dspread ([KH][KW][C]) = sum over pixels of dy * x. `line` is scratch of in[1] * channels floats for each
// row of the kernel's reach.
void DepthwiseWeightGradient(const ConvShape& shape, const float* dy, const int8_t* x, float* dspread, float* lines);
int64_t DepthwiseLines(const ConvShape& shape);  // floats in `lines`

}  // namespace octet::train
