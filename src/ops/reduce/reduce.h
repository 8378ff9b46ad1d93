// Reductions over axes: ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceSumSquare, ReduceL1, ReduceL2,
// ArgMax, ArgMin; and CumSum. Axes are an attribute (opset 13) or the second input (ReduceSum of opset 13, all of opset
// 18); both are read.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallReduce();

// The axes that a Reduce node removes, ascending. `axes_input`: the second input's elements, or empty.
std::vector<int64_t> ReducedAxes(const Node& node, size_t rank, const std::vector<int64_t>& axes_input);

// The axis of a CumSum, from 0; `axis`: the second input's elements.
int64_t CumSumAxis(const Node& node, size_t rank, const std::vector<int64_t>& axis);

Tensors ReduceReference(const Node& node, const Tensors& inputs);
Tensors ArgReference(const Node& node, const Tensors& inputs);  // ArgMax, ArgMin
Tensors CumSumReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
