#include "zoo/resnet.h"

#include <array>
#include <cstdlib>
#include <map>

#include "base/strings.h"

namespace octet::zoo {
namespace {

const std::map<int, std::array<int, 4>>& Repeats() {
  static const auto* repeats = new std::map<int, std::array<int, 4>>{
      {10, {1, 1, 1, 1}}, {18, {2, 2, 2, 2}},   {34, {3, 4, 6, 3}},
      {50, {3, 4, 6, 3}}, {101, {3, 4, 23, 3}}, {152, {3, 8, 36, 3}},
  };
  return *repeats;
}

struct Block {
  std::string name;  // "block_1a"
  int64_t width;
  int64_t stride;
  bool bottleneck;
  bool project;
};

ir::ValueId ConvBn(Layers& l, const std::string& block, const std::string& k, ir::ValueId x,
                   const Layers::ConvOptions& conv) {
  return l.BatchNorm(block + "_bn_" + k, l.Conv(block + "_conv_" + k, x, conv));
}

ir::ValueId Residual(Layers& l, ir::ValueId x, const Block& b) {
  const int64_t out = b.bottleneck ? 4 * b.width : b.width;
  ir::ValueId shortcut = x;
  if (b.project) shortcut = ConvBn(l, b.name, "shortcut", x, {out, 1, b.stride});
  ir::ValueId y;
  if (b.bottleneck) {
    y = l.Activation(b.name + "_relu_1", ConvBn(l, b.name, "1", x, {b.width, 1, b.stride}));
    y = l.Activation(b.name + "_relu_2", ConvBn(l, b.name, "2", y, {b.width, 3, 1}));
    y = ConvBn(l, b.name, "3", y, {out, 1, 1});
  } else {
    y = l.Activation(b.name + "_relu_1", ConvBn(l, b.name, "1", x, {b.width, 3, b.stride}));
    y = ConvBn(l, b.name, "2", y, {out, 3, 1});
  }
  return l.Activation(b.name + "_relu", l.Add(b.name + "_add", y, shortcut));
}

}  // namespace

ir::ValueId ResNet(Layers& l, ir::ValueId x, int depth, const NetworkOptions& options) {
  x = l.Activation("stem_activation", l.BatchNorm("bn_conv1", l.Conv("conv1", x, {64, 7, 2})));
  std::array<int64_t, 4> strides = {2, 2, 2, 1};
  if (options.use_pooling) {
    x = l.MaxPool("pool1", x, 3, 2, 1);
    strides = {1, 2, 2, 2};
  }
  for (int stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < Repeats().at(depth)[stage]; ++i) {
      Block block;
      // a..z, then aa, ab, ...: ResNet-152 has 36 blocks in a stage
      block.name = "block_" + std::to_string(stage + 1) +
                   (i >= 26 ? std::string(1, static_cast<char>('a' + i / 26 - 1)) : "") +
                   static_cast<char>('a' + i % 26);
      block.width = int64_t{64} << stage;
      block.stride = i == 0 ? strides[stage] : 1;
      block.bottleneck = depth >= 50;
      block.project = i == 0 || options.all_projections;
      x = Residual(l, x, block);
    }
  }
  return x;
}

int64_t ResNetBlock(const std::string& layer) {
  if (layer == "conv1" || layer == "bn_conv1") return 0;
  return StartsWith(layer, "block_") ? std::atoll(layer.c_str() + 6) : -1;
}

}  // namespace octet::zoo
