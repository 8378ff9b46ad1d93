#include "zoo/efficientdet.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"
#include "zoo/efficientnet.h"

namespace octet::zoo {
namespace {

using ir::ValueId;

constexpr float kAttentionEpsilon = 1e-4f;
constexpr double kPriorProbability = 0.01;  // of a class at the start: focal loss would drown in negatives otherwise
constexpr char kDepthwise[] = "_depthwise";
constexpr char kPointwise[] = "_pointwise";
constexpr char kFusion[] = "fusion_";

struct SeparableOptions {
  int64_t channels = 0;
  std::string weights_of;  // "": its own
  float bias = 0;
};

class Builder {
 public:
  Builder(ir::Graph& graph, const EfficientDetOptions& o, const EfficientDetVariant& v)
      : graph_(graph), o_(o), v_(v), l_(graph, LayerOptions(o, v)) {}

  void Build() {
    const ValueId input = graph_.AddInput("input", {DType::kF32, {ir::kDynamic, 3, o_.input_height, o_.input_width}});
    std::vector<ValueId> features = EfficientNetFeatures(l_, input, EfficientNetVariant(v_.backbone, v_.lite));
    features.erase(features.begin(), features.begin() + (o_.min_level - 1));  // features[i] has stride 2^(i+1)
    for (int64_t level = 6; level <= o_.max_level; ++level) {
      const std::string name = "resample_p" + std::to_string(level);
      ValueId x = features.back();
      if (l_.Channels(x) != v_.channels) x = Project(name, x);
      features.push_back(l_.MaxPoolSame(name + "_maxpool", x, 3, 2));
    }
    for (int64_t cell = 0; cell < v_.cells; ++cell) features = Cell("fpn_cell_" + std::to_string(cell), features);
    Head("class", features, o_.num_classes, -std::log((1 - kPriorProbability) / kPriorProbability), "class_logits");
    Head("box", features, 4, 0, "box_codes");
  }

 private:
  static Layers::Options LayerOptions(const EfficientDetOptions& o, const EfficientDetVariant& v) {
    Layers::Options options;
    options.seed = o.seed;
    options.bn_momentum = o.bn_momentum;
    options.bn_epsilon = o.bn_epsilon;
    options.activation = !o.activation_type.empty() ? o.activation_type : v.lite ? "relu6" : "swish";
    options.init_weights = o.init_weights;
    return options;
  }

  int64_t Height(ValueId x) const { return graph_.value(x).type.shape.at(2); }

  // 1x1 convolution with bias, and batch norm, to the pyramid's channels.
  ValueId Project(const std::string& name, ValueId x) {
    Layers::ConvOptions conv{v_.channels};
    conv.bias = true;
    return l_.BatchNorm(name + "_bn", l_.Conv(name + "_conv2d", x, conv));
  }

  ValueId Resample(const std::string& name, ValueId x, int64_t height) {
    if (l_.Channels(x) != v_.channels) x = Project(name, x);
    if (Height(x) > height) return l_.MaxPoolSame(name + "_maxpool", x, 3, 2);
    if (Height(x) < height) return l_.UpsampleNearest(name + "_upsample", x, height / Height(x));
    return x;
  }

  // sum of w_i x_i with w = relu(v) / (sum of relu(v) + epsilon), v trained from ones; or the plain sum.
  ValueId Fuse(const std::string& name, const std::vector<ValueId>& inputs) {
    if (!v_.attention) {
      ValueId sum = l_.Add(inputs.size() == 2 ? name : name + "_add", inputs[0], inputs[1]);
      if (inputs.size() == 3) sum = l_.Add(name, sum, inputs[2]);
      return sum;
    }
    const auto count = static_cast<int64_t>(inputs.size());
    const auto node = [&](const char* op, const std::string& suffix, std::vector<ValueId> in, ir::Attrs attrs = {}) {
      return graph_.node(l_.AddNode(op, name + suffix, std::move(in), std::move(attrs))).output();
    };
    const ValueId raw =
        graph_.AddConstant(name + ".weights", Tensor::From<float>({count}, std::vector<float>(inputs.size(), 1.0f)));
    const ValueId positive = node("Relu", "_relu", {node("Parameter", "_parameter", {raw})});
    const ValueId axes = graph_.AddConstant(name + ".axes", Tensor::From<int64_t>({1}, {0}));
    const ValueId sum = node("ReduceSum", "_sum", {positive, axes});
    const ValueId epsilon = graph_.AddConstant(name + ".epsilon", Tensor::From<float>({1}, {kAttentionEpsilon}));
    const ValueId weights = node("Div", "_weights", {positive, node("Add", "_norm", {sum, epsilon})});
    std::vector<std::string> parts;
    for (int64_t i = 0; i < count; ++i) parts.push_back(fmt::format("{}_weight{}", name, i));
    const ValueId ones =
        graph_.AddConstant(name + ".sizes", Tensor::From<int64_t>({count}, std::vector<int64_t>(inputs.size(), 1)));
    const ir::NodeId split = l_.AddNode("Split", name + "_split", {weights, ones}, {{"axis", int64_t{0}}}, parts);
    ValueId y = ir::kNoValue;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ValueId term = node("Mul", fmt::format("_mul{}", i), {inputs[i], graph_.node(split).output(i)});
      y = i == 0 ? term : l_.Add(i + 1 == inputs.size() ? name : fmt::format("{}_add{}", name, i), y, term);
    }
    return y;
  }

