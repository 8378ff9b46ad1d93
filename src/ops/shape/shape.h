// Operators that change a tensor's shape or type but move no elements among each other: Reshape, Flatten, Squeeze,
// Unsqueeze, Identity, Parameter, Dropout, Shape, Size, Cast, Constant, ConstantOfShape. Any element type.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallShape();

// Element type of an ONNX TensorProto.DataType number; throws naming the node when octet has no such type.
DType DTypeFromOnnx(const Node& node, int64_t onnx_type);
int64_t OnnxOfDType(DType dtype);

Tensors ReshapeReference(const Node& node, const Tensors& inputs);  // all that keep the elements: the inferred shape
Tensors DropoutReference(const Node& node, const Tensors& inputs);
Tensors ShapeReference(const Node& node, const Tensors& inputs);
Tensors SizeReference(const Node& node, const Tensors& inputs);
Tensors CastReference(const Node& node, const Tensors& inputs);
Tensors ConstantReference(const Node& node, const Tensors& inputs);
Tensors ConstantOfShapeReference(const Node& node, const Tensors& inputs);

// The value of a Constant node, whichever attribute holds it.
Tensor ConstantValue(const Node& node);

}  // namespace octet::ops
