// MobileNetV1 (Howard et al. 2017): depthwise separable convolutions. MobileNetV2 (Sandler et al. 2018): inverted
// residuals with linear bottlenecks. Width multiplier as in the papers.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

// Nearest multiple of 8 (at least 8) that is not below 0.9 * channels.
int64_t RoundChannels(double channels);

ir::ValueId MobileNetV1(Layers& layers, ir::ValueId x, const NetworkOptions& options);
int64_t MobileNetV1Block(const std::string& layer);  // 0: conv1, 1-13, -1: no part of a block

ir::ValueId MobileNetV2(Layers& layers, ir::ValueId x, const NetworkOptions& options);
int64_t MobileNetV2Block(const std::string& layer);  // 0: conv1, 1-17, 18: conv_1, -1: no part of a block

}  // namespace octet::zoo