  // 3x3 depthwise, then 1x1 with bias.
  ValueId Separable(const std::string& name, ValueId x, const SeparableOptions& s) {
    const int64_t in = l_.Channels(x);
    const std::string owner = s.weights_of.empty() ? name : s.weights_of;
    Layers::ConvOptions depthwise{in, 3, 1, in};
    depthwise.bias = false;
    depthwise.stddev = 1.0 / 3.0;  // 9 taps keep the variance
    depthwise.weights_of = owner + kDepthwise;
    Layers::ConvOptions pointwise{s.channels};
    pointwise.bias = true;
    pointwise.bias_value = s.bias;
    pointwise.stddev = std::sqrt(1.0 / static_cast<double>(in));
    pointwise.weights_of = owner + kPointwise;
    return l_.Conv(name + kPointwise, l_.Conv(name + kDepthwise, x, depthwise), pointwise);
  }

  // One BiFPN cell: top-down nodes from the second coarsest level to the finest, then bottom-up to the coarsest. Each
  // node's inputs are the latest tensors of its levels; on the way up also the cell's own input of that level.
  std::vector<ValueId> Cell(const std::string& cell, const std::vector<ValueId>& inputs) {
    struct Entry {
      size_t index;  // in `all`, as TAO numbers them
      ValueId value;
    };
    const size_t levels = inputs.size();
    std::vector<ValueId> all = inputs;
    std::vector<Entry> newest;
    for (size_t i = 0; i < levels; ++i) newest.push_back({i, inputs[i]});
    size_t nodes = 0;
    const auto fuse = [&](size_t level, const std::vector<Entry>& from) {
      const std::string name = fmt::format("{}_fnode{}", cell, nodes++);
      const int64_t height = Height(inputs[level]);
      std::vector<ValueId> resampled;
      for (size_t k = 0; k < from.size(); ++k) {
        resampled.push_back(Resample(fmt::format("{}resample_{}_{}", name, k, from[k].index), from[k].value, height));
      }
      ValueId y = Fuse(kFusion + name, resampled);
      const std::string after = fmt::format("{}_op_after_combine_{}_", name, all.size());
      y = l_.Activation(after + "activation", y);
      y = l_.BatchNorm(after + "bn", Separable(after + "conv", y, {v_.channels, "", 0}));
      newest[level] = {all.size(), y};
      all.push_back(y);
    };
    for (size_t level = levels - 1; level-- > 0;) fuse(level, {newest[level], newest[level + 1]});
    for (size_t level = 1; level < levels; ++level) {
      std::vector<Entry> from = {{level, inputs[level]}};
      if (level + 1 < levels) from.push_back(newest[level]);
      from.push_back(newest[level - 1]);
      fuse(level, from);
    }
    std::vector<ValueId> outputs;
    for (const Entry& e : newest) outputs.push_back(e.value);
    return outputs;
  }

