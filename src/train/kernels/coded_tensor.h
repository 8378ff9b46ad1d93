// Tensors of INT8 codes that go from step to step of a training in integers, with what is not a convolution.
// CPU with AVX-512 only: HasIntegerBlocks.
#pragma once

#include <torch/torch.h>

#include <array>
#include <functional>
#include <vector>

#include "train/kernels/fake_quantize.h"

namespace octet::train {

// A gradient that one block's backward leaves for another's, which adds it to its own.
struct PassedGradient : torch::CustomClassHolder {
  at::Tensor gradient;  // f32, NHWC memory
  at::Tensor passes;    // it counts where the lowest bit of these u16 is 1; undefined: everywhere
};

// Sums over the gradient of a block's output, which the block's batch normalization needs. The block that computes the
// gradient makes them on the way, while it is in the cache.
struct GradientSums : torch::CustomClassHolder {
  // Of the block that made the tensor:
  at::Tensor values;             // u16, see CodesOfSums
  int64_t images_per_scale = 1;  // GradientLayout
  // Of the block that computes the gradient, empty before:
  const float* of = nullptr;          // the gradient
  std::vector<double> sum_g, sum_gx;  // [channel], as SumPassedGradient has them
  std::vector<float> most;            // [group][channel]
};

// The tensor float(codes) * scale.
struct CodedTensor {
  at::Tensor codes;  // s8, NHWC memory
  float scale = 1;
  bool non_negative = false;  // no code is below 0
  // f32 of the same shape without memory of its own (strides 0): it carries the gradient through autograd.
  at::Tensor handle;
  c10::intrusive_ptr<PassedGradient> passed;  // a part of this tensor's gradient
  c10::intrusive_ptr<GradientSums> sums;      // of a block's output
  bool defined() const { return codes.defined(); }
};

// A fake-quantized tensor in codes. Gradient: 1 where the code needs no clamping, else 0.
CodedTensor QuantizeCoded(const at::Tensor& x, float scale, CodeRange range);

// f32, NHWC memory. Gradient: 1.
at::Tensor DequantizeCoded(const CodedTensor& x);

struct PoolWindow {
  std::array<int64_t, 2> kernel, strides, pad_begin, out;
};
CodedTensor MaxPoolCoded(const CodedTensor& x, const PoolWindow& window);

// Mean over height and width: f32 [N,C,1,1].
at::Tensor MeanCoded(const CodedTensor& x);

// The codes of x * gate, gate f32 [N,C,1,1]. `scale` gives the scale of the result for max |x gate| of the batch, which
// it gets only if scale_needs_range.
CodedTensor GateCoded(const CodedTensor& x, const at::Tensor& gate, const std::function<float(float)>& scale,
                      bool scale_needs_range, CodeRange range);

// ---- for the files that make such tensors

at::Tensor MakeHandle(at::IntArrayRef sizes);
at::Tensor EmptyNhwc(at::IntArrayRef sizes, at::ScalarType type);
at::Tensor DenseGradient(const at::Tensor& dy);  // NHWC memory
constexpr int64_t kGrain = 1 << 15;              // elements worth a thread

}  // namespace octet::train
