// MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool over 1 to 3 spatial axes.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallPool();

// Any numeric element type. Second output: s64 indices into the flattened input.
Tensors MaxPoolReference(const Node& node, const Tensors& inputs);
Tensors AveragePoolReference(const Node& node, const Tensors& inputs);
Tensors GlobalMaxPoolReference(const Node& node, const Tensors& inputs);
Tensors GlobalAveragePoolReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
