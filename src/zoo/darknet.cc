#include "zoo/darknet.h"

#include <cstdlib>

#include "base/strings.h"

namespace octet::zoo {
namespace {

ir::ValueId ConvAct(Layers& l, const std::string& name, ir::ValueId x, const Layers::ConvOptions& conv) {
  return l.Activation(name + "_lrelu", l.BatchNorm(name + "_bn", l.Conv(name, x, conv)));
}

ir::ValueId Residuals(Layers& l, const std::string& block, ir::ValueId x, int count, int64_t middle) {
  const int64_t channels = l.Channels(x);
  for (int i = 1; i <= count; ++i) {
    const std::string k = std::to_string(i);
    ir::ValueId y = ConvAct(l, block + "_conv" + k + "_1", x, {middle});
    y = ConvAct(l, block + "_conv" + k + "_2", y, {channels, 3});
    x = l.Add(block + "_add" + k, x, y);
  }
  return x;
}

// Depth 53: a stride, then residual blocks; cross-stage: half of the channels go around them.
ir::ValueId Stage53(Layers& l, ir::ValueId x, int stage, bool cross_stage) {
  constexpr int kRepeats[] = {1, 2, 8, 8, 4};
  const int64_t channels = int64_t{32} << stage;
  const std::string conv = "conv" + std::to_string(stage + 1);
  const std::string block = "b" + std::to_string(stage);
  const int repeats = kRepeats[stage - 1];
  x = ConvAct(l, conv, x, {channels, 3, 2});
  if (!cross_stage) return Residuals(l, block, x, repeats, channels / 2);
  const int64_t half = stage == 1 ? channels : channels / 2;  // the first stage keeps its width in both branches
  const ir::ValueId around = ConvAct(l, conv + "_1", x, {half});
  x = ConvAct(l, conv + "_2", x, {half});
  x = Residuals(l, block, x, repeats, stage == 1 ? half / 2 : half);
  x = ConvAct(l, block + "_partial_trans", x, {half});
  return ConvAct(l, block + "_final_trans", l.Concat(block + "_concat", {x, around}), {channels});
}

// Depth 19: a max pool, then 3x3 and 1x1 convolutions by turns; cross-stage (from the second stage): those after the
// first run at half the width beside a branch that goes around them.
ir::ValueId Stage19(Layers& l, ir::ValueId x, int stage, bool cross_stage) {
  constexpr int kConvs[] = {1, 3, 3, 5, 5};
  const int64_t channels = int64_t{32} << stage;
  const std::string block = "b" + std::to_string(stage);
  const int convs = kConvs[stage - 1];
  x = l.MaxPool("maxpool_" + std::to_string(stage), x, 2, 2, 0);
  x = ConvAct(l, block + "_conv1", x, {channels, 3});
  if (convs == 1) return x;
  ir::ValueId around = ir::kNoValue;
  if (cross_stage) {
    around = ConvAct(l, block + "_part1", x, {channels / 2});
    x = ConvAct(l, block + "_part2", x, {channels / 2});
  }
  for (int i = 2; i <= convs; ++i) {
    const bool wide = i % 2 == 1;
    x = ConvAct(l, block + "_conv" + std::to_string(i), x,
                {wide && !cross_stage ? channels : channels / 2, wide ? 3 : 1});
  }
  if (!cross_stage) return x;
  x = ConvAct(l, block + "_partial_trans", x, {channels / 2});
  return ConvAct(l, block + "_final_trans", l.Concat(block + "_concat", {x, around}), {channels});
}

}  // namespace

ir::ValueId DarkNet(Layers& l, ir::ValueId x, int depth, bool cross_stage) {
  x = ConvAct(l, "conv1", x, {32, 3});
  for (int stage = 1; stage <= 5; ++stage) {
    x = depth == 53 ? Stage53(l, x, stage, cross_stage) : Stage19(l, x, stage, cross_stage);
  }
  return x;
}

int64_t DarkNetBlock(const std::string& layer) {
  if (StartsWith(layer, "conv")) return std::atoll(layer.c_str() + 4) - 1;
  if (layer.size() > 2 && layer[0] == 'b' && layer[2] == '_') return std::atoll(layer.c_str() + 1);
  return -1;
}

}  // namespace octet::zoo
