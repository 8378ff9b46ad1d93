#include "zoo/zoo.h"

#include <functional>

#include "base/error.h"
#include "base/strings.h"
#include "zoo/mobilenet.h"
#include "zoo/resnet.h"

namespace octet::zoo {
namespace {

struct Backbone {
  std::string name;
  std::string activation;
  std::function<int64_t(const NetworkOptions&)> total_stride;
  std::function<ir::ValueId(Layers&, ir::ValueId, const NetworkOptions&)> build;
};

const std::vector<Backbone>& Backbones() {
  static const auto* backbones = [] {
    auto* list = new std::vector<Backbone>;
    for (const int depth : {10, 18, 34, 50, 101, 152}) {
      list->push_back({"resnet_" + std::to_string(depth), "relu",
                       [](const NetworkOptions& o) { return o.use_pooling ? int64_t{32} : int64_t{16}; },
                       [depth](Layers& l, ir::ValueId x, const NetworkOptions& o) { return ResNet(l, x, depth, o); }});
    }
    // The paper's ReLU6, which is also what QAT makes of it; TAO builds it with ReLU (activation_type: relu).
    list->push_back({"mobilenet_v2", "relu6", [](const NetworkOptions&) { return int64_t{32}; }, MobileNetV2});
    return list;
  }();
  return *backbones;
}

}  // namespace

std::vector<std::string> BackboneNames() {
  std::vector<std::string> names;
  for (const Backbone& b : Backbones()) names.push_back(b.name);
  return names;
}

ir::Graph BuildNetwork(const NetworkOptions& options) {
  const Backbone* backbone = nullptr;
  for (const Backbone& b : Backbones()) {
    if (b.name == options.backbone) backbone = &b;
  }
  if (backbone == nullptr) {
    const std::string nearest = NearestName(options.backbone, BackboneNames());
    OCTET_FAIL("unknown backbone '{}'{}; octet builds {}", options.backbone,
               nearest.empty() ? std::string("") : fmt::format("; did you mean '{}'?", nearest),
               Join(BackboneNames(), ", "));
  }
  OCTET_REQUIRE(options.num_classes > 1, "num_classes is {}; expected at least 2", options.num_classes);
  OCTET_REQUIRE(options.input_channels == 1 || options.input_channels == 3, "input_channels is {}; expected 1 or 3",
                options.input_channels);
  const int64_t stride = backbone->total_stride(options);
  OCTET_REQUIRE(options.input_height >= stride && options.input_width >= stride,
                "input {}x{} is too small for {}: its total stride is {}, so it needs at least {}x{}",
                options.input_height, options.input_width, options.backbone, stride, stride, stride);

  ir::Graph graph(options.backbone);
  graph.metadata()["backbone"] = options.backbone;
  Layers::Options layer_options;
  layer_options.seed = options.seed;
  layer_options.bn_epsilon = options.bn_epsilon;
  layer_options.bn_momentum = options.bn_momentum;
  layer_options.use_batch_norm = options.use_batch_norm;
  layer_options.use_bias = options.use_bias;
  layer_options.activation = options.activation_type.empty() ? backbone->activation : options.activation_type;
  Layers layers(graph, layer_options);
  const ir::ValueId input = graph.AddInput(
      "input_1",
      {DType::kF32, {ir::kDynamic, options.input_channels, options.input_height, options.input_width}});
  layers.ClassifierHead(backbone->build(layers, input, options), options.num_classes);
  return graph;
}

}  // namespace octet::zoo
