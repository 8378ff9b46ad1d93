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
  bool use_batch_norm = true;
  bool use_bias = false;
  bool use_pooling = true;       // ResNet: max-pool after the stem (total stride 32); without: total stride 16
  bool all_projections = false;  // ResNet, MobileNetV2: a projection on every shortcut
  float width_multiplier = 1.0f;  // MobileNetV2
  std::string activation_type;   // "" = the architecture's own
};

// Input "input_1" f32[N,C,H,W], output "predictions" f32[N,classes]; the softmax reads "logits". metadata "backbone" names it.
// Throws a user Error on an unknown backbone (with the nearest name) and on an input smaller than the total stride.
ir::Graph BuildNetwork(const NetworkOptions& options);

std::vector<std::string> BackboneNames();

}  // namespace octet::zoo
