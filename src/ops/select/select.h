// Operators that pick elements by computed indices: GatherND, GatherElements, ScatterND, TopK (ONNX opset 13).
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallSelect();

Tensors GatherNdReference(const Node& node, const Tensors& inputs);
Tensors GatherElementsReference(const Node& node, const Tensors& inputs);
Tensors ScatterNdReference(const Node& node, const Tensors& inputs);
Tensors TopKReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
