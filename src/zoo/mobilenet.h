// MobileNetV2 (Sandler et al. 2018): inverted residuals with linear bottlenecks, width multiplier as in the paper.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

// Nearest multiple of 8 (at least 8) that is not below 0.9 * channels.
int64_t RoundChannels(double channels);

ir::ValueId MobileNetV2(Layers& layers, ir::ValueId x, const NetworkOptions& options);

}  // namespace octet::zoo
