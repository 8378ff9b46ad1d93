// The backward of an integer block (integer_block.h), apart from autograd.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "train/kernels/coded_tensor.h"
#include "train/kernels/conv_dnnl.h"
#include "train/kernels/product_s16.h"

namespace octet::train {

// Memory of steps that follow each other. A thread's own: two modules may train at once.
struct Workspace {
  Scratch sums;  // of forward; in backward the gradient
  Scratch piece, packed, values, weights;
};
Workspace& Space();

void Parallel(int64_t jobs, const std::function<void(int64_t)>& body);

// What a block keeps for its backward.
struct KeptBlock {
  ConvShape shape;
  at::Tensor x, weight;     // codes
  at::Tensor weight_scale;  // of each output channel
  at::Tensor values;        // u16: x^ and whether the gradient passes, see CodesOfSums
  at::Tensor a;             // gamma / sqrt(variance + epsilon)
  at::Tensor most;          // max |x^| of each channel
  float x_scale = 1;
  bool batch_statistics = true;
  std::vector<int64_t> weight_strides;
  bool needs_x = false, needs_weight = false, needs_residual = false, needs_bias = false;
  PassedGradient* pass = nullptr;  // receives the residual's gradient
  PassedGradient* take = nullptr;  // holds a part of x's gradient
  GradientSums* sums = nullptr;    // of this block's gradient, if its reader made them
  GradientSums* sums_of_x = nullptr;
};

struct BlockGradients {
  at::Tensor x, weight, gamma, beta, residual, bias;  // undefined where not needed
};

// `dy`: f32, NHWC memory.
BlockGradients GradientsOf(const KeptBlock& block, const at::Tensor& dy);

}  // namespace octet::train
