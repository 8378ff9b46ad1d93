// Conv and ConvTranspose, 1 to 3 spatial axes, groups, dilations, auto_pad. Data NCHW; weights OIHW (Conv) and IOHW
// (ConvTranspose).
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallConv();

Tensors ConvReference(const Node& node, const Tensors& inputs);
Tensors ConvTransposeReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
