// Pools window by window.
#include <algorithm>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/pool/pool.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

// Calls f(plane, output index within the plane, position of the window's first tap on each axis).
template <typename F>
void ForEachWindow(const Window3& w, int64_t planes, F&& f) {
  for (int64_t p = 0; p < planes; ++p) {
    int64_t at = 0;
    for (int64_t d = 0; d < w.out[0]; ++d) {
      for (int64_t h = 0; h < w.out[1]; ++h) {
        for (int64_t v = 0; v < w.out[2]; ++v, ++at) {
          const int64_t start[3] = {d * w.stride[0] - w.begin[0], h * w.stride[1] - w.begin[1],
                                    v * w.stride[2] - w.begin[2]};
          f(p, at, start);
        }
      }
    }
  }
}

// Calls f(d, h, w) for every tap of a window that lies inside the input.
template <typename F>
void ForEachInside(const Window3& w, const int64_t start[3], F&& f) {
  for (int64_t a = 0; a < w.kernel[0]; ++a) {
    const int64_t d = start[0] + a * w.dilation[0];
    if (d < 0 || d >= w.in[0]) continue;
    for (int64_t b = 0; b < w.kernel[1]; ++b) {
      const int64_t h = start[1] + b * w.dilation[1];
      if (h < 0 || h >= w.in[1]) continue;
      for (int64_t c = 0; c < w.kernel[2]; ++c) {
        const int64_t v = start[2] + c * w.dilation[2];
        if (v >= 0 && v < w.in[2]) f(d, h, v);
      }
    }
  }
}

// How many taps lie inside the input with its explicit padding; ceil_mode's overhang does not count.
int64_t PaddedCount(const Window3& w, const int64_t start[3]) {
  int64_t count = 1;
  for (int axis = 0; axis < 3; ++axis) {
    int64_t inside = 0;
    for (int64_t k = 0; k < w.kernel[axis]; ++k) {
      if (start[axis] + k * w.dilation[axis] < w.in[axis] + w.end[axis]) ++inside;
    }
    count *= inside;
  }
  return count;
}

Window3 WindowOf(const Node& node, const Tensor& x) {
  const Shape spatial = Spatial(x.shape());
  return ToWindow3(ResolveWindow(node, spatial, node.attr_ints("kernel_shape", {})), spatial);
}

}  // namespace

Tensors MaxPoolReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  const Types types = TypesOf(node, inputs);
  Tensor y(types[0].dtype, types[0].shape), indices(DType::kS64, types[0].shape);
  const Window3 w = WindowOf(node, x);
  const int64_t in_plane = w.in[0] * w.in[1] * w.in[2], out_plane = w.out[0] * w.out[1] * w.out[2];
  const bool column_major = node.attr_int("storage_order", 0) != 0;
  int64_t* index = indices.mutable_data<int64_t>();
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    ForEachWindow(w, x.dim(0) * x.dim(1), [&](int64_t plane, int64_t at, const int64_t start[3]) {
      int64_t best = -1;
      ForEachInside(w, start, [&](int64_t d, int64_t h, int64_t v) {
        const int64_t i = (d * w.in[1] + h) * w.in[2] + v;
        if (best < 0 || from[plane * in_plane + i] > from[plane * in_plane + best]) best = i;
      });
      OCTET_REQUIRE(best >= 0, "{}: a window lies wholly in the padding", Label(node));
      to[plane * out_plane + at] = from[plane * in_plane + best];
      int64_t place = best;
      if (column_major) {
        const int64_t d = best / (w.in[1] * w.in[2]), h = best / w.in[2] % w.in[1], v = best % w.in[2];
        place = (v * w.in[1] + h) * w.in[0] + d;
      }
      index[plane * out_plane + at] = plane * in_plane + place;
    });
  });
  if (node.outputs.size() > 1) return {y, indices};
  return {y};
}

Tensors AveragePoolReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor y = NewOutput(node, inputs);
  const Window3 w = WindowOf(node, x);
  const int64_t in_plane = w.in[0] * w.in[1] * w.in[2], out_plane = w.out[0] * w.out[1] * w.out[2];
  const bool include_pad = node.attr_int("count_include_pad", 0) != 0;
  DispatchFloat(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    ForEachWindow(w, x.dim(0) * x.dim(1), [&](int64_t plane, int64_t at, const int64_t start[3]) {
      double sum = 0;
      int64_t inside = 0;
      ForEachInside(w, start, [&](int64_t d, int64_t h, int64_t v) {
        sum += from[plane * in_plane + (d * w.in[1] + h) * w.in[2] + v];
        ++inside;
      });
      const int64_t count = include_pad ? PaddedCount(w, start) : inside;
      OCTET_REQUIRE(count > 0, "{}: a window lies wholly in the padding", Label(node));
      to[plane * out_plane + at] = static_cast<T>(sum / static_cast<double>(count));
    });
  });
  return {y};
}

Tensors GlobalMaxPoolReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor y = NewOutput(node, inputs);
  const int64_t plane = Product(x.shape(), 2, x.shape().size());
  OCTET_REQUIRE(plane > 0, "{}: empty planes in {}", Label(node), octet::ToString(x.shape()));
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t p = 0; p < y.size(); ++p) to[p] = *std::max_element(from + p * plane, from + (p + 1) * plane);
  });
  return {y};
}

Tensors GlobalAveragePoolReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor y = NewOutput(node, inputs);
  const int64_t plane = Product(x.shape(), 2, x.shape().size());
  OCTET_REQUIRE(plane > 0, "{}: empty planes in {}", Label(node), octet::ToString(x.shape()));
  DispatchFloat(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t p = 0; p < y.size(); ++p) {
      double sum = 0;
      for (int64_t i = 0; i < plane; ++i) sum += from[p * plane + i];
      to[p] = static_cast<T>(sum / static_cast<double>(plane));
    }
  });
  return {y};
}

}  // namespace octet::ops
