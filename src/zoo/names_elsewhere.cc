#include "zoo/names_elsewhere.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "base/strings.h"

namespace octet::zoo {
namespace {

using Names = std::vector<std::string>;

// "a".."z", "aa", ...: 0, 1, ...
int64_t LetterIndex(const std::string& letters) {
  int64_t index = 0;
  for (const char c : letters) index = 26 * index + (c - 'a' + 1);
  return index - 1;
}

// Splits "block_2b_conv_1" behind `prefix` into a number, letters and the rest.
struct Place {
  int64_t number = 0;
  int64_t letter = 0;
  std::string rest;
};
bool ReadPlace(const std::string& layer, const std::string& prefix, Place* place) {
  if (!StartsWith(layer, prefix)) return false;
  size_t i = prefix.size();
  const size_t digits = i;
  while (i < layer.size() && std::isdigit(static_cast<unsigned char>(layer[i]))) ++i;
  if (i == digits) return false;
  place->number = std::atoll(layer.substr(digits, i - digits).c_str());
  const size_t letters = i;
  while (i < layer.size() && std::islower(static_cast<unsigned char>(layer[i]))) ++i;
  place->letter = LetterIndex(layer.substr(letters, i - letters));
  if (i < layer.size() && layer[i] == '_') ++i;
  place->rest = layer.substr(i);
  return true;
}

Names ResNet(const std::string& layer) {
  if (layer == "conv1") return {"conv1"};
  if (layer == "bn_conv1") return {"bn1"};
  if (layer == "predictions_dense") return {"fc"};
  Place p;
  if (!ReadPlace(layer, "block_", &p)) return {};
  const std::string block = fmt::format("layer{}.{}.", p.number, p.letter);
  if (p.rest == "conv_shortcut") return {block + "downsample.0"};
  if (p.rest == "bn_shortcut") return {block + "downsample.1"};
  if (StartsWith(p.rest, "conv_")) return {block + "conv" + p.rest.substr(5)};
  if (StartsWith(p.rest, "bn_")) return {block + "bn" + p.rest.substr(3)};
  return {};
}

// timm's blocks of MobileNetV2 stand in stages: our block number -> "stage.index".
std::string StageOf(int64_t block) {
  constexpr int64_t kRepeats[] = {1, 2, 3, 4, 3, 3, 1};
  int64_t stage = 0;
  while (stage < 6 && block >= kRepeats[stage]) block -= kRepeats[stage++];
  return fmt::format("{}.{}", stage, block);
}

Names MobileNetV2(const std::string& layer) {
  static const std::map<std::string, Names> kEnds = {{"conv1", {"features.0.0", "conv_stem"}},
                                                     {"conv1_bn", {"features.0.1", "bn1"}},
                                                     {"conv_1", {"features.18.0", "conv_head"}},
                                                     {"conv_1_bn", {"features.18.1", "bn2"}},
                                                     {"predictions_dense", {"classifier.1", "classifier"}}};
  if (const auto it = kEnds.find(layer); it != kEnds.end()) return it->second;
  Place p;
  if (!ReadPlace(layer, "block_", &p)) return {};
  const bool first = p.number == 0;  // which does not expand
  const std::string torchvision = fmt::format("features.{}.conv.", p.number + 1);
  const std::string timm = "blocks." + StageOf(p.number) + ".";
  if (p.rest == "expand") return {torchvision + "0.0", timm + "conv_pw"};
  if (p.rest == "expand_bn") return {torchvision + "0.1", timm + "bn1"};
  if (p.rest == "depthwise") return {torchvision + (first ? "0.0" : "1.0"), timm + "conv_dw"};
  if (p.rest == "depthwise_bn") return {torchvision + (first ? "0.1" : "1.1"), timm + (first ? "bn1" : "bn2")};
  if (p.rest == "project") return {torchvision + (first ? "1" : "2"), timm + (first ? "conv_pw" : "conv_pwl")};
  if (p.rest == "project_bn") return {torchvision + (first ? "2" : "3"), timm + (first ? "bn2" : "bn3")};
  return {};
}

Names EfficientNet(const std::string& layer) {
  static const std::map<std::string, Names> kEnds = {{"stem_conv", {"features.0.0", "conv_stem"}},
                                                     {"stem_bn", {"features.0.1", "bn1"}},
                                                     {"top_conv", {"features.8.0", "conv_head"}},
                                                     {"top_bn", {"features.8.1", "bn2"}},
                                                     {"predictions_dense", {"classifier.1", "classifier"}}};
  if (const auto it = kEnds.find(layer); it != kEnds.end()) return it->second;
  Place p;
  if (!ReadPlace(layer, "block", &p)) return {};
  const bool first = p.number == 1;  // whose blocks do not expand
  const std::string torchvision = fmt::format("features.{}.{}.block.", p.number, p.letter);
  const std::string timm = fmt::format("blocks.{}.{}.", p.number - 1, p.letter);
  const auto at = [&](int i) { return torchvision + std::to_string(first ? i - 1 : i); };
  if (p.rest == "expand_conv") return {at(0) + ".0", timm + "conv_pw"};
  if (p.rest == "expand_bn") return {at(0) + ".1", timm + "bn1"};
  if (p.rest == "dwconv") return {at(1) + ".0", timm + "conv_dw"};
  if (p.rest == "bn") return {at(1) + ".1", timm + (first ? "bn1" : "bn2")};
  if (p.rest == "se_reduce") return {at(2) + ".fc1", timm + "se.conv_reduce"};
  if (p.rest == "se_expand") return {at(2) + ".fc2", timm + "se.conv_expand"};
  if (p.rest == "project_conv") return {at(3) + ".0", timm + (first ? "conv_pw" : "conv_pwl")};
  if (p.rest == "project_bn") return {at(3) + ".1", timm + (first ? "bn2" : "bn3")};
  return {};
}

std::string PartElsewhere(const std::string& part) {
  if (part == "scale") return "weight";
  if (part == "mean") return "running_mean";
  if (part == "var") return "running_var";
  return part;
}

}  // namespace

std::vector<std::string> NamesElsewhere(const std::string& backbone, const std::string& name) {
  Names names = {name};
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return names;
  const std::string layer = name.substr(0, dot), part = PartElsewhere(name.substr(dot + 1));
  Names layers;
  if (StartsWith(backbone, "resnet_")) layers = ResNet(layer);
  if (backbone == "mobilenet_v2") layers = MobileNetV2(layer);
  if (StartsWith(backbone, "efficientnet-")) layers = EfficientNet(layer);
  for (const std::string& other : layers) names.push_back(other + "." + part);
  return names;
}

}  // namespace octet::zoo
