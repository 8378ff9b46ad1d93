// FP32 convolution for the layers that a network keeps in FP32, through oneDNN. The result is exact to float rounding,
// not bit for bit. This header has no oneDNN type; float_conv_dnnl.cc is the place that knows oneDNN 2.x from 3.x.
#pragma once

#include <cstdint>
#include <memory>

namespace octet::engine {

struct FloatConvShape {
  int64_t batch, in_c, in_h, in_w, out_c, out_h, out_w, groups;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
};

class FloatConv {
 public:
  // weights: OIHW with in_c / groups channels; bias may be null. Both are copied. Throws Error when oneDNN refuses.
  FloatConv(const FloatConvShape& shape, const float* weights, const float* bias, int threads);
  ~FloatConv();

  // NCHW in, NCHW out. One call at a time.
  void Run(const float* x, float* y);

 private:
  struct State;
  int threads_;
  std::unique_ptr<State> state_;
};

}  // namespace octet::engine
