// The networks that octet builds itself, as graphs with freshly initialised weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::zoo {

struct NetworkOptions {
  std::string backbone = "resnet_18";
  int64_t num_classes = 10;
  int64_t input_channels = 3;
  int64_t input_height = 224;
  int64_t input_width = 224;
  uint64_t seed = 42;
  float bn_momentum = 0.9f;
  float bn_epsilon = 1e-5f;
  bool use_batch_norm = true;  // EfficientNet and MobileNetV3 always have it: false logs a warning
  bool use_bias = false;       // convolutions before a batch norm; without batch norm all have a bias
  bool use_pooling =
      true;  // ResNet: max-pool after the stem (total stride 32); without: total stride 16. VGG: pools or strides
  bool all_projections = false;   // ResNet, MobileNetV2: a projection on every shortcut
  float width_multiplier = 1.0f;  // MobileNets
  // "" = the architecture's own. All backbones honour it; TAO's ResNet, MobileNets and EfficientNet-B0 do not.
  std::string activation_type;
  float dropout = 0;         // before the dense layer
  bool retain_head = false;  // the backbone's own head: EfficientNets have a dropout before the dense layer
  bool init_weights = true;  // false: zeros, for counting
};

// Input "input_1" f32[N,C,H,W], output "predictions" f32[N,classes]; the softmax reads "logits". metadata "backbone"
// names it. The head is the same for all: global average pooling, [dropout,] one dense layer (TAO's with retain_head
// off). Throws a user Error on an unknown backbone (with the nearest name) and on an input smaller than the total
// stride.
ir::Graph BuildNetwork(const NetworkOptions& options);

std::vector<std::string> BackboneNames();

// Which block of model.freeze_blocks a layer belongs to, by its node name; -1: to none (the head, or a network that the
// zoo does not build).
int64_t BlockOfLayer(const std::string& backbone, const std::string& layer);

}  // namespace octet::zoo
