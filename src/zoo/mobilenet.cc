#include "zoo/mobilenet.h"

#include <algorithm>
#include <cstdlib>

#include "base/strings.h"

namespace octet::zoo {

int64_t RoundChannels(double channels) {
  const auto rounded = std::max<int64_t>(8, static_cast<int64_t>(channels + 4) / 8 * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

ir::ValueId MobileNetV1(Layers& l, ir::ValueId x, const NetworkOptions& options) {
  constexpr int64_t kChannels[] = {64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024};
  const double alpha = options.width_multiplier;
  const auto conv_bn_act = [&](const std::string& name, ir::ValueId in, const Layers::ConvOptions& conv) {
    return l.Activation(name + "_relu", l.BatchNorm(name + "_bn", l.Conv(name, in, conv)));
  };
  const auto scaled = [&](int64_t channels) {
    return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(channels) * alpha));
  };
  x = conv_bn_act("conv1", x, {scaled(32), 3, 2});
  int64_t before = 64;
  for (int i = 0; i < 13; ++i) {
    const std::string id = std::to_string(i + 1);
    const int64_t in = l.Channels(x);
    const int64_t stride = kChannels[i] != before ? 2 : 1;  // the size halves where the width doubles
    before = kChannels[i];
    x = conv_bn_act("conv_dw_" + id, x, {in, 3, stride, in});
    x = conv_bn_act("conv_pw_" + id, x, {scaled(kChannels[i])});
  }
  return x;
}

int64_t MobileNetV1Block(const std::string& layer) {
  if (StartsWith(layer, "conv1")) return 0;
  if (!StartsWith(layer, "conv_dw_") && !StartsWith(layer, "conv_pw_")) return -1;
  return std::atoll(layer.c_str() + 8);
}

ir::ValueId MobileNetV2(Layers& l, ir::ValueId x, const NetworkOptions& options) {
  struct Stage {
    int64_t expand, channels, repeats, stride;
  };
  constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                               {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  const double alpha = options.width_multiplier;
  const auto conv_bn = [&](const std::string& name, ir::ValueId in, const Layers::ConvOptions& conv, bool activate) {
    const ir::ValueId y = l.BatchNorm(name + "_bn", l.Conv(name, in, conv));
    return activate ? l.Activation(name + "_relu", y) : y;
  };
  x = conv_bn("conv1", x, {RoundChannels(32 * alpha), 3, 2}, true);
  int block = 0;
  for (const Stage& stage : kStages) {
    for (int64_t i = 0; i < stage.repeats; ++i, ++block) {
      const std::string name = "block_" + std::to_string(block);
      const int64_t in = l.Channels(x);
      const int64_t out = RoundChannels(stage.channels * alpha);
      const int64_t stride = i == 0 ? stage.stride : 1;
      ir::ValueId y = x;
      if (stage.expand != 1) y = conv_bn(name + "_expand", y, {in * stage.expand, 1, 1}, true);
      y = conv_bn(name + "_depthwise", y, {l.Channels(y), 3, stride, l.Channels(y)}, true);
      y = conv_bn(name + "_project", y, {out, 1, 1}, false);
      if (stride == 1 && in == out) {
        ir::ValueId shortcut = x;
        if (options.all_projections) shortcut = conv_bn(name + "_shortcut", x, {out, 1, 1}, false);
        y = l.Add(name + "_add", shortcut, y);
      }
      x = y;
    }
  }
  return conv_bn("conv_1", x, {std::max<int64_t>(1280, RoundChannels(1280 * alpha)), 1, 1}, true);
}

int64_t MobileNetV2Block(const std::string& layer) {
  if (StartsWith(layer, "conv1")) return 0;
  if (StartsWith(layer, "conv_1")) return 18;
  return StartsWith(layer, "block_") ? std::atoll(layer.c_str() + 6) + 1 : -1;
}

}  // namespace octet::zoo
