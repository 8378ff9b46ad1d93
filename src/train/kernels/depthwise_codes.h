// Depthwise convolution (one input channel for each output channel) of INT8 codes, and its gradients. It moves memory
// rather than multiplies: each call covers a stretch of pixels or goes through one image row by row, so that what goes
// in and out stays in caches. AVX-512 only. Products of codes and their sums are exact in f32 for up to 1000 taps.
#pragma once

#include <cstdint>
#include <functional>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// group == in_channels == out_channels, a square kernel of 3 or 5, one stride of 1 or 2, no dilation, and padding
// smaller than the kernel.
bool IsDepthwise(const ConvShape& shape);

// `weight` [C][KH][KW] codes -> f32 [KH][KW][C].
void SpreadDepthwise(const ConvShape& shape, const int8_t* weight, float* spread);

// The sums of output pixels [first, first + count) of the batch: s32 [count][C].
void DepthwiseSums(const ConvShape& shape, const int8_t* x, const float* spread, int64_t first, int64_t count,
                   int32_t* sums);

// Writes the gradient of row h of an image's output, [out width][C].
using GradientRow = std::function<void(int64_t h, float* to)>;

// One image, each row of the gradient made once. Unless null: dx = scale[c] * sum over taps of gradient * spread, and
// dspread ([KH][KW][C]) = sum over pixels of gradient * x. `scratch`: DepthwiseScratch floats.
void DepthwiseGradients(const ConvShape& shape, const GradientRow& gradient, const float* spread, const float* scale,
                        const int8_t* x, float* dx, float* dspread, float* scratch);
int64_t DepthwiseScratch(const ConvShape& shape);

}  // namespace octet::train
