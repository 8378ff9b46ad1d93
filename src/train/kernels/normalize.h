// BatchNormalization [+ residual] [+ clip] [+ fake quantization] as one autograd function for the CPU.
#pragma once

#include <torch/torch.h>

#include <functional>

#include "train/kernels/fake_quantize.h"

namespace octet::train {

struct NormalizeOptions {
  bool batch_statistics = false;  // else the running ones
  double momentum = 0.9;          // running = momentum * running + (1 - momentum) * batch
  double epsilon = 1e-5;
  float low = -INFINITY, high = INFINITY;  // of the activation
  // Set: the result is fake-quantized with the scale that this returns for the range max |x| of the batch.
  std::function<float(float amax)> scale;
  bool scale_needs_range = true;  // false: the scale does not depend on amax, which is then not computed
  CodeRange codes;
};

// x, residual: f32 NHWC memory on the CPU; `residual` empty (numel 0) when there is none. `mean` and `variance` are
// updated in place when batch_statistics is set.
at::Tensor Normalize(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                     const at::Tensor& variance, const at::Tensor& residual, const NormalizeOptions& options);

}  // namespace octet::train
