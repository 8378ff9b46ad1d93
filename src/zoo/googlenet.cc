#include "zoo/googlenet.h"

#include "base/strings.h"

namespace octet::zoo {
namespace {

struct Inception {
  const char* name;
  int64_t one, three_reduce, three, five_reduce, five, pool;
};
constexpr Inception kBlocks[] = {
    {"3a", 64, 96, 128, 16, 32, 32},     {"3b", 128, 128, 192, 32, 96, 64},   {"4a", 192, 96, 208, 16, 48, 64},
    {"4b", 160, 112, 224, 24, 64, 64},   {"4c", 128, 128, 256, 24, 64, 64},   {"4d", 112, 144, 288, 32, 64, 64},
    {"4e", 256, 160, 320, 32, 128, 128}, {"5a", 256, 160, 320, 32, 128, 128}, {"5b", 384, 192, 384, 48, 128, 128},
};

ir::ValueId ConvAct(Layers& l, const std::string& name, ir::ValueId x, const Layers::ConvOptions& conv) {
  return l.Activation(name + "_relu", l.BatchNorm(name + "_bn", l.Conv(name, x, conv)));
}

ir::ValueId Block(Layers& l, ir::ValueId x, const Inception& b) {
  const std::string p = std::string("inception_") + b.name;
  const ir::ValueId one = ConvAct(l, p + "_1x1", x, {b.one});
  const ir::ValueId three = ConvAct(l, p + "_3x3", ConvAct(l, p + "_3x3_reduce", x, {b.three_reduce}), {b.three, 3});
  const ir::ValueId five = ConvAct(l, p + "_5x5", ConvAct(l, p + "_5x5_reduce", x, {b.five_reduce}), {b.five, 5});
  const ir::ValueId pool = ConvAct(l, p + "_pool_proj", l.MaxPool(p + "_pool", x, 3, 1, 1), {b.pool});
  return l.Concat(p + "_output", {one, three, five, pool});
}

}  // namespace

ir::ValueId GoogLeNet(Layers& l, ir::ValueId x, const NetworkOptions& /*options*/) {
  x = l.MaxPool("pool1", ConvAct(l, "conv1", x, {64, 7, 2}), 2, 2, 0);
  x = ConvAct(l, "conv2", ConvAct(l, "conv2_reduce", x, {64}), {192, 3});
  x = l.MaxPool("pool2", x, 2, 2, 0);
  for (const Inception& block : kBlocks) {
    x = Block(l, x, block);
    const std::string name = block.name;
    if (name == "3b") x = l.MaxPool("pool3", x, 2, 2, 0);
    if (name == "4e") x = l.MaxPool("pool4", x, 2, 2, 0);
  }
  return x;
}

int64_t GoogLeNetBlock(const std::string& layer) {
  if (StartsWith(layer, "conv")) return 0;
  int64_t number = 0;
  for (const Inception& block : kBlocks) {
    ++number;
    if (StartsWith(layer, std::string("inception_") + block.name + "_")) return number;
  }
  return -1;
}

}  // namespace octet::zoo
