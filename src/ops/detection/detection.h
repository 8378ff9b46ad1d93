// Selection of boxes: ONNX's NonMaxSuppression, and TensorRT's plugin EfficientNMS_TRT (tensorrt.md 7.2), which octet
// writes for TensorRT. Both are of inference only; the number of boxes that NonMaxSuppression returns depends on data.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallDetection();

Tensors NonMaxSuppressionReference(const Node& node, const Tensors& inputs);
Tensors EfficientNmsReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
