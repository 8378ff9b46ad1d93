#include "zoo/squeezenet.h"

#include <cstdlib>

#include "base/strings.h"

namespace octet::zoo {
namespace {

ir::ValueId ConvAct(Layers& l, const std::string& name, ir::ValueId x, const Layers::ConvOptions& conv) {
  return l.Activation(name + "_relu", l.BatchNorm(name + "_bn", l.Conv(name, x, conv)));
}

ir::ValueId Fire(Layers& l, const std::string& name, ir::ValueId x, int64_t squeeze, int64_t expand) {
  x = ConvAct(l, name + "_squeeze", x, {squeeze});
  const ir::ValueId narrow = ConvAct(l, name + "_expand_1x1", x, {expand});
  const ir::ValueId wide = ConvAct(l, name + "_expand_3x3", x, {expand, 3});
  return l.Concat(name + "_concat", {narrow, wide});
}

}  // namespace

ir::ValueId SqueezeNet(Layers& l, ir::ValueId x, const NetworkOptions& /*options*/) {
  constexpr int64_t kSqueeze[] = {16, 16, 32, 32, 48, 48, 64, 64};
  x = l.MaxPool("pool1", ConvAct(l, "conv1", x, {96, 7, 2}), 3, 2, 1);
  for (int i = 0; i < 8; ++i) {
    const std::string number = std::to_string(i + 2);
    x = Fire(l, "fire" + number, x, kSqueeze[i], 4 * kSqueeze[i]);
    if (number == "4" || number == "8") x = l.MaxPool("pool" + number, x, 3, 2, 1);
  }
  return x;
}

int64_t SqueezeNetBlock(const std::string& layer) {
  if (StartsWith(layer, "conv1")) return 0;
  return StartsWith(layer, "fire") ? std::atoll(layer.c_str() + 4) - 1 : -1;
}

}  // namespace octet::zoo
