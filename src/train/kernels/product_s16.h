// Gradients of a convolution in integers. One operand of both products is INT8 codes (weights, activations); the
// gradient itself is rounded to 13 bits with one scale for a few images, so that vpdpwssd (s16 x s16 -> s32, AVX-512
// VNNI) computes them with twice the products per instruction of FP32. Sums are exact: MostCode keeps them below 2^31.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <vector>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// The CPU has AVX-512 VNNI and OCTET_TRAIN_ISA (environment) is not "portable".
bool HasS16Products();

// Where the codes of a gradient lie: s16 NHWC with a border of zeros around each image, wide enough for every tap of
// the data gradient. Numbers of elements.
struct GradientLayout {
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // border, in rows and pixels
  int64_t channels = 0;                              // out_channels rounded up to even
  int64_t row = 0, image = 0;                        // strides
  int64_t first = 0;                                 // of image 0, pixel (0, 0)
  int64_t size = 0;
  int64_t images_per_scale = 1;
  int64_t groups = 0;   // of images with one scale
  float most_code = 0;  // codes lie in [-most_code, most_code]
};
GradientLayout LayoutOfGradient(const ConvShape& shape);

// Memory that lives from call to call, so that the system does not hand out (and clear) its pages every time.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <typename T>
  T* Get(int64_t count) {
    return static_cast<T*>(Bytes(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  void* Bytes(size_t bytes);
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Runs body(0) ... body(jobs - 1), in any order and on any threads.
using ParallelFor = std::function<void(int64_t jobs, const std::function<void(int64_t)>& body)>;

struct DataGradientOptions {
  // The result is added to what dx holds, which counts where the lowest bit of `passes` (of dx's shape; null:
  // everywhere) is 1.
  bool add = false;
  const uint16_t* passes = nullptr;
  // Of the result also the sums that SumPassedGradient (integer_rows.h) makes with `values`, for strides of 1: sum_g
  // and sum_gx [I], most [group of so many pixels][I]. Null: none.
  const uint16_t* values = nullptr;
  int64_t pixels_per_group = 0;
  double* sum_g = nullptr;
  double* sum_gx = nullptr;
  float* most = nullptr;
};

// dx (f32, NHWC) = scale[group of the image] * transposed convolution of `gradient` with `weight` (codes,
// [O][KH][KW][I]). shape.group is 1.
void DataGradientS16(const ConvShape& shape, const GradientLayout& layout, const int16_t* gradient, const float* scale,
                     const int8_t* weight, const DataGradientOptions& options, float* dx, Scratch* packed,
                     const ParallelFor& parallel);

// dweight (f32, [O][KH][KW][I]) = factor[o] * sum over images of scale[group] * gradient x activation codes `x` (NHWC).
void WeightGradientS16(const ConvShape& shape, const GradientLayout& layout, const int16_t* gradient,
                       const float* scale, const int8_t* x, const float* factor, float* dweight, Scratch* packed,
                       const ParallelFor& parallel);

}  // namespace octet::train
