// EfficientNet B0-B7 (Tan, Le 2019) as TAO builds them (tao.md 3.1): padding "same", swish, squeeze and excitation from
// the block's input width. And EfficientNet-Lite0-4: ReLU6, no squeeze and excitation, stem, top and the depth of the
// first and last stage not scaled; the form that INT8 likes.
//
// Drop-connect: blocks with a shortcut have a Dropout "<block>_drop" with rate 0.2 * block / blocks, none in B0 and
// Lite0. TAO divides by the unscaled 16 blocks, so that its deep variants drop up to 0.675 of a branch; here the last
// block is below 0.2.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

struct EfficientNetScale {
  double width;
  double depth;
  bool lite;
  bool drop_connect;
};

// B0-B7, Lite0-4. Throws a user Error on another number.
EfficientNetScale EfficientNetVariant(int number, bool lite);

ir::ValueId EfficientNet(Layers& layers, ir::ValueId x, const EfficientNetScale& scale);

// Without the top: the last tensors of strides 2, 4, 8, 16 and 32. As in TAO's EfficientDet the last one is the batch
// norm of the last block's projection, before its shortcut is added.
std::vector<ir::ValueId> EfficientNetFeatures(Layers& layers, ir::ValueId x, const EfficientNetScale& scale);

// 0: stem, 1-7: stages, 8: top, -1: no part of a block.
int64_t EfficientNetBlock(const std::string& layer);

}  // namespace octet::zoo
