// How activations become part of lowered operators: as a kernel's epilogue, or as a table of 256 codes.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace octet::passes {

// The attributes act, act_min, act_max, act_alpha, act_beta (ops/quantized/epilogue.h) of an activation that an
// epilogue can compute: Relu, Clip with constant bounds, LeakyRelu, PRelu with one slope, Sigmoid, HardSigmoid,
// HardSwish, Swish, Mul(x, Sigmoid(x)).
std::optional<ir::Attrs> EpilogueOf(const ir::Graph& graph, ir::NodeId activation);

// For a function of one tensor (an activation with constant parameters, Mul(x, Sigmoid(x))): the s8 codes of
// f(code * x_scale) for codes -128 ... 127 under y_scale, by the operator's reference kernel.
std::optional<Tensor> TableOf(const ir::Graph& graph, ir::NodeId function, float x_scale, float y_scale);
// The same for the identity: codes of one scale under another.
Tensor RequantizeTable(float x_scale, float y_scale);

// The x of Mul(x, Sigmoid(x)), or kNoValue.
ir::ValueId SwishInput(const ir::Graph& graph, const ir::Node& mul);

}  // namespace octet::passes
