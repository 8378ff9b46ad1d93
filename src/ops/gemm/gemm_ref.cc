// Matrix products row by row, sums in double.
#include <vector>

#include "ops/dispatch.h"
#include "ops/gemm/gemm.h"

namespace octet::ops {
namespace {

struct Matrix {
  int64_t rows, columns, row_stride, column_stride;
};

// sums[j] = sum over k of a(i, k) * b(k, j), for one row i.
template <typename T>
void RowTimesMatrix(const T* a, const Matrix& ma, int64_t i, const T* b, const Matrix& mb, double* sums) {
  if (mb.column_stride == 1) {
    for (int64_t j = 0; j < mb.columns; ++j) sums[j] = 0;
    for (int64_t k = 0; k < mb.rows; ++k) {
      const double v = a[i * ma.row_stride + k * ma.column_stride];
      const T* row = b + k * mb.row_stride;
      for (int64_t j = 0; j < mb.columns; ++j) sums[j] += v * static_cast<double>(row[j]);
    }
    return;
  }
  for (int64_t j = 0; j < mb.columns; ++j) {
    double sum = 0;
    const T* column = b + j * mb.column_stride;
    for (int64_t k = 0; k < mb.rows; ++k) {
      sum += static_cast<double>(a[i * ma.row_stride + k * ma.column_stride]) *
             static_cast<double>(column[k * mb.row_stride]);
    }
    sums[j] = sum;
  }
}

Matrix MatrixOf(int64_t rows, int64_t columns, bool transposed) {
  if (transposed) return {columns, rows, 1, columns};
  return {rows, columns, columns, 1};
}

// Where the batch entry `index` of shape `out` lies in a tensor with batch shape `shape` (broadcast), in matrices.
int64_t BroadcastBatch(int64_t index, const Shape& out, const Shape& shape) {
  int64_t place = 0, scale = 1;
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t axis = out.size() - 1 - i;
    const int64_t at = index % out[axis];
    index /= out[axis];
    if (i >= shape.size()) continue;
    const int64_t size = shape[shape.size() - 1 - i];
    if (size != 1) place += at * scale;
    scale *= size;
  }
  return place;
}

}  // namespace

Tensors GemmReference(const Node& node, const Tensors& in) {
  Tensor y = NewOutput(node, in);
  const Matrix a = MatrixOf(in[0].dim(0), in[0].dim(1), node.attr_int("transA", 0) != 0);
  const Matrix b = MatrixOf(in[1].dim(0), in[1].dim(1), node.attr_int("transB", 0) != 0);
  const double alpha = node.attr_float("alpha", 1.0f), beta = node.attr_float("beta", 1.0f);
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    std::vector<double> sums(static_cast<size_t>(b.columns));
    const int64_t c_columns = Has(in, 2) && in[2].rank() > 0 ? in[2].dim(-1) : 1;
    const int64_t c_rows = Has(in, 2) && in[2].rank() > 1 ? in[2].dim(0) : 1;
    for (int64_t i = 0; i < a.rows; ++i) {
      RowTimesMatrix(in[0].data<T>(), a, i, in[1].data<T>(), b, sums.data());
      for (int64_t j = 0; j < b.columns; ++j) {
        double v = alpha * sums[j];
        if (Has(in, 2)) {
          v += beta * in[2].data<T>()[(c_rows == 1 ? 0 : i) * c_columns + (c_columns == 1 ? 0 : j)];
        }
        to[i * b.columns + j] = static_cast<T>(v);
      }
    }
  });
  return {y};
}

Tensors MatMulReference(const Node& node, const Tensors& in) {
  Tensor y = NewOutput(node, in);
  Shape a = in[0].shape(), b = in[1].shape();
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  const Matrix ma = MatrixOf(a[a.size() - 2], a.back(), false), mb = MatrixOf(b[b.size() - 2], b.back(), false);
  const Shape batch_a(a.begin(), a.end() - 2), batch_b(b.begin(), b.end() - 2);
  const Shape batch = BroadcastShape(node, batch_a, batch_b);
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    std::vector<double> sums(static_cast<size_t>(mb.columns));
    for (int64_t n = 0; n < NumElements(batch); ++n) {
      const T* pa = in[0].data<T>() + BroadcastBatch(n, batch, batch_a) * ma.rows * ma.columns;
      const T* pb = in[1].data<T>() + BroadcastBatch(n, batch, batch_b) * mb.rows * mb.columns;
      for (int64_t i = 0; i < ma.rows; ++i) {
        RowTimesMatrix(pa, ma, i, pb, mb, sums.data());
        for (int64_t j = 0; j < mb.columns; ++j) to[(n * ma.rows + i) * mb.columns + j] = static_cast<T>(sums[j]);
      }
    }
  });
  return {y};
}

}  // namespace octet::ops
