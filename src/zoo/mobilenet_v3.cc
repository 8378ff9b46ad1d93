#include "zoo/mobilenet_v3.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/strings.h"
#include "zoo/mobilenet.h"

namespace octet::zoo {
namespace {

struct Block {
  int64_t kernel, expanded, channels;
  bool squeeze, hard_swish;
  int64_t stride;
};

const std::vector<Block>& Blocks(bool large) {
  static const auto* kLarge =
      new std::vector<Block>{{3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
                             {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
                             {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
                             {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
                             {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1}};
  static const auto* kSmall =
      new std::vector<Block>{{3, 16, 16, true, false, 2}, {3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1},
                             {5, 96, 40, true, true, 2},  {5, 240, 40, true, true, 1},  {5, 240, 40, true, true, 1},
                             {5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1},  {5, 288, 96, true, true, 2},
                             {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1}};
  return large ? *kLarge : *kSmall;
}

}  // namespace

ir::ValueId MobileNetV3(Layers& l, ir::ValueId x, bool large, const NetworkOptions& options) {
  const double alpha = options.width_multiplier;
  const auto scaled = [&](int64_t channels) { return RoundChannels(static_cast<double>(channels) * alpha); };
  const auto kind = [&](bool hard_swish) -> std::string {
    if (!options.activation_type.empty()) return options.activation_type;
    return hard_swish ? "hard_swish" : "relu";
  };
  const auto conv_bn = [&](const std::string& name, ir::ValueId in, const Layers::ConvOptions& conv) {
    return l.BatchNorm(name + "_bn", l.Conv(name, in, conv));
  };
  x = l.Activation("conv1_activation", conv_bn("conv1", x, {scaled(16), 3, 2}), kind(true));
  int index = 0;
  for (const Block& b : Blocks(large)) {
    const std::string name = "block_" + std::to_string(index++);
    const int64_t in = l.Channels(x);
    const int64_t expanded = scaled(b.expanded);
    const int64_t out = scaled(b.channels);
    const std::string activation = kind(b.hard_swish);
    ir::ValueId y = x;
    if (expanded != in) {
      y = l.Activation(name + "_expand_activation", conv_bn(name + "_expand", y, {expanded}), activation);
    }
    y = conv_bn(name + "_depthwise", y, {expanded, b.kernel, b.stride, expanded});
    y = l.Activation(name + "_depthwise_activation", y, activation);
    if (b.squeeze) y = l.SqueezeExcite(name + "_", y, {RoundChannels(static_cast<double>(expanded) / 4), "relu", true});
    y = conv_bn(name + "_project", y, {out});
    x = b.stride == 1 && in == out ? l.Add(name + "_add", y, x) : y;
  }
  x = l.Activation("conv_1_activation", conv_bn("conv_1", x, {6 * l.Channels(x)}), kind(true));
  Layers::ConvOptions last{RoundChannels((large ? 1280 : 1024) * std::max(1.0, alpha))};
  last.bias = true;
  return l.Activation("conv_2_activation", l.Conv("conv_2", l.GlobalAveragePool("avg_pool", x), last), kind(true));
}

int64_t MobileNetV3Block(const std::string& layer, bool large) {
  if (StartsWith(layer, "conv1")) return 0;
  if (StartsWith(layer, "conv_")) return static_cast<int64_t>(Blocks(large).size()) + 1;
  return StartsWith(layer, "block_") ? std::atoll(layer.c_str() + 6) + 1 : -1;
}

}  // namespace octet::zoo
