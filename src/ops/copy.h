// The copies behind the shape operators: two primitives for any element type.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace octet::ops {

// out[i0, i1, ...] = x[map[0][i0], map[1][i1], ...]; an index of -1 gives `fill` (a one-element tensor of x's type;
// zero when undefined). The output has shape [map[0].size(), ...]. map.size() == x.rank().
Tensor MapAxes(const Tensor& x, const std::vector<std::vector<int64_t>>& map, const Tensor& fill = {});

// out = x with axes in the order of `permutation`.
Tensor PermuteAxes(const Tensor& x, const std::vector<int64_t>& permutation);

std::vector<int64_t> RowMajorStrides(const Shape& shape);

}  // namespace octet::ops
