#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/select/select.h"

namespace octet::ops {
namespace {

// `i` counted from the end when negative.
int64_t Index(const Node& node, int64_t i, int64_t size) {
  OCTET_REQUIRE(i >= -size && i < size, "{}: index {} is outside a dimension of {}", Label(node), i, size);
  return i < 0 ? i + size : i;
}

// The row of a tensor that a tuple of indices names, counted in slices behind `begin` + tuple.
int64_t RowOf(const Node& node, const Shape& x, size_t begin, const int64_t* tuple, int64_t length) {
  int64_t row = 0;
  for (int64_t k = 0; k < length; ++k) {
    const int64_t size = x[begin + static_cast<size_t>(k)];
    row = row * size + Index(node, tuple[k], size);
  }
  return row;
}

}  // namespace

Tensors GatherNdReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor out = NewOutput(node, inputs);
  const std::vector<int64_t> indices = inputs[1].ToVector<int64_t>();
  const auto batch_dims = static_cast<size_t>(node.attr_int("batch_dims", 0));
  const int64_t length = inputs[1].dim(-1);
  const int64_t batches = Product(x.shape(), 0, batch_dims);
  const int64_t slice = Product(x.shape(), batch_dims + static_cast<size_t>(length), x.shape().size());
  const int64_t rows = Product(x.shape(), batch_dims, batch_dims + static_cast<size_t>(length));
  if (out.size() == 0) return {out};
  const int64_t tuples = static_cast<int64_t>(indices.size()) / length / batches;
  const size_t bytes = static_cast<size_t>(slice) * SizeOf(x.dtype());
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(out.mutable_raw());
  for (int64_t t = 0; t < batches * tuples; ++t, to += bytes) {
    const int64_t row = t / tuples * rows + RowOf(node, x.shape(), batch_dims, &indices[t * length], length);
    std::memcpy(to, from + static_cast<size_t>(row) * bytes, bytes);
  }
  return {out};
}

Tensors GatherElementsReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor out = NewOutput(node, inputs);
  const std::vector<int64_t> indices = inputs[1].ToVector<int64_t>();
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 0), x.rank()));
  const size_t item = SizeOf(x.dtype());
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(out.mutable_raw());
  Shape at(out.shape().size(), 0);
  for (int64_t i = 0; i < out.size(); ++i) {
    int64_t source = 0;
    for (size_t d = 0; d < at.size(); ++d) {
      const int64_t p = d == axis ? Index(node, indices[i], x.shape()[d]) : at[d];
      source = source * x.shape()[d] + p;
    }
    std::memcpy(to + static_cast<size_t>(i) * item, from + static_cast<size_t>(source) * item, item);
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < out.shape()[d]) break;
      at[d] = 0;
    }
  }
  return {out};
}

Tensors ScatterNdReference(const Node& node, const Tensors& inputs) {
  OCTET_REQUIRE(node.attr_string("reduction", "none") == "none", "{}: reduction '{}' is not supported", Label(node),
                node.attr_string("reduction", "none"));
  Tensor out = inputs[0];
  const std::vector<int64_t> indices = inputs[1].ToVector<int64_t>();
  const int64_t length = inputs[1].dim(-1);
  const int64_t slice = Product(out.shape(), static_cast<size_t>(length), out.shape().size());
  const size_t bytes = static_cast<size_t>(slice) * SizeOf(out.dtype());
  OCTET_REQUIRE(inputs[2].dtype() == out.dtype(), "{}: updates and data have other element types", Label(node));
  const auto* from = static_cast<const char*>(inputs[2].raw());
  auto* to = static_cast<char*>(out.mutable_raw());
  for (size_t t = 0; t < indices.size() / static_cast<size_t>(length); ++t) {
    const int64_t row = RowOf(node, out.shape(), 0, &indices[t * static_cast<size_t>(length)], length);
    std::memcpy(to + static_cast<size_t>(row) * bytes, from + t * bytes, bytes);
  }
  return {out};
}

// Of equal elements the one with the lower index comes first, as ONNX says.
Tensors TopKReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  const Types types = TypesOf(node, inputs);
  Tensor values(types[0].dtype, types[0].shape), places(DType::kS64, types[1].shape);
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", -1), x.rank()));
  const bool largest = node.attr_int("largest", 1) != 0;
  const int64_t size = x.shape()[axis], k = types[0].shape[axis];
  const int64_t inner = Product(x.shape(), axis + 1, x.shape().size());
  const int64_t outer = Product(x.shape(), 0, axis);
  auto* at = places.mutable_data<int64_t>();
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = values.mutable_data<T>();
    std::vector<int64_t> order(static_cast<size_t>(size));
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const T* line = from + o * size * inner + i;
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
          return largest ? line[a * inner] > line[b * inner] : line[a * inner] < line[b * inner];
        });
        for (int64_t n = 0; n < k; ++n) {
          to[(o * k + n) * inner + i] = line[order[static_cast<size_t>(n)] * inner];
          at[(o * k + n) * inner + i] = order[static_cast<size_t>(n)];
        }
      }
    }
  });
  return {values, places};
}

}  // namespace octet::ops
