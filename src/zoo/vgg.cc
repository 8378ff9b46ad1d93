#include "zoo/vgg.h"

#include <cstdlib>

#include "base/strings.h"

namespace octet::zoo {

ir::ValueId Vgg(Layers& l, ir::ValueId x, int depth, const NetworkOptions& options) {
  constexpr int64_t kChannels[] = {64, 128, 256, 512, 512};
  for (int block = 0; block < 5; ++block) {
    const int convs = block < 2 ? 2 : depth == 16 ? 3 : 4;
    const std::string prefix = "block_" + std::to_string(block + 1);
    for (int i = 0; i < convs; ++i) {
      const std::string k = std::to_string(i + 1);
      const int64_t stride = i == 0 && block > 0 && !options.use_pooling ? 2 : 1;
      x = l.BatchNorm(prefix + "_bn_" + k, l.Conv(prefix + "_conv_" + k, x, {kChannels[block], 3, stride}));
      x = l.Activation(prefix + "_relu_" + k, x);
    }
    if (options.use_pooling && block < 4) x = l.MaxPool("block" + std::to_string(block + 1) + "_pool", x, 2, 2, 0);
  }
  return x;
}

int64_t VggBlock(const std::string& layer) {
  return StartsWith(layer, "block_") ? std::atoll(layer.c_str() + 6) : -1;
}

}  // namespace octet::zoo
