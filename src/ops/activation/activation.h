// Activations: functions of one element (Relu, Clip, Sigmoid, ...), PRelu, and Softmax / LogSoftmax along an axis.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallActivation();

// The bounds of a Clip node whose bounds are constants or absent (then the largest finite float). Clip with bounds that
// are computed at run time gives false.
bool ConstantClipBounds(const ir::Graph& graph, const Node& node, float* low, float* high);

Tensors ReluReference(const Node& node, const Tensors& inputs);  // any numeric element type
Tensors ClipReference(const Node& node, const Tensors& inputs);  // any numeric element type
Tensors PReluReference(const Node& node, const Tensors& inputs);
Tensors SoftmaxReference(const Node& node, const Tensors& inputs);  // also LogSoftmax
// LeakyRelu, Sigmoid, HardSigmoid, HardSwish, Tanh, Elu, Selu, Softplus, Softsign, Mish, Swish, Gelu; computed in
// double.
Tensors FloatActivationReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
