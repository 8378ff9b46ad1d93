// 1x1 convolution of INT8 codes, a stretch of pixels a call: where channels are few, computing the sums again for each
// pass over them costs less than writing and reading them. AVX-512 VNNI only.
#pragma once

#include <cstdint>
#include <vector>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// Kernel 1x1, stride 1, no pads, one group; at most 320 input channels, a multiple of 4.
bool IsFewChannelPointwise(const ConvShape& shape);

struct PackedPointwise {
  int64_t in = 0, out = 0;
  bool non_negative = false;    // of the activations
  std::vector<int8_t> weights;  // [block of 64 outputs][4 inputs][output][4]
  std::vector<int32_t> start;   // what the sums start at
};
// `weight` [O][I] codes.
PackedPointwise PackPointwise(const ConvShape& shape, const int8_t* weight, bool non_negative);

// sums [count][O] of pixels x [count][I].
void PointwiseSums(const PackedPointwise& packed, const int8_t* x, int64_t count, int32_t* sums);

}  // namespace octet::train