  // Convolutions shared by all levels, batch norms of each level's own. [N,A,width] of all levels, one after another.
  void Head(const std::string& head, const std::vector<ValueId>& features, int64_t width, double bias,
            const std::string& output) {
    std::vector<ValueId> maps;
    for (size_t i = 0; i < features.size(); ++i) {
      const std::string level = "-" + std::to_string(o_.min_level + static_cast<int64_t>(i));
      ValueId x = features[i];
      for (int64_t k = 0; k < v_.repeats; ++k) {
        const std::string name = fmt::format("{}-{}", head, k);
        x = Separable(name + level, x, {v_.channels, name, 0});
        x = l_.Activation(name + "-activation" + level, l_.BatchNorm(name + "-bn" + level, x));
      }
      const std::string predict = head + "-predict";
      x = Separable(predict + level, x, {width * o_.anchors_per_cell, predict, static_cast<float>(bias)});
      x = Typed("Transpose", predict + "-nhwc" + level, {x}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
      const ValueId shape = graph_.AddConstant(predict + "-shape" + level, Tensor::From<int64_t>({3}, {0, -1, width}));
      maps.push_back(Typed("Reshape", predict + "-rows" + level, {x, shape}, {}));
    }
    graph_.MarkOutput(Typed("Concat", output, maps, {{"axis", int64_t{1}}}));
  }

  ValueId Typed(const char* op, const std::string& name, std::vector<ValueId> inputs, ir::Attrs attrs) {
    return graph_.node(l_.AddNode(op, name, std::move(inputs), std::move(attrs))).output();
  }

  ir::Graph& graph_;
  const EfficientDetOptions& o_;
  const EfficientDetVariant& v_;
  Layers l_;
};

const EfficientDetVariant& RequireVariant(const std::string& name) {
  for (const EfficientDetVariant& v : EfficientDetVariants()) {
    if (v.name == name) return v;
  }
  const std::string nearest = NearestName(name, EfficientDetNames());
  OCTET_FAIL("unknown network '{}'{}; octet builds {}", name,
             nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest),
             Join(EfficientDetNames(), ", "));
}

// The multiples of `step` next to `size`.
std::string Neighbours(int64_t size, int64_t step) {
  const int64_t below = size / step * step;
  return below == 0 ? std::to_string(step) : fmt::format("{} or {}", below, below + step);
}

}  // namespace

const std::vector<EfficientDetVariant>& EfficientDetVariants() {
  static const std::vector<EfficientDetVariant> variants = {
      {"efficientdet-d0", 0, false, 512, 64, 3, 3, true},     {"efficientdet-d1", 1, false, 640, 88, 4, 3, true},
      {"efficientdet-d2", 2, false, 768, 112, 5, 3, true},    {"efficientdet-d3", 3, false, 896, 160, 6, 4, true},
      {"efficientdet-d4", 4, false, 1024, 224, 7, 4, true},   {"efficientdet-d5", 5, false, 1280, 288, 7, 4, true},
      {"efficientdet-d6", 6, false, 1280, 384, 8, 5, false},  {"efficientdet-d7", 6, false, 1536, 384, 8, 5, false},
      {"efficientdet-d7x", 7, false, 1536, 384, 8, 5, false}, {"efficientdet-lite0", 0, true, 320, 64, 3, 3, false},
      {"efficientdet-lite1", 1, true, 384, 88, 4, 3, false},  {"efficientdet-lite2", 2, true, 448, 112, 5, 3, false},
      {"efficientdet-lite3", 3, true, 512, 160, 6, 4, false}, {"efficientdet-lite4", 4, true, 640, 224, 7, 4, false},
  };
  return variants;
}

std::vector<std::string> EfficientDetNames() {
  std::vector<std::string> names;
  for (const EfficientDetVariant& v : EfficientDetVariants()) names.push_back(v.name);
  return names;
}

ir::Graph BuildEfficientDet(const EfficientDetOptions& o) {
  const EfficientDetVariant& variant = RequireVariant(o.name);
  OCTET_REQUIRE(o.num_classes >= 1, "num_classes is {}; expected at least 1", o.num_classes);
  OCTET_REQUIRE(o.anchors_per_cell >= 1, "{} anchors in a cell; expected at least 1", o.anchors_per_cell);
  OCTET_REQUIRE(o.min_level >= 1 && o.min_level <= 5 && o.max_level >= 5 && o.max_level <= 9,
                "model.min_level {} and max_level {}: expected 1 to 5, and 5 to 9", o.min_level, o.max_level);
  const int64_t step = int64_t{1} << o.max_level;
  OCTET_REQUIRE(
      o.input_height >= step && o.input_width >= step && o.input_height % step == 0 && o.input_width % step == 0,
      "input {}x{} (height x width) does not fit {}: with max_level {} both must be multiples of {}, such as "
      "{} x {}",
      o.input_height, o.input_width, o.name, o.max_level, step, Neighbours(o.input_height, step),
      Neighbours(o.input_width, step));
  ir::Graph graph(o.name);
  graph.metadata()["backbone"] = o.name;
  Builder(graph, o, variant).Build();
  return graph;
}

std::set<std::string> PredictionLayers(const ir::Graph& graph) {
  std::set<std::string> names;
  for (const ir::NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (node.op == "Conv" && (StartsWith(node.name, "class-predict") || StartsWith(node.name, "box-predict"))) {
      names.insert(node.name);
    }
  }
  return names;
}

std::set<std::string> LayersTaoLeavesFloat(const ir::Graph& graph) {
  std::set<std::string> names;
  for (const ir::NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (EndsWith(node.name, kDepthwise) || EndsWith(node.name, kPointwise) || StartsWith(node.name, kFusion)) {
      names.insert(node.name);
    }
  }
  return names;
}

}  // namespace octet::zoo
