// FP32 convolution and its two gradients through oneDNN on plain memory: activations NHWC, weights
// [O][KH][KW][I/group]. LibTorch's own choice sends many of these shapes (1x1, stride 1) to a generic matrix product
// that is 5 to 10 times slower.
#pragma once

#include <array>
#include <cstdint>

namespace octet::train {

struct ConvShape {
  int64_t batch = 0, in_channels = 0, out_channels = 0, group = 1;
  std::array<int64_t, 2> in = {}, out = {};  // height, width
  std::array<int64_t, 2> kernel = {}, strides = {}, dilations = {}, pad_begin = {}, pad_end = {};
};

void ConvForward(const ConvShape& shape, const float* x, const float* weight, const float* bias_or_null, float* y);
void ConvBackwardData(const ConvShape& shape, const float* dy, const float* weight, float* dx);
void ConvBackwardWeight(const ConvShape& shape, const float* x, const float* dy, float* dweight, float* dbias_or_null);

}  // namespace octet::train
