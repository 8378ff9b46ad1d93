// VGG 16 and 19 (Simonyan, Zisserman 2014) as TAO's TF1 builds them: names block_1_conv_1, with or without batch norm,
// max pooling or (use_pooling off) a stride between blocks, total stride 16. The head is that of every backbone,
// average pooling and one dense layer, instead of the paper's three dense layers, which hold 124 of its 138 million
// parameters.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId Vgg(Layers& layers, ir::ValueId x, int depth, const NetworkOptions& options);
int64_t VggBlock(const std::string& layer);  // 1-5; -1: no part of a block

}  // namespace octet::zoo
