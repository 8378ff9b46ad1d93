// QuantizeLinear and DequantizeLinear: the only truth about quantization in a graph. One scale, or one per slice along
// `axis`.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallQuantize();

// q = saturate(rne(x / scale) + zero_point), u8 or s8; single precision, true division, ties to even.
Tensors QuantizeLinearReference(const Node& node, const Tensors& inputs);
// x = float(q - zero_point) * scale
Tensors DequantizeLinearReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
