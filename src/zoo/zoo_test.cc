// Every backbone: parameters and multiply-accumulates against the papers and TAO, shapes, blocks, errors, reproducible
// seeds; one golden text (testdata/, rewritten with OCTET_UPDATE_GOLDENS=1).
#include "zoo/zoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"
#include "passes/measure_network.h"
#include "spec/tables.h"

namespace octet::zoo {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

NetworkOptions Options(const std::string& backbone, int64_t size = 224, int64_t classes = 1000) {
  ops::InstallOps();
  NetworkOptions o;
  o.backbone = backbone;
  o.input_height = o.input_width = size;
  o.num_classes = classes;
  o.init_weights = false;
  return o;
}

passes::NetworkSize SizeOf(const NetworkOptions& o) {
  return passes::MeasureNetwork(BuildNetwork(o));
}

std::string ErrorOf(const NetworkOptions& o) {
  try {
    BuildNetwork(o);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser);
    return e.what();
  }
  return "no error";
}

// With a head of 1000 classes. The sources count without BN statistics: the papers' authors, torchvision, timm.
TEST(Zoo, TrainedParametersAreThePapers) {
  // TAO projects the shortcut of the first block as well, which the paper's shallow networks do not.
  constexpr int64_t kProjection = 64 * 64 + 2 * 64;
  const std::map<std::string, int64_t> expected = {{"resnet_18", 11689512 + kProjection},
                                                   {"resnet_34", 21797672 + kProjection},
                                                   {"resnet_50", 25557032},
                                                   {"resnet_101", 44549160},
                                                   {"resnet_152", 60192808},
                                                   {"mobilenet_v1", 4231976},
                                                   {"mobilenet_v2", 3504872},
                                                   {"mobilenet_v3_large", 5483032},
                                                   {"mobilenet_v3_small", 2542856},
                                                   {"efficientnet-b0", 5288548},
                                                   {"efficientnet-b1", 7794184},
                                                   {"efficientnet-b2", 9109994},
                                                   {"efficientnet-b3", 12233232},
                                                   {"efficientnet-b4", 19341616},
                                                   {"efficientnet-b5", 30389784},
                                                   {"efficientnet-b6", 43040704},
                                                   {"efficientnet-b7", 66347960},
                                                   {"efficientnet-lite0", 4652008},
                                                   {"efficientnet-lite1", 5416680},
                                                   {"efficientnet-lite2", 6092072},
                                                   {"efficientnet-lite3", 8197096},
                                                   {"efficientnet-lite4", 13006568},
                                                   {"darknet_53", 41609928}};
  for (const auto& [name, parameters] : expected) EXPECT_EQ(SizeOf(Options(name)).parameters, parameters) << name;
}

TEST(Zoo, ParametersWithBatchNormStatisticsAreTaos) {
  const std::map<std::string, int64_t> expected = {{"efficientnet-b0", 5330564},  {"efficientnet-b1", 7856232},
                                                   {"efficientnet-b2", 9177562},  {"efficientnet-b3", 12320528},
                                                   {"efficientnet-b4", 19466816}, {"efficientnet-b5", 30562520},
                                                   {"efficientnet-b6", 43265136}, {"efficientnet-b7", 66658680},
                                                   {"mobilenet_v1", 4253864},     {"mobilenet_v2", 3538984}};
  for (const auto& [name, parameters] : expected) {
    const passes::NetworkSize size = SizeOf(Options(name));
    EXPECT_EQ(size.parameters + size.statistics, parameters) << name;
  }
}

// Without batch norm, all convolutions with a bias: the papers' networks.
TEST(Zoo, ParametersWithoutBatchNorm) {
  const auto trained = [](const std::string& name) {
    NetworkOptions o = Options(name);
    o.use_batch_norm = false;
    return SizeOf(o).parameters;
  };
  // The convolutions of VGG; the paper's three dense layers of 123,642,856 parameters are one here: 512 x 1000 + 1000.
  EXPECT_EQ(trained("vgg_16"), 138357544 - 123642856 + 513000);
  EXPECT_EQ(trained("vgg_19"), 143667240 - 123642856 + 513000);
  EXPECT_EQ(trained("squeezenet"), 1248424);
  EXPECT_EQ(trained("googlenet"), 6998552);
}

