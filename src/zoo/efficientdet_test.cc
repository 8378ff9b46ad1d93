// EfficientDet: parameters of the papers' networks, shapes, quantizer counts of both recipes (tao.md 4.B), names,
// pruning through the pyramid, errors; folding of shared heads against the reference kernels.
#include "zoo/efficientdet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "base/error.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "ops/install.h"
#include "passes/convert_to_relu6.h"
#include "passes/fusion_regions.h"
#include "passes/insert_qdq.h"
#include "passes/measure_network.h"
#include "passes/pipelines.h"
#include "passes/prune.h"
#include "zoo/efficientnet.h"

namespace octet::zoo {
namespace {

using testing::HasSubstr;

EfficientDetOptions Options(const std::string& name, int64_t size = 128, int64_t classes = 90) {
  ops::InstallOps();
  EfficientDetOptions o;
  o.name = name;
  o.input_height = o.input_width = size;
  o.num_classes = classes;
  o.init_weights = false;
  return o;
}

std::string ErrorOf(const EfficientDetOptions& o) {
  try {
    BuildEfficientDet(o);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser);
    return e.what();
  }
  return "no error";
}

// The counts that google/automl's networks have (as re-published by other implementations), 90 classes, trained only.
TEST(EfficientDet, TrainedParametersAreThePapers) {
  const std::map<std::string, int64_t> expected = {{"efficientdet-d0", 3880067},  {"efficientdet-d1", 6625898},
                                                   {"efficientdet-d2", 8097039},  {"efficientdet-d3", 12032296},
                                                   {"efficientdet-d4", 20723675}, {"efficientdet-d5", 33653315},
                                                   {"efficientdet-d6", 51871782}, {"efficientdet-d7", 51871782}};
  for (const auto& [name, count] : expected) {
    EXPECT_EQ(passes::MeasureNetwork(BuildEfficientDet(Options(name))).parameters, count) << name;
  }
  // Of the Lite networks the papers give millions.
  const std::map<std::string, double> lite = {{"efficientdet-lite0", 3.2},
                                              {"efficientdet-lite1", 4.2},
                                              {"efficientdet-lite2", 5.3},
                                              {"efficientdet-lite4", 15.1}};
  for (const auto& [name, millions] : lite) {
    const auto count = static_cast<double>(passes::MeasureNetwork(BuildEfficientDet(Options(name))).parameters);
    EXPECT_NEAR(count / 1e6, millions, 0.06) << name;
  }
}

// 2.5 billion multiply-adds at 512 pixels (the paper's table 2).
TEST(EfficientDet, MultiplyAddsAreThePapers) {
  ir::Graph g = BuildEfficientDet(Options("efficientdet-d0", 512));
  EXPECT_NEAR(static_cast<double>(passes::MeasureNetwork(g).macs) / 1e9, 2.5, 0.06);
}

TEST(EfficientDet, OutputsCountAnchorsOfAllLevels) {
  const ir::Graph g = BuildEfficientDet(Options("efficientdet-d0", 512));
  ASSERT_EQ(g.outputs().size(), 2u);
  EXPECT_EQ(ir::ToString(g.value(g.outputs()[0]).type), "f32[N,49104,90]");
  EXPECT_EQ(ir::ToString(g.value(g.outputs()[1]).type), "f32[N,49104,4]");
  EfficientDetOptions wide = Options("efficientdet-d0", 256, 3);
  wide.input_width = 384;
  const ir::Graph w = BuildEfficientDet(wide);
  EXPECT_EQ(ir::ToString(w.value(w.Find("class_logits")).type), "f32[N,18414,3]");  // 9 * (32*48 * 1.33203125)
}

TEST(EfficientDet, EachNetworkVerifies) {
  for (const std::string& name : EfficientDetNames()) ir::Verify(BuildEfficientDet(Options(name, 256, 3)));
}

TEST(EfficientDet, SurvivesAFile) {
  const ir::Graph g = BuildEfficientDet(Options("efficientdet-d0", 128, 3));
  EXPECT_EQ(ir::DeserializeModel(ir::SerializeModel({g, {}, {}}), "test").graph, g);
}

// tao.md 4.B: weight and activation quantizers of TAO's recipe.
TEST(EfficientDet, RecipeInputsHasTaosQuantizers) {
  const std::map<std::string, std::pair<int, int>> expected = {
      {"efficientdet-d0", {86, 143}},  {"efficientdet-d1", {120, 219}}, {"efficientdet-d2", {120, 219}},
      {"efficientdet-d3", {135, 249}}, {"efficientdet-d4", {165, 309}}, {"efficientdet-d5", {199, 378}}};
  for (const auto& [name, counts] : expected) {
    const ir::Graph g = BuildEfficientDet(Options(name));
    passes::InsertQdqOptions options;
    options.keep_fp32 = LayersTaoLeavesFloat(g);
    const passes::QuantizerCounts found = passes::CountQuantizers(passes::PrepareForQat(g, options, "inputs"));
    EXPECT_EQ(found.weights, counts.first) << name;
    EXPECT_EQ(found.activations, counts.second) << name;
  }
}

// Every convolution but the heads' last ones reads codes.
TEST(EfficientDet, RecipeFusedQuantizesEverythingUpToTheHeads) {
  const ir::Graph g = BuildEfficientDet(Options("efficientdet-d0"));
  passes::InsertQdqOptions options;
  options.keep_fp32 = PredictionLayers(g);
  EXPECT_EQ(options.keep_fp32.size(), 20u);  // two halves, two heads, five levels
  const ir::Graph q = passes::PrepareForQat(g, options);
  int quantized = 0;
  for (const ir::NodeId id : q.Order()) {
    const ir::Node& node = q.node(id);
    if (node.op == "Sigmoid") {
      EXPECT_THAT(node.name, HasSubstr("se_gate"));  // no swish is left
    }
    if (node.op != "Conv") continue;
    const bool codes = q.producer(node.input(1)) != nullptr && q.producer(node.input(1))->op == "DequantizeLinear";
    EXPECT_EQ(codes, options.keep_fp32.count(node.name) == 0) << node.name;
    quantized += codes ? 1 : 0;
  }
  // Backbone 64 + 16 depthwise, 6 resamplings, 24 separable convolutions, 2 heads x 3 x 5 levels.
  EXPECT_EQ(quantized, 64 + 16 + 6 + 2 * 24 + 2 * 2 * 3 * 5);
  // Shared weights have one quantizer.
  EXPECT_EQ(passes::CountQuantizers(q).weights, 64 + 16 + 6 + 2 * 24 + 2 * 2 * 3);
}

// Trained with ReLU6 from the start, QAT has no activation to change.
TEST(EfficientDet, ActivationTypeReplacesSwish) {
  EfficientDetOptions o = Options("efficientdet-d0");
  o.activation_type = "relu6";
  const ir::Graph g = BuildEfficientDet(o);
  const ir::Graph swish = BuildEfficientDet(Options("efficientdet-d0"));
  const auto count = [](const ir::Graph& graph, const std::string& op) {
    int n = 0;
    for (const ir::NodeId id : graph.Order()) n += graph.node(id).op == op ? 1 : 0;
    return n;
  };
  EXPECT_EQ(count(g, "Sigmoid"), 16);  // the gates of squeeze-and-excitation
  EXPECT_EQ(count(g, "Clip"), count(swish, "Sigmoid") - 16);
  EXPECT_EQ(passes::MeasureNetwork(g).parameters, passes::MeasureNetwork(swish).parameters);
  EXPECT_EQ(passes::CountNewFunctions(g), 0);
  EXPECT_EQ(passes::CountNewFunctions(swish), count(swish, "Sigmoid") - 16);
  o.activation_type = "relu7";
  EXPECT_THAT(ErrorOf(o), HasSubstr("unknown activation 'relu7'"));
}

// A small network of the same kind, every part of it: the exported form computes what the trained one does.
TEST(EfficientDet, ExportedGraphComputesTheSame) {
  EfficientDetOptions o = Options("efficientdet-d0", 128, 2);
  o.init_weights = true;
  ir::Graph g = BuildEfficientDet(o);
  std::mt19937 rng(5);
  std::uniform_real_distribution<float> u(0.5f, 1.5f);
  for (const ir::ValueId id : g.constants()) {  // batch norms and fusion weights away from their start
    const std::string& name = g.value(id).name;
    const bool statistic = name.find("bn") != std::string::npos || name.find(".weights") != std::string::npos;
    if (!statistic) continue;
    Tensor t(DType::kF32, g.value(id).constant.shape());
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = u(rng);
    g.set_constant(id, t);
  }
  const ir::Graph exported = passes::PrepareForExport(g);
  for (const ir::NodeId id : exported.Order()) {
    EXPECT_NE(exported.node(id).op, "BatchNormalization");
    EXPECT_NE(exported.node(id).op, "Parameter");
    EXPECT_NE(exported.node(id).op, "Div");
  }
  Tensor image(DType::kF32, {1, 3, 128, 128});
  for (int64_t i = 0; i < image.size(); ++i) image.mutable_data<float>()[i] = u(rng) - 1.0f;
  const std::vector<Tensor> a = ir::RunReference(g, {{"input", image}});
  const std::vector<Tensor> b = ir::RunReference(exported, {{"input", image}});
  ASSERT_EQ(b.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    double worst = 0, largest = 0;
    for (int64_t k = 0; k < a[i].size(); ++k) {
      worst = std::max<double>(worst, std::fabs(a[i].data<float>()[k] - b[i].data<float>()[k]));
      largest = std::max<double>(largest, std::fabs(a[i].data<float>()[k]));
    }
    EXPECT_LT(worst, 1e-4 * largest) << i;
  }
}

TEST(EfficientDet, PruningGoesThroughThePyramid) {
  EfficientDetOptions o = Options("efficientdet-d0", 128, 2);
  o.init_weights = true;
  const ir::Graph g = BuildEfficientDet(o);
  passes::PruneOptions prune;
  prune.threshold = 0.9;
  prune.criterion = passes::EqualizationCriterion::kIntersection;  // of the dozens of layers that the pyramid adds up
  const passes::PrunePlan plan = passes::AnalyzePruning(g, prune);
  const ir::Graph smaller = passes::ApplyPruning(g, plan);
  ir::Verify(smaller);
  const auto channels = [](const ir::Graph& x, const char* name) { return x.value(x.Find(name)).type.shape.at(1); };
  EXPECT_LT(channels(smaller, "block5a_expand_conv"), channels(g, "block5a_expand_conv"));
  EXPECT_LT(channels(smaller, "resample_p6_conv2d"), 64);
  EXPECT_EQ(ir::ToString(smaller.value(smaller.Find("class_logits")).type), "f32[N,3069,2]");
}

TEST(EfficientDet, ErrorsSayWhatToDo) {
  EXPECT_THAT(ErrorOf(Options("efficientdet-d10")), HasSubstr("did you mean 'efficientdet-d"));
  EfficientDetOptions o = Options("efficientdet-d0");
  o.input_width = 300;
  EXPECT_THAT(ErrorOf(o), HasSubstr("both must be multiples of 128, such as 128 or 256 x 256 or 384"));
  o = Options("efficientdet-d0", 128, 0);
  EXPECT_THAT(ErrorOf(o), HasSubstr("num_classes is 0"));
}

}  // namespace
}  // namespace octet::zoo
