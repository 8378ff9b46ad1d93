// EfficientDet (Tan, Pang, Le 2020) as TAO's efficientdet_tf2 builds it (tao.md 3.2): EfficientNet, a bidirectional
// feature pyramid (BiFPN) with fast attention, class and box heads that all levels share. D0 to D7, D7x; and Lite0-4
// (google/automl): EfficientNet-Lite, ReLU6, plain sums.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::zoo {

struct EfficientDetOptions {
  std::string name = "efficientdet-d0";
  int64_t num_classes = 90;
  int64_t input_height = 512;
  int64_t input_width = 512;
  int64_t anchors_per_cell = 9;  // scales times aspect ratios
  int64_t min_level = 3;
  int64_t max_level = 7;
  uint64_t seed = 42;
  float bn_momentum = 0.99f;
  float bn_epsilon = 1e-3f;
  std::string activation_type;  // empty: swish, of the Lite networks relu6
  bool init_weights = true;     // false: zeros, for counting
};

// What the name stands for.
struct EfficientDetVariant {
  std::string name;
  int backbone;  // EfficientNet-B<backbone>, or -Lite<backbone>
  bool lite;
  int64_t native_size;  // of the paper; the network is built for the options' size
  int64_t channels;     // of the pyramid and the heads
  int64_t cells;        // of the BiFPN
  int64_t repeats;      // separable convolutions of each head before the last
  bool attention;       // weighted fusion; else plain sums
};
const std::vector<EfficientDetVariant>& EfficientDetVariants();
std::vector<std::string> EfficientDetNames();

// Input "input" f32[N,3,H,W], normalised RGB. Outputs "class_logits" f32[N,A,classes] and "box_codes" f32[N,A,4] as
// ty,tx,th,tw; A counts anchors by level, row, column, and anchor of the cell (detection/anchors.h). metadata
// "backbone" holds the name. Throws a user Error on an unknown name, and on an input whose sizes are not multiples of
// 2^max_level (it says which are).
ir::Graph BuildEfficientDet(const EfficientDetOptions& options);

// The layers that make class scores and boxes, both halves of their separable convolutions: QAT leaves them FP32.
std::set<std::string> PredictionLayers(const ir::Graph& graph);

// What TAO's recipe `inputs` leaves in float: separable convolutions and weighted fusions.
std::set<std::string> LayersTaoLeavesFloat(const ir::Graph& graph);

}  // namespace octet::zoo