TEST(Zoo, MultiplyAccumulatesAreThePapers) {
  EXPECT_EQ(SizeOf(Options("resnet_18")).macs, 1814073344 + int64_t{64} * 64 * 56 * 56);  // TAO's projection
  EXPECT_EQ(SizeOf(Options("resnet_50")).macs, 3857973248);                               // stride on the first 1x1
  EXPECT_EQ(SizeOf(Options("mobilenet_v1")).macs, 568740352);
  EXPECT_EQ(SizeOf(Options("mobilenet_v2")).macs, 300774272);
  struct Published {
    const char* name;
    int64_t size;
    double millions, tolerance;
  };
  // As published, rounded there. Those of the Lites and CSPDarkNet count batch norm and activations as well: up to 6 %
  // more. DarkNet-19 classifies 7x7 positions before it pools, here after: 49 million less.
  for (const Published& p : {Published{"efficientnet-b0", 224, 386, 0.5},
                             Published{"efficientnet-b1", 240, 687, 0.5},
                             Published{"efficientnet-b2", 288, 1088, 0.5},
                             Published{"efficientnet-b3", 300, 1827, 0.5},
                             Published{"efficientnet-b4", 380, 4394, 0.5},
                             Published{"efficientnet-b5", 456, 10266, 0.5},
                             Published{"efficientnet-b6", 528, 19068, 0.5},
                             Published{"efficientnet-b7", 600, 37746, 0.5},
                             Published{"efficientnet-lite0", 224, 407, 25},
                             Published{"efficientnet-lite1", 240, 631, 35},
                             Published{"efficientnet-lite2", 260, 899, 45},
                             Published{"efficientnet-lite3", 300, 1640, 80},
                             Published{"efficientnet-lite4", 300, 2640, 90},
                             Published{"mobilenet_v3_large", 224, 217, 0.5},
                             Published{"mobilenet_v3_small", 224, 56.5, 0.2},
                             Published{"resnet_101", 224, 7600, 50},
                             Published{"resnet_152", 224, 11300, 50},
                             Published{"vgg_16", 224, 15347, 1},
                             Published{"vgg_19", 224, 19509, 1},
                             Published{"darknet_19", 224, 2790 - 49, 1},
                             Published{"darknet_53", 256, 9285, 15},
                             Published{"cspdarknet_53", 256, 6570, 40}}) {
    const auto macs = static_cast<double>(SizeOf(Options(p.name, p.size)).macs) / 1e6;
    EXPECT_NEAR(macs, p.millions, p.tolerance) << p.name;
  }
}

TEST(Zoo, DarkNets) {
  // Redmon's Darknet-19 without batch norm's share: its last layer, a 1x1 convolution, is the dense layer here.
  EXPECT_EQ(SizeOf(Options("darknet_19")).parameters, 20842376);
  EXPECT_NEAR(static_cast<double>(SizeOf(Options("cspdarknet_53")).parameters) / 1e6, 27.64, 0.01);
  // TAO's own: fewer parameters than Darknet-19.
  EXPECT_LT(SizeOf(Options("cspdarknet_19")).parameters, 20842376);
}

// Each backbone at the smallest size of every table: structure, types, shapes.
TEST(Zoo, EachBackboneVerifies) {
  for (const std::string& name : BackboneNames()) {
    for (const int64_t size : {32, 33, 224}) {
      NetworkOptions o = Options(name, size, 7);
      o.input_channels = size == 33 ? 1 : 3;
      const ir::Graph g = BuildNetwork(o);
      ASSERT_NO_THROW(ir::Verify(g)) << name << " " << size;
      EXPECT_EQ(g.metadata().at("backbone"), name);
      ASSERT_EQ(g.outputs().size(), 1U);
      EXPECT_EQ(g.value(g.outputs()[0]).name, "predictions");
      EXPECT_EQ(g.value(g.outputs()[0]).type.shape, (Shape{ir::kDynamic, 7}));
      EXPECT_EQ(g.value(g.Find("logits")).type.shape, (Shape{ir::kDynamic, 7}));
      // What the average pool reads: the total stride.
      const ir::Value& features = g.value(g.producer(g.Find("avg_pool"))->input(0));
      const bool stride16 = name.rfind("vgg", 0) == 0 || name == "squeezenet";
      if (size != 33) {
        EXPECT_EQ(features.type.shape[2], size / (stride16 ? 16 : 32)) << name;
      }
    }
  }
}

