// Conv and ConvTranspose as sums of shifted planes: one weight at a time, the inner loop along a row, sums in double.
#include <vector>

#include "base/error.h"
#include "ops/conv/conv.h"
#include "ops/dispatch.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

template <typename T>
double BiasAt(const Tensors& inputs, int64_t channel) {
  return Has(inputs, 2) ? static_cast<double>(inputs[2].data<T>()[channel]) : 0.0;
}

// Calls f(weight index, offset of each axis) for every tap of the kernel.
template <typename F>
void ForEachTap(const Window3& w, F&& f) {
  int64_t tap = 0;
  for (int64_t d = 0; d < w.kernel[0]; ++d) {
    for (int64_t h = 0; h < w.kernel[1]; ++h) {
      for (int64_t v = 0; v < w.kernel[2]; ++v, ++tap) {
        f(tap, d * w.dilation[0] - w.begin[0], h * w.dilation[1] - w.begin[1], v * w.dilation[2] - w.begin[2]);
      }
    }
  }
}

// sum[o] += weight * x[o*stride + offset], over the output positions whose input lies inside.
template <typename T>
void AddShifted(const Window3& w, const T* x, double weight, int64_t od, int64_t oh, int64_t ow, double* sum) {
  const Range rd = InsideRange(w.in[0], w.out[0], w.stride[0], od);
  const Range rh = InsideRange(w.in[1], w.out[1], w.stride[1], oh);
  const Range rw = InsideRange(w.in[2], w.out[2], w.stride[2], ow);
  for (int64_t d = rd.first; d < rd.last; ++d) {
    for (int64_t h = rh.first; h < rh.last; ++h) {
      const T* row = x + ((d * w.stride[0] + od) * w.in[1] + h * w.stride[1] + oh) * w.in[2] + ow;
      double* to = sum + (d * w.out[1] + h) * w.out[2];
      if (w.stride[2] == 1) {
        for (int64_t v = rw.first; v < rw.last; ++v) to[v] += weight * static_cast<double>(row[v]);
      } else {
        for (int64_t v = rw.first; v < rw.last; ++v) to[v] += weight * static_cast<double>(row[v * w.stride[2]]);
      }
    }
  }
}

// y[i*stride + offset] += weight * x[i]: the transpose of AddShifted; `w.in`/`w.out` are ConvTranspose's own.
template <typename T>
void ScatterShifted(const Window3& w, const T* x, double weight, int64_t od, int64_t oh, int64_t ow, double* sum) {
  const Range rd = InsideRange(w.out[0], w.in[0], w.stride[0], od);
  const Range rh = InsideRange(w.out[1], w.in[1], w.stride[1], oh);
  const Range rw = InsideRange(w.out[2], w.in[2], w.stride[2], ow);
  for (int64_t d = rd.first; d < rd.last; ++d) {
    for (int64_t h = rh.first; h < rh.last; ++h) {
      const T* row = x + (d * w.in[1] + h) * w.in[2];
      double* to = sum + ((d * w.stride[0] + od) * w.out[1] + h * w.stride[1] + oh) * w.out[2] + ow;
      for (int64_t v = rw.first; v < rw.last; ++v) to[v * w.stride[2]] += weight * static_cast<double>(row[v]);
    }
  }
}

template <typename T>
void RunConv(const Node& node, const Tensors& inputs, Tensor* out) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  const Window3 w = ToWindow3(ResolveWindow(node, Spatial(x.shape()), Spatial(weight.shape())), Spatial(x.shape()));
  const int64_t groups = node.attr_int("group", 1);
  const int64_t channels = weight.dim(1), filters = weight.dim(0), filters_per_group = filters / groups;
  const int64_t in_plane = w.in[0] * w.in[1] * w.in[2], out_plane = w.out[0] * w.out[1] * w.out[2];
  const int64_t taps = w.kernel[0] * w.kernel[1] * w.kernel[2];
  T* y = out->mutable_data<T>();
  std::vector<double> sum(static_cast<size_t>(out_plane));
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t k = 0; k < filters; ++k) {
      std::fill(sum.begin(), sum.end(), BiasAt<T>(inputs, k));
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t plane = n * x.dim(1) + k / filters_per_group * channels + c;
        const T* taps_of = weight.data<T>() + (k * channels + c) * taps;
        ForEachTap(w, [&](int64_t tap, int64_t od, int64_t oh, int64_t ow) {
          AddShifted(w, x.data<T>() + plane * in_plane, static_cast<double>(taps_of[tap]), od, oh, ow, sum.data());
        });
      }
      T* to = y + (n * filters + k) * out_plane;
      for (int64_t i = 0; i < out_plane; ++i) to[i] = static_cast<T>(sum[i]);
    }
  }
}

template <typename T>
void RunConvTranspose(const Node& node, const Tensors& inputs, Tensor* out) {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  const Window3 w =
      ToWindow3(ResolveTransposedWindow(node, Spatial(x.shape()), Spatial(weight.shape())), Spatial(x.shape()));
  const int64_t groups = node.attr_int("group", 1);
  const int64_t channels = weight.dim(0) / groups, filters_per_group = weight.dim(1);
  const int64_t filters = filters_per_group * groups;
  const int64_t in_plane = w.in[0] * w.in[1] * w.in[2], out_plane = w.out[0] * w.out[1] * w.out[2];
  const int64_t taps = w.kernel[0] * w.kernel[1] * w.kernel[2];
  T* y = out->mutable_data<T>();
  std::vector<double> sum(static_cast<size_t>(out_plane));
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t k = 0; k < filters; ++k) {
      std::fill(sum.begin(), sum.end(), BiasAt<T>(inputs, k));
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t channel = k / filters_per_group * channels + c;
        const T* taps_of = weight.data<T>() + (channel * filters_per_group + k % filters_per_group) * taps;
        ForEachTap(w, [&](int64_t tap, int64_t od, int64_t oh, int64_t ow) {
          ScatterShifted(w, x.data<T>() + (n * x.dim(1) + channel) * in_plane, static_cast<double>(taps_of[tap]), od,
                         oh, ow, sum.data());
        });
      }
      T* to = y + (n * filters + k) * out_plane;
      for (int64_t i = 0; i < out_plane; ++i) to[i] = static_cast<T>(sum[i]);
    }
  }
}

}  // namespace

Tensors ConvReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  DispatchFloat(y.dtype(), [&](auto tag) { RunConv<typename decltype(tag)::type>(node, inputs, &y); });
  return {y};
}

Tensors ConvTransposeReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  DispatchFloat(y.dtype(), [&](auto tag) { RunConvTranspose<typename decltype(tag)::type>(node, inputs, &y); });
  return {y};
}

}  // namespace octet::ops
