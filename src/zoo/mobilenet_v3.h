// MobileNetV3 large and small (Howard et al. 2019): inverted residuals, some with squeeze and excitation (hard gate),
// ReLU in the first and hard-swish in the later blocks. Its last layer before the classifier, a 1x1 convolution
// ("conv_2"), stands after the average pool, so this backbone pools itself.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId MobileNetV3(Layers& layers, ir::ValueId x, bool large, const NetworkOptions& options);
// 0: conv1, then the blocks, then 16 (large) or 12 (small): conv_1 and conv_2; -1: no part of a block.
int64_t MobileNetV3Block(const std::string& layer, bool large);

}  // namespace octet::zoo
