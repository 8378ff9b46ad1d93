// FP32 convolution for the layers that a network keeps in FP32, through oneDNN. The result is exact to float rounding,
// not bit for bit; but each image is computed by itself, so a batch and its slices give the same bits. This header has
// no oneDNN type; float_conv_dnnl.cc is the place that knows oneDNN 2.x from 3.x.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace octet::engine {

struct FloatConvShape {
  int64_t batch, in_c, in_h, in_w, out_c, out_h, out_w, groups;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  bool in_channels_last, out_channels_last;  // in memory N,H,W,C; else N,C,H,W
};

class FloatConv {
 public:
  // weights: OIHW with in_c / groups channels; bias may be null. Both are copied. Each of `parts` threads computes a
  // band of rows of every image. Throws Error when oneDNN refuses.
  FloatConv(const FloatConvShape& shape, const float* weights, const float* bias, int parts);
  ~FloatConv();

  // Different parts may run at the same time. What other tensors of the caller lie beside y is not touched.
  void Run(const float* x, float* y, int part);

 private:
  struct Weights;
  struct Band;
  FloatConvShape shape_;
  std::vector<std::unique_ptr<Weights>> weights_;  // by layout
  std::vector<std::unique_ptr<Band>> bands_;       // one for each part; null: no rows are left for it
};

}  // namespace octet::engine
