// Element-wise arithmetic with numpy broadcasting: Add, Sub, Mul, Div, Pow, Max, Min, Sum, Mean, comparisons, Where,
// and functions of one element (Sqrt, Exp, Abs, ...).
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallElementwise();

Tensors ArithmeticReference(const Node& node, const Tensors& inputs);  // Add Sub Mul Div Max Min Sum Mean; integers too
Tensors PowReference(const Node& node, const Tensors& inputs);
Tensors CompareReference(const Node& node, const Tensors& inputs);  // Equal Less LessOrEqual Greater GreaterOrEqual
Tensors LogicReference(const Node& node, const Tensors& inputs);    // And Or Not
Tensors WhereReference(const Node& node, const Tensors& inputs);
Tensors UnaryReference(const Node& node, const Tensors& inputs);

// `x` repeated along axes of size 1 and new leading axes, to `shape`.
Tensor BroadcastTo(const Tensor& x, const Shape& shape);

}  // namespace octet::ops
