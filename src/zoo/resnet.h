// ResNet v1 (He et al. 2015), post-activation, as TAO builds it (tao.md 3.1): depths 10, 18, 34 with basic blocks; 50,
// 101, 152 with bottlenecks. The stride sits on the first convolution of a stage.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId ResNet(Layers& layers, ir::ValueId x, int depth, const NetworkOptions& options);
int64_t ResNetBlock(const std::string& layer);  // 0: conv1, 1-4: stages, -1: no part of a block

}  // namespace octet::zoo