TEST(Zoo, OptionsChangeWhatTheySay) {
  const auto count = [](const ir::Graph& g, const std::string& op) {
    int n = 0;
    for (const ir::NodeId id : g.Order()) n += g.node(id).op == op;
    return n;
  };
  for (const std::string& name : BackboneNames()) {
    NetworkOptions o = Options(name, 32, 7);
    o.use_bias = true;
    const ir::Graph biased = BuildNetwork(o);
    ir::Verify(biased);
    for (const ir::NodeId id : biased.Order()) {
      const ir::Node& node = biased.node(id);
      if (node.op != "Conv") continue;
      const bool never = name.rfind("efficientnet", 0) == 0 && node.name.find("project_conv") != std::string::npos;
      EXPECT_EQ(node.inputs.size(), never ? 2U : 3U) << name << " " << node.name;
    }
    o = Options(name, 32, 7);
    o.activation_type = "hard_swish";
    const ir::Graph swish = BuildNetwork(o);
    ir::Verify(swish);
    EXPECT_GT(count(swish, "HardSwish"), 5) << name;
    EXPECT_EQ(count(swish, "LeakyRelu") + count(swish, "Clip"), 0) << name;
    o = Options(name, 32, 7);
    o.use_batch_norm = false;
    const ir::Graph plain = BuildNetwork(o);
    ir::Verify(plain);
    const bool always = name.rfind("efficientnet", 0) == 0 || name.rfind("mobilenet_v3", 0) == 0;
    EXPECT_EQ(count(plain, "BatchNormalization") > 0, always) << name;
  }
  NetworkOptions o = Options("vgg_16", 32);
  o.use_pooling = false;
  const ir::Graph g = BuildNetwork(o);
  EXPECT_EQ(count(g, "MaxPool"), 0);
  EXPECT_EQ(g.value(g.producer(g.Find("avg_pool"))->input(0)).type.shape[2], 2);
  o = Options("mobilenet_v1", 32);
  o.width_multiplier = 0.25f;
  EXPECT_EQ(SizeOf(o).parameters, 470072);  // Keras' mobilenet_0.25
  o = Options("mobilenet_v2", 32);
  o.all_projections = true;
  EXPECT_EQ(count(BuildNetwork(o), "Conv"), 52 + 10);
  o = Options("resnet_18", 64);
  EXPECT_EQ(count(BuildNetwork(o), "Conv"), 17 + 4);  // TAO projects at the begin of every stage, the first too
  o.all_projections = true;
  EXPECT_EQ(count(BuildNetwork(o), "Conv"), 17 + 8);
  o.use_pooling = false;
  const ir::Graph strides = BuildNetwork(o);
  EXPECT_EQ(count(strides, "MaxPool"), 0);
  EXPECT_EQ(strides.value(strides.producer(strides.Find("avg_pool"))->input(0)).type.shape[2], 64 / 16);
}

TEST(Zoo, DropoutStandsBeforeTheDenseLayer) {
  const auto rate = [](const NetworkOptions& o) {
    const ir::Graph g = BuildNetwork(o);
    ir::Verify(g);
    const ir::Node* before = g.producer(g.producer(g.Find("logits"))->input(0));
    return before->op == "Dropout" ? g.value(before->input(1)).constant.ToVector<float>()[0] : 0.0f;
  };
  for (const char* name : {"resnet_10", "efficientnet-b4", "mobilenet_v3_small", "squeezenet"}) {
    NetworkOptions o = Options(name, 32, 7);
    EXPECT_EQ(rate(o), 0.0f) << name;
    o.retain_head = true;
    EXPECT_EQ(rate(o), std::string(name) == "efficientnet-b4" ? 0.4f : 0.0f) << name;
    o.dropout = 0.25f;
    EXPECT_EQ(rate(o), 0.25f) << name;
  }
}

TEST(Zoo, DropConnectGrowsWithDepth) {
  const auto rates = [](const std::string& name) {
    std::vector<float> found;
    const ir::Graph g = BuildNetwork(Options(name, 32));
    for (const ir::NodeId id : g.Order()) {
      const ir::Node& node = g.node(id);
      if (node.op != "Dropout") continue;
      EXPECT_EQ(node.attr_int("per_sample", 0), 1);
      found.push_back(g.value(node.input(1)).constant.data<float>()[0]);
    }
    return found;
  };
  EXPECT_TRUE(rates("efficientnet-b0").empty());
  EXPECT_TRUE(rates("efficientnet-lite0").empty());
  for (const auto& [name, drops] : std::map<std::string, size_t>{{"efficientnet-b1", 16}, {"efficientnet-b5", 32}}) {
    const std::vector<float> found = rates(name);
    EXPECT_EQ(found.size(), drops);  // one for each shortcut
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
    EXPECT_GT(found.front(), 0.0f);
    EXPECT_LT(found.back(), 0.2f);
  }
}

