#include "ops/copy.h"

#include <cstring>

#include "base/error.h"

namespace octet::ops {
namespace {

// out[flat] = x[sum over axes of offset[axis][index on the axis]]; a negative sum gives fill.
template <typename T>
void Gather(const T* x, T fill, const Shape& out_shape, const std::vector<std::vector<int64_t>>& offset, T* out) {
  const int rank = static_cast<int>(out_shape.size());
  const int64_t total = NumElements(out_shape);
  if (total == 0) return;
  if (rank == 0) {
    out[0] = x[0];
    return;
  }
  std::vector<int64_t> index(static_cast<size_t>(rank), 0);
  const std::vector<int64_t>& last = offset[rank - 1];
  const int64_t row = out_shape[rank - 1];
  for (int64_t at = 0; at < total; at += row) {
    int64_t start = 0;
    bool inside = true;
    for (int a = 0; a + 1 < rank; ++a) {
      const int64_t o = offset[a][index[a]];
      inside = inside && o >= 0;
      start += o;
    }
    for (int64_t i = 0; i < row; ++i) out[at + i] = inside && last[i] >= 0 ? x[start + last[i]] : fill;
    for (int a = rank - 2; a >= 0; --a) {
      if (++index[a] < out_shape[a]) break;
      index[a] = 0;
    }
  }
}

template <typename T>
void GatherAs(const Tensor& x, const Tensor& fill, const std::vector<std::vector<int64_t>>& offset, Tensor* out) {
  T empty{};
  if (fill.defined()) std::memcpy(&empty, fill.raw(), sizeof(T));
  Gather(static_cast<const T*>(x.raw()), empty, out->shape(), offset, static_cast<T*>(out->mutable_raw()));
}

Tensor GatherOffsets(const Tensor& x, const Shape& shape, const std::vector<std::vector<int64_t>>& offset,
                     const Tensor& fill) {
  OCTET_CHECK(!fill.defined() || (fill.dtype() == x.dtype() && fill.size() == 1), "fill value of another type");
  Tensor out(x.dtype(), shape);
  switch (SizeOf(x.dtype())) {
    case 1: GatherAs<uint8_t>(x, fill, offset, &out); break;
    case 4: GatherAs<uint32_t>(x, fill, offset, &out); break;
    case 8: GatherAs<uint64_t>(x, fill, offset, &out); break;
    default: OCTET_CHECK(false, "element size {}", SizeOf(x.dtype()));
  }
  return out;
}

}  // namespace

std::vector<int64_t> RowMajorStrides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Tensor MapAxes(const Tensor& x, const std::vector<std::vector<int64_t>>& map, const Tensor& fill) {
  OCTET_CHECK(map.size() == x.shape().size(), "{} maps for {}", map.size(), ToString(x.shape()));
  const auto strides = RowMajorStrides(x.shape());
  std::vector<std::vector<int64_t>> offset = map;
  Shape shape;
  for (size_t a = 0; a < map.size(); ++a) {
    shape.push_back(static_cast<int64_t>(map[a].size()));
    for (int64_t& i : offset[a]) {
      OCTET_CHECK(i < x.shape()[a], "index {} on axis {} of {}", i, a, ToString(x.shape()));
      i = i < 0 ? -1 : i * strides[a];
    }
  }
  return GatherOffsets(x, shape, offset, fill);
}

Tensor PermuteAxes(const Tensor& x, const std::vector<int64_t>& permutation) {
  const auto strides = RowMajorStrides(x.shape());
  Shape shape;
  std::vector<std::vector<int64_t>> offset;
  for (const int64_t axis : permutation) {
    const int64_t size = x.shape().at(static_cast<size_t>(axis));
    shape.push_back(size);
    offset.emplace_back();
    for (int64_t i = 0; i < size; ++i) offset.back().push_back(i * strides[axis]);
  }
  return GatherOffsets(x, shape, offset, {});
}

}  // namespace octet::ops
