#include "zoo/efficientnet.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/strings.h"
#include "zoo/mobilenet.h"

namespace octet::zoo {
namespace {

struct Stage {
  int64_t kernel, repeats, channels, expand, stride;
};
constexpr Stage kStages[] = {{3, 1, 16, 1, 1},  {3, 2, 24, 6, 2},  {5, 2, 40, 6, 2}, {3, 3, 80, 6, 2},
                             {5, 3, 112, 6, 1}, {5, 4, 192, 6, 2}, {3, 1, 320, 6, 1}};
constexpr int kStageCount = 7;
constexpr float kDropConnect = 0.2f;

int64_t Repeats(int stage, const EfficientNetScale& scale) {
  const int64_t repeats = kStages[stage].repeats;
  if (scale.lite && (stage == 0 || stage == kStageCount - 1)) return repeats;
  return static_cast<int64_t>(std::ceil(scale.depth * static_cast<double>(repeats)));
}

struct Block {
  std::string name;  // "block2a_"
  int64_t kernel, channels, expand, stride;
  bool squeeze;
  bool shortcut;  // where shapes allow
  float drop;
};

ir::ValueId InvertedResidual(Layers& l, ir::ValueId x, const Block& b) {
  const int64_t in = l.Channels(x);
  ir::ValueId y = x;
  if (b.expand != 1) {
    y = l.BatchNorm(b.name + "expand_bn", l.Conv(b.name + "expand_conv", y, {in * b.expand}));
    y = l.Activation(b.name + "expand_activation", y);
  }
  Layers::ConvOptions depthwise{in * b.expand, b.kernel, b.stride, in * b.expand};
  depthwise.same = true;
  y = l.BatchNorm(b.name + "bn", l.Conv(b.name + "dwconv", y, depthwise));
  y = l.Activation(b.name + "activation", y);
  if (b.squeeze) y = l.SqueezeExcite(b.name, y, {std::max<int64_t>(1, in / 4), "", false});
  Layers::ConvOptions project{b.channels};
  project.bias = false;
  y = l.BatchNorm(b.name + "project_bn", l.Conv(b.name + "project_conv", y, project));
  if (!b.shortcut || b.stride != 1 || in != b.channels) return y;
  if (b.drop > 0) y = l.Dropout(b.name + "drop", y, b.drop, /*per_sample=*/true);
  return l.Add(b.name + "add", y, x);
}

// Stem and stages; the tensor after each. `whole`: the last block has its shortcut.
std::vector<ir::ValueId> Stages(Layers& l, ir::ValueId x, const EfficientNetScale& scale, bool whole) {
  int64_t blocks = 0;
  for (int s = 0; s < kStageCount; ++s) blocks += Repeats(s, scale);
  Layers::ConvOptions stem{RoundChannels(32 * (scale.lite ? 1.0 : scale.width)), 3, 2};
  stem.same = true;
  x = l.Activation("stem_activation", l.BatchNorm("stem_bn", l.Conv("stem_conv", x, stem)));
  std::vector<ir::ValueId> outputs;
  int64_t index = 0;
  for (int s = 0; s < kStageCount; ++s) {
    const Stage& stage = kStages[s];
    for (int64_t i = 0; i < Repeats(s, scale); ++i, ++index) {
      Block block;
      block.name = "block" + std::to_string(s + 1) + static_cast<char>('a' + i) + "_";
      block.kernel = stage.kernel;
      block.channels = RoundChannels(static_cast<double>(stage.channels) * scale.width);
      block.expand = stage.expand;
      block.stride = i == 0 ? stage.stride : 1;
      block.squeeze = !scale.lite;
      block.shortcut = whole || index + 1 < blocks;
      block.drop = scale.drop_connect ? kDropConnect * static_cast<float>(index) / static_cast<float>(blocks) : 0.0f;
      x = InvertedResidual(l, x, block);
    }
    outputs.push_back(x);
  }
  return outputs;
}

}  // namespace

EfficientNetScale EfficientNetVariant(int number, bool lite) {
  constexpr double kScales[][2] = {{1.0, 1.0}, {1.0, 1.1}, {1.1, 1.2}, {1.2, 1.4},
                                   {1.4, 1.8}, {1.6, 2.2}, {1.8, 2.6}, {2.0, 3.1}};
  OCTET_REQUIRE(number >= 0 && number < (lite ? 5 : 8), "there is no EfficientNet-{}{}", lite ? "Lite" : "B", number);
  return {kScales[number][0], kScales[number][1], lite, /*drop_connect=*/number > 0};
}

ir::ValueId EfficientNet(Layers& l, ir::ValueId x, const EfficientNetScale& scale) {
  x = Stages(l, x, scale, /*whole=*/true).back();
  x = l.BatchNorm("top_bn", l.Conv("top_conv", x, {RoundChannels(1280 * (scale.lite ? 1.0 : scale.width))}));
  return l.Activation("top_activation", x);
}

std::vector<ir::ValueId> EfficientNetFeatures(Layers& l, ir::ValueId x, const EfficientNetScale& scale) {
  const std::vector<ir::ValueId> stages = Stages(l, x, scale, /*whole=*/false);
  return {stages[0], stages[1], stages[2], stages[4], stages[6]};
}

int64_t EfficientNetBlock(const std::string& layer) {
  if (StartsWith(layer, "stem_")) return 0;
  if (StartsWith(layer, "top_")) return 8;
  return StartsWith(layer, "block") ? std::atoll(layer.c_str() + 5) : -1;
}

}  // namespace octet::zoo
