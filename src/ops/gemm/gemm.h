// Gemm (alpha * A' B' + beta * C) and MatMul (numpy's matmul).
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallGemm();

Tensors GemmReference(const Node& node, const Tensors& inputs);
Tensors MatMulReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
