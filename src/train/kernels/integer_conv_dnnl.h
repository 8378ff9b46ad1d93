// INT8 convolution through oneDNN: exact sums of products of codes, as in deployment (docs/numerics.md).
#pragma once

#include <cstdint>

#include "train/kernels/conv_dnnl.h"
#include "train/kernels/product_s16.h"

namespace octet::train {

// sums (s32, NHWC) of x (s8 codes, NHWC; `non_negative` promises that none is below 0, which is faster) and weight (s8
// codes, [O][KH][KW][I/group]).
void ConvSumsS8(const ConvShape& shape, const int8_t* x, bool non_negative, const int8_t* weight, int32_t* sums,
                const ParallelFor& parallel);

}  // namespace octet::train
