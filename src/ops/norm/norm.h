// BatchNormalization (opset 14 form), InstanceNormalization, LayerNormalization, LRN.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallNorm();

// y = (x - mean) / sqrt(var + epsilon) * scale + bias. With training_mode 1, mean and (biased) variance are the
// batch's, and the second and third outputs are momentum * running + (1 - momentum) * batch.
Tensors BatchNormalizationReference(const Node& node, const Tensors& inputs);
Tensors InstanceNormalizationReference(const Node& node, const Tensors& inputs);
// Over the axes from `axis` on: scale and bias broadcast to the input; the first output only.
Tensors LayerNormalizationReference(const Node& node, const Tensors& inputs);
Tensors LrnReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
