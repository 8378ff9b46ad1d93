// DarkNet 19 and 53 (YOLOv2, YOLOv3: Redmon, Farhadi 2016, 2018) and CSPDarkNet 19 and 53 (YOLOv4: Bochkovskiy et al.
// 2020) with TAO's names (conv1, b1_conv1_1, b1_add1, b1_concat) and its leaky ReLU, 0.1, also where the paper has Mish
// (model.activation_type: mish). CSPDarkNet 19 is TAO's own. Total stride 32.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId DarkNet(Layers& layers, ir::ValueId x, int depth, bool cross_stage);
int64_t DarkNetBlock(const std::string& layer);  // 0: conv1, 1-5, -1: no part of a block

}  // namespace octet::zoo
