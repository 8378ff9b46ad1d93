// SqueezeNet 1.0 (Iandola et al. 2016): fire modules; names fire2_squeeze, fire2_expand_1x1, ... Total stride 16. The
// paper has no batch norm (use_batch_norm: false gives its network); its last layer, a 1x1 convolution before the
// pooling, is here the dense layer after it: the same arithmetic but for the order, and the same number of parameters.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId SqueezeNet(Layers& layers, ir::ValueId x, const NetworkOptions& options);
int64_t SqueezeNetBlock(const std::string& layer);  // 0: conv1, 1-8: fire2-fire9, -1: no part of a block

}  // namespace octet::zoo
