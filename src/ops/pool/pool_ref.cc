// Pools window by window.
#include <algorithm>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/pool/pool.h"
#include "ops/pool/window_loops.h"

namespace octet::ops {
namespace {

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
      ForEachInside(w, start, [&](int64_t i) {
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
      ForEachInside(w, start, [&](int64_t i) {
        sum += from[plane * in_plane + i];
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
