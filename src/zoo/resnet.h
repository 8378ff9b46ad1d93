// ResNet v1 (He et al. 2015), post-activation, as TAO builds it (tao.md 3.1): depths 10, 18, 34 with basic blocks; 50, 101, 152
// with bottlenecks. The stride sits on the first convolution of a stage.
#pragma once

#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace octet::zoo {

ir::ValueId ResNet(Layers& layers, ir::ValueId x, int depth, const NetworkOptions& options);

}  // namespace octet::zoo
