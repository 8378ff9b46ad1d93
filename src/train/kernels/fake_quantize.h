// Fake quantization with a straight-through gradient, as autograd functions on any device.
#pragma once

#include <torch/torch.h>

namespace octet::train {

struct CodeRange {
  float low = -128;
  float high = 127;
};

// clamp(rne(x / scale)) * scale with one scale, f32 of one element on x's device. Gradient: 1 where the code needs no
// clamping, else 0.
at::Tensor FakeQuantizeTensor(const at::Tensor& x, const at::Tensor& scale, CodeRange range);

// The same with one scale per slice along `axis`; `scale` is f32 [K] on x's device. Gradient as above, or 1 everywhere
// when `identity_gradient` (weights: their scale is max |w| / 127, nothing is clamped).
at::Tensor FakeQuantizeChannels(const at::Tensor& x, const at::Tensor& scale, int64_t axis, CodeRange range,
                                bool identity_gradient);

// Codes, held as floats. Gradient: 1 / scale where the code needs no clamping, else 0. `scale` has 1 or K elements.
at::Tensor QuantizeToCodes(const at::Tensor& x, const at::Tensor& scale, int64_t axis, CodeRange range);

// max |x|, no gradient.
float AmaxOfTensor(const at::Tensor& x);

// The same as f32 [] on x's device: the host does not wait for it.
at::Tensor RangeOfTensor(const at::Tensor& x);

// max |x| of every slice along `axis`: f32 [K] on x's device, no gradient.
at::Tensor AmaxOfChannels(const at::Tensor& x, int64_t axis);

}  // namespace octet::train