// TensorFlow's "same": odd pads have their larger half at the end.
TEST(Zoo, EfficientNetPadsLikeTensorFlow) {
  const auto pads = [](int64_t size, const char* node) {
    const ir::Graph g = BuildNetwork(Options("efficientnet-b0", size));
    return g.producer(g.Find(node))->attr_ints("pads", {});
  };
  EXPECT_EQ(pads(224, "stem_conv"), (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(pads(225, "stem_conv"), (std::vector<int64_t>{1, 1, 1, 1}));
  EXPECT_EQ(pads(224, "block3a_dwconv"), (std::vector<int64_t>{1, 1, 2, 2}));
  EXPECT_EQ(pads(224, "block3b_dwconv"), (std::vector<int64_t>{2, 2, 2, 2}));
}

TEST(Zoo, BlocksForFreezing) {
  EXPECT_EQ(BlockOfLayer("resnet_18", "conv1"), 0);
  EXPECT_EQ(BlockOfLayer("resnet_18", "block_4b_bn_2"), 4);
  EXPECT_EQ(BlockOfLayer("mobilenet_v2", "block_16_project_bn"), 17);
  EXPECT_EQ(BlockOfLayer("mobilenet_v2", "conv_1"), 18);
  EXPECT_EQ(BlockOfLayer("mobilenet_v1", "conv_pw_13_bn"), 13);
  EXPECT_EQ(BlockOfLayer("efficientnet-b3", "top_bn"), 8);
  EXPECT_EQ(BlockOfLayer("efficientnet-b3", "block7a_se_reduce"), 7);
  EXPECT_EQ(BlockOfLayer("squeezenet", "fire9_squeeze"), 8);
  EXPECT_EQ(BlockOfLayer("googlenet", "inception_4e_5x5_bn"), 7);
  EXPECT_EQ(BlockOfLayer("darknet_53", "conv6"), 5);
  EXPECT_EQ(BlockOfLayer("cspdarknet_19", "b5_part1_bn"), 5);
  EXPECT_EQ(BlockOfLayer("mobilenet_v3_small", "conv_2"), 12);
  EXPECT_EQ(BlockOfLayer("my_network", "conv1"), -1);
  for (const std::string& name : BackboneNames()) {
    EXPECT_EQ(BlockOfLayer(name, "predictions_dense"), -1) << name;
    // Every weighted layer but the head belongs to a block, and the blocks are 0 or 1 .. n without a gap.
    const ir::Graph g = BuildNetwork(Options(name, 32));
    std::set<int64_t> blocks;
    for (const ir::NodeId id : g.Order()) {
      const std::string& op = g.node(id).op;
      if (op == "Conv" || op == "BatchNormalization") blocks.insert(BlockOfLayer(name, g.node(id).name));
    }
    EXPECT_GE(*blocks.begin(), 0) << name;
    EXPECT_EQ(*blocks.rbegin() - *blocks.begin() + 1, static_cast<int64_t>(blocks.size())) << name;
  }
}

TEST(Zoo, SeedsReproduce) {
  NetworkOptions o = Options("mobilenet_v3_small", 32, 5);
  o.init_weights = true;
  const ir::Graph a = BuildNetwork(o);
  EXPECT_EQ(a, BuildNetwork(o));
  o.seed = 43;
  EXPECT_NE(a, BuildNetwork(o));
}

TEST(Zoo, GoldenText) {
  const std::string path = std::string(OCTET_SOURCE_DIR) + "/src/zoo/testdata/resnet_10.txt";
  const std::string text = ir::Print(BuildNetwork(Options("resnet_10", 32, 10)));
  if (std::getenv("OCTET_UPDATE_GOLDENS") != nullptr) WriteFileAtomic(path, text);
  EXPECT_EQ(text, ReadFile(path)) << "set OCTET_UPDATE_GOLDENS=1 to rewrite " << path;
}

TEST(Zoo, ErrorsSayWhatToDo) {
  EXPECT_THAT(ErrorOf(Options("resnet_51")), HasSubstr("unknown backbone 'resnet_51'; did you mean 'resnet_50'?"));
  EXPECT_THAT(ErrorOf(Options("efficientnet_b0")), HasSubstr("did you mean 'efficientnet-b0'?"));
  EXPECT_THAT(ErrorOf(Options("byom")), HasSubstr("it comes from model.byom_model"));
  EXPECT_THAT(ErrorOf(Options("googlenet", 31)),
              HasSubstr("input 31x31 is too small for googlenet: its total stride is 32, so it needs at least 32x32"));
  EXPECT_THAT(ErrorOf(Options("vgg_16", 15)), HasSubstr("at least 16x16"));
  EXPECT_THAT(ErrorOf(Options("vgg_16", 32, 1)), HasSubstr("num_classes is 1"));
  NetworkOptions o = Options("vgg_16", 32);
  o.input_channels = 2;
  EXPECT_THAT(ErrorOf(o), HasSubstr("input_channels is 2; expected 1 or 3"));
  o = Options("vgg_16", 32);
  o.activation_type = "relu7";
  EXPECT_THAT(ErrorOf(o), HasSubstr("unknown activation 'relu7'"));
}

TEST(Zoo, SpecOffersTheSameBackbones) {
  std::vector<std::string> names = BackboneNames();
  names.push_back("byom");
  for (const spec::Key& key : spec::TableOf("classification").keys) {
    if (key.path != "model.backbone") continue;
    EXPECT_THAT(key.limits.choices, ElementsAreArray(names));
    return;
  }
  FAIL() << "no key model.backbone";
}

}  // namespace
}  // namespace octet::zoo
