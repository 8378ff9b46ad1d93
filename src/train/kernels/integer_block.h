// Training in integers (docs/integer_training.md): INT8 codes go from block to block. A block is a convolution with its
// batch normalization [+ residual] [+ clip] and quantizer; CPU with AVX-512 VNNI.
#pragma once

#include <torch/torch.h>

#include "train/kernels/coded_tensor.h"
#include "train/kernels/conv_dnnl.h"
#include "train/kernels/normalize.h"

namespace octet::train {

bool HasIntegerBlocks();  // on this CPU

struct IntegerBlockOptions {
  ConvShape shape;
  NormalizeOptions normalize;  // `scale` is set
  // Backward leaves the residual's gradient in residual.passed instead of handing it to autograd. For a residual that
  // is also the input of a block with take_gradient whose backward comes later for certain: this one depends on it.
  bool pass_gradient = false;
  bool take_gradient = false;  // backward adds x.passed to the gradient of x
  // With that the gradient of x is whole: nobody else adds to it. Backward leaves its sums in x.sums.
  bool sum_gradient = false;
};

// `weight`: f32 [O, I/group, KH, KW], dense NHWC memory, with scale max|w| / 127 of each output channel in
// `weight_scale`. `residual` and `bias` (of the convolution, f32 [O]): undefined tensors when there is
// none. `mean` and `variance` are updated in place with batch statistics. Needs HasIntegerBlocks.
CodedTensor IntegerBlock(const CodedTensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                         const at::Tensor& gamma, const at::Tensor& beta, const at::Tensor& mean,
                         const at::Tensor& variance, const CodedTensor& residual, const at::Tensor& bias,
                         const IntegerBlockOptions& options);

}  // namespace octet::train
