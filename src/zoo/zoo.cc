#include "zoo/zoo.h"

#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "zoo/darknet.h"
#include "zoo/efficientnet.h"
#include "zoo/googlenet.h"
#include "zoo/mobilenet.h"
#include "zoo/mobilenet_v3.h"
#include "zoo/resnet.h"
#include "zoo/squeezenet.h"
#include "zoo/vgg.h"

namespace octet::zoo {
namespace {

using Options = const NetworkOptions&;

struct Backbone {
  std::string name;
  std::string activation;
  std::function<int64_t(Options)> total_stride;
  std::function<ir::ValueId(Layers&, ir::ValueId, Options)> build;
  std::function<int64_t(const std::string& layer)> block_of_layer;
  bool always_batch_norm = false;
  bool pools_itself = false;
  float head_dropout = 0;  // of the backbone's own head
};

int64_t Stride16(Options /*options*/) {
  return 16;
}
int64_t Stride32(Options /*options*/) {
  return 32;
}

void AddEfficientNets(std::vector<Backbone>* list) {
  for (const bool lite : {false, true}) {
    for (int i = 0; i < (lite ? 5 : 8); ++i) {
      constexpr float kDropout[] = {0.2f, 0.2f, 0.3f, 0.3f, 0.4f, 0.4f, 0.5f, 0.5f};
      const EfficientNetScale scale = EfficientNetVariant(i, lite);
      list->push_back({(lite ? "efficientnet-lite" : "efficientnet-b") + std::to_string(i), lite ? "relu6" : "swish",
                       Stride32, [scale](Layers& l, ir::ValueId x, Options) { return EfficientNet(l, x, scale); },
                       EfficientNetBlock,
                       /*always_batch_norm=*/true, /*pools_itself=*/false, lite && i == 4 ? 0.3f : kDropout[i]});
    }
  }
}

const std::vector<Backbone>& Backbones() {
  static const auto* backbones = [] {
    auto* list = new std::vector<Backbone>;
    for (const int depth : {10, 18, 34, 50, 101, 152}) {
      list->push_back({"resnet_" + std::to_string(depth), "relu",
                       [](Options o) { return o.use_pooling ? Stride32(o) : Stride16(o); },
                       [depth](Layers& l, ir::ValueId x, Options o) { return ResNet(l, x, depth, o); }, ResNetBlock});
    }
    list->push_back({"mobilenet_v1", "relu", Stride32, MobileNetV1, MobileNetV1Block});
    // The paper's ReLU6, which is also what QAT makes of it; TAO builds it with ReLU (activation_type: relu).
    list->push_back({"mobilenet_v2", "relu6", Stride32, MobileNetV2, MobileNetV2Block});
    for (const bool large : {false, true}) {
      list->push_back({large ? "mobilenet_v3_large" : "mobilenet_v3_small", "hard_swish", Stride32,
                       [large](Layers& l, ir::ValueId x, Options o) { return MobileNetV3(l, x, large, o); },
                       [large](const std::string& layer) { return MobileNetV3Block(layer, large); },
                       /*always_batch_norm=*/true, /*pools_itself=*/true});
    }
    AddEfficientNets(list);
    for (const int depth : {16, 19}) {
      list->push_back({"vgg_" + std::to_string(depth), "relu", Stride16,
                       [depth](Layers& l, ir::ValueId x, Options o) { return Vgg(l, x, depth, o); }, VggBlock});
    }
    list->push_back({"squeezenet", "relu", Stride16, SqueezeNet, SqueezeNetBlock});
    list->push_back({"googlenet", "relu", Stride32, GoogLeNet, GoogLeNetBlock});
    for (const bool cross_stage : {false, true}) {
      for (const int depth : {19, 53}) {
        list->push_back({(cross_stage ? "cspdarknet_" : "darknet_") + std::to_string(depth), "leaky_relu", Stride32,
                         [=](Layers& l, ir::ValueId x, Options) { return DarkNet(l, x, depth, cross_stage); },
                         DarkNetBlock});
      }
    }
    return list;
  }();
  return *backbones;
}

const Backbone* FindBackbone(const std::string& name) {
  for (const Backbone& b : Backbones()) {
    if (b.name == name) return &b;
  }
  return nullptr;
}

const Backbone& RequireBackbone(const std::string& name) {
  if (const Backbone* found = FindBackbone(name)) return *found;
  OCTET_REQUIRE(
      name != "byom",
      "backbone 'byom' (bring your own model) is no network of octet's: it comes from model.byom_model; octet "
      "builds {}",
      Join(BackboneNames(), ", "));
  const std::string nearest = NearestName(name, BackboneNames());
  OCTET_FAIL("unknown backbone '{}'{}; octet builds {}", name,
             nearest.empty() ? std::string("") : fmt::format("; did you mean '{}'?", nearest),
             Join(BackboneNames(), ", "));
}

}  // namespace

std::vector<std::string> BackboneNames() {
  std::vector<std::string> names;
  for (const Backbone& b : Backbones()) names.push_back(b.name);
  return names;
}

int64_t BlockOfLayer(const std::string& backbone, const std::string& layer) {
  const Backbone* found = FindBackbone(backbone);
  return found == nullptr ? -1 : found->block_of_layer(layer);
}

ir::Graph BuildNetwork(const NetworkOptions& options) {
  const Backbone& backbone = RequireBackbone(options.backbone);
  OCTET_REQUIRE(options.num_classes > 1, "num_classes is {}; expected at least 2", options.num_classes);
  OCTET_REQUIRE(options.input_channels == 1 || options.input_channels == 3, "input_channels is {}; expected 1 or 3",
                options.input_channels);
  const int64_t stride = backbone.total_stride(options);
  OCTET_REQUIRE(options.input_height >= stride && options.input_width >= stride,
                "input {}x{} is too small for {}: its total stride is {}, so it needs at least {}x{}",
                options.input_height, options.input_width, options.backbone, stride, stride, stride);
  if (!options.use_batch_norm && backbone.always_batch_norm) {
    LogWarning("{} always has batch normalization; use_batch_norm: false has no effect on it", options.backbone);
  }

  ir::Graph graph(options.backbone);
  graph.metadata()["backbone"] = options.backbone;
  Layers::Options layer_options;
  layer_options.seed = options.seed;
  layer_options.bn_epsilon = options.bn_epsilon;
  layer_options.bn_momentum = options.bn_momentum;
  layer_options.use_batch_norm = options.use_batch_norm || backbone.always_batch_norm;
  layer_options.use_bias = options.use_bias;
  layer_options.activation = options.activation_type.empty() ? backbone.activation : options.activation_type;
  layer_options.init_weights = options.init_weights;
  Layers layers(graph, layer_options);
  const ir::ValueId input = graph.AddInput(
      "input_1", {DType::kF32, {ir::kDynamic, options.input_channels, options.input_height, options.input_width}});
  const float dropout = options.dropout > 0 ? options.dropout : options.retain_head ? backbone.head_dropout : 0.0f;
  layers.ClassifierHead(backbone.build(layers, input, options), options.num_classes, backbone.pools_itself, dropout);
  return graph;
}

}  // namespace octet::zoo
