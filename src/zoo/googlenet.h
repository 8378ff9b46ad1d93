// GoogLeNet (Szegedy et al. 2014) without its auxiliary classifiers, max pooling 2x2 and batch norm as in TAO's TF1;
// the paper's local response normalization is left out (TAO cannot export it either). Names inception_3a_3x3_reduce,
// ... Total stride 32.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId GoogLeNet(Layers& layers, ir::ValueId x, const NetworkOptions& options);
int64_t GoogLeNetBlock(const std::string& layer);  // 0: before 3a, 1-9: 3a-5b, -1: no part of a block

}  // namespace octet::zoo
