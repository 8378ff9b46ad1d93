// Recipe `inputs`: where pairs stand, TAO's quantizer counts on the zoo's networks, and the way down to the engine's
// operators.
#include "passes/insert_qdq_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "base/files.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"
#include "passes/lower_for_engine.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "zoo/zoo.h"

namespace octet::passes {
namespace {

using ir::Graph;
using testing::HasSubstr;

const std::string kTestdata = std::string(OCTET_SOURCE_DIR) + "/src/passes/testdata/";

Tensor Random(const Shape& shape, uint32_t seed, float stddev) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, stddev);
  Tensor t(DType::kF32, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = normal(rng);
  return t;
}

Graph Small() {
  ops::InstallOps();
  Graph g = ir::Parse(ReadFile(kTestdata + "small.txt"), {}, /*zero_blobs=*/true, "small.txt");
  uint32_t seed = 1;
  for (const ir::ValueId id : g.constants()) {
    const Tensor& t = g.value(id).constant;
    if (t.rank() > 1) g.set_constant(id, Random(t.shape(), ++seed, 0.4f));
  }
  return g;
}

Graph Inputs(Graph g) {
  return PrepareForQat(std::move(g), {}, "inputs");
}

Graph Network(const std::string& backbone, int64_t size = 32) {
  ops::InstallOps();
  zoo::NetworkOptions o;
  o.backbone = backbone;
  o.input_height = o.input_width = size;
  o.init_weights = false;
  return zoo::BuildNetwork(o);
}

// TAO's ResNet averages twice: 7x7 at the end of the backbone, then over what is left. octet's averages once.
Graph WithTaosSecondPool(Graph g) {
  const ir::ValueId pooled = g.Find("avg_pool");
  const ir::NodeId extra = g.AddNode("AveragePool", "tao_pool", {g.producer(pooled)->input(0)}, {"tao_pool"},
                                     {{"kernel_shape", std::vector<int64_t>{1, 1}}});
  g.SetInput(g.value(pooled).producer, 0, g.node(extra).output());
  ir::InferTypes(g);
  return g;
}

void ExpectCounts(const Graph& g, int weights, int activations, const std::string& name) {
  const QuantizerCounts counts = CountQuantizers(g);
  EXPECT_EQ(counts.weights, weights) << name;
  EXPECT_EQ(counts.activations, activations) << name;
}

TEST(InsertQdqInputs, Golden) {
  const Graph g = Inputs(Small());
  ir::Verify(g);
  EXPECT_EQ(g.metadata().at("recipe"), "inputs");
  const std::string path = kTestdata + "small.inputs.txt";
  if (std::getenv("OCTET_UPDATE_GOLDENS") != nullptr) WriteFileAtomic(path, ir::Print(g));
  EXPECT_EQ(ir::Print(g), ReadFile(path)) << "set OCTET_UPDATE_GOLDENS=1 to rewrite " << path;
  // Six weighted layers and their inputs, the pool, the gate's Mul twice; of the Add's branches one is fusable.
  ExpectCounts(g, 6, 6 + 1 + 2 + 1, "small");
}

TEST(InsertQdqInputs, CountsAreTaosOnEfficientNets) {
  struct Counts {
    const char* name;
    int weights, activations;
  };
  for (const Counts& c : {Counts{"efficientnet-b0", 82, 140}, Counts{"efficientnet-b1", 116, 218},
                          Counts{"efficientnet-b2", 116, 218}, Counts{"efficientnet-b3", 131, 248},
                          Counts{"efficientnet-b4", 161, 308}, Counts{"efficientnet-b5", 195, 377}}) {
    const Graph g = Inputs(Network(c.name));
    ir::Verify(g);
    ExpectCounts(g, c.weights, c.activations, c.name);
  }
}

TEST(InsertQdqInputs, CountsAreTaosOnResNets) {
  struct Counts {
    const char* name;
    int weights, activations;
  };
  for (const Counts& c : {Counts{"resnet_18", 22, 32}, Counts{"resnet_50", 54, 72}, Counts{"resnet_101", 105, 140}}) {
    ExpectCounts(Inputs(WithTaosSecondPool(Network(c.name))), c.weights, c.activations, c.name);
    ExpectCounts(Inputs(Network(c.name)), c.weights, c.activations - 1, c.name);
  }
}

// With every block projected, the projection is a fusable branch as well; one of the two stays bare.
TEST(InsertQdqInputs, OneBranchOfEveryResidualStaysBare) {
  for (const char* name :
       {"resnet_50", "mobilenet_v2", "efficientnet-b0", "efficientnet-lite0", "mobilenet_v3_large", "darknet_53"}) {
    const Graph g = Inputs(Network(name));
    int adds = 0;
    for (const ir::NodeId id : g.Order()) {
      const ir::Node& node = g.node(id);
      if (node.op != "Add") continue;
      ++adds;
      int pairs = 0;
      for (size_t i = 0; i < 2; ++i) pairs += g.producer(node.input(i))->op == "DequantizeLinear";
      EXPECT_EQ(pairs, 1) << name << " " << node.name;
    }
    EXPECT_GT(adds, 5) << name;
  }
}

TEST(InsertQdqInputs, KeepsActivationsAndQuantizesTheLastLayer) {
  const Graph g = Inputs(Network("efficientnet-b0"));
  for (const ir::NodeId id : g.Order()) EXPECT_NE(g.node(id).op, "Clip");
  const ir::Node& dense = *g.producer(g.Find("logits"));
  EXPECT_EQ(g.producer(dense.input(0))->op, "DequantizeLinear");
  EXPECT_EQ(g.producer(dense.input(1))->op, "DequantizeLinear");
  // Swish is no Multiply: it reads the batch norm itself.
  const ir::Node& swish = *g.producer(g.Find("stem_activation"));
  EXPECT_EQ(swish.op, "Mul");
  EXPECT_EQ(g.value(swish.input(0)).name, "stem_bn");
}

TEST(InsertQdqInputs, UnknownRecipeAndQuantizedGraphs) {
  const auto error_of = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of([] { PrepareForQat(Small(), {}, "input"); }),
              HasSubstr("recipe is 'input'; expected fused or inputs"));
  EXPECT_THAT(error_of([] { Inputs(Inputs(Small())); }), HasSubstr("is quantized already"));
}

TEST(MergeEqualQdq, OnePairPerTensorAndScale) {
  Graph g = Inputs(Small());
  const Graph merged = MergeEqualQdq(g);
  ir::Verify(merged);
  // pool is read by two layers and sum_relu by a layer and the gate's Mul.
  EXPECT_EQ(CountQuantizers(g).activations - CountQuantizers(merged).activations, 2);
  const std::map<std::string, Tensor> feed = {{"input_1", Random({2, 3, 8, 8}, 99, 1.0f)}};
  EXPECT_EQ(ir::RunReference(g, feed)[0], ir::RunReference(merged, feed)[0]);
  // Another scale is another pair.
  g.set_constant(g.producer(g.producer(g.producer(g.Find("left"))->input(0))->input(0))->input(1),
                 Tensor::Scalar(0.5f));
  EXPECT_EQ(CountQuantizers(g).activations - CountQuantizers(MergeEqualQdq(g)).activations, 1);
}

TEST(MergeEqualQdq, KeepsRecipeFused) {
  const Graph g = PrepareForQat(Small());
  EXPECT_EQ(MergeEqualQdq(g), g);
}

// Codes of the lowered graph against the Q/DQ graph: equal but for near-ties that float rounding decides.
void ExpectLoweredEqual(const Graph& exported, const std::map<std::string, Tensor>& feed, const std::string& name) {
  const Graph lowered = LowerForEngine(exported);
  ir::Verify(lowered);
  int convolutions = 0;
  int compared = 0;
  int different = 0;
  for (const ir::NodeId id : lowered.Order()) convolutions += lowered.node(id).op == "QConv";
  EXPECT_EQ(convolutions, CountQuantizers(exported).weights) << name;  // every quantized layer runs in INT8
  std::vector<ir::ValueId> wanted;
  std::vector<ir::ValueId> wanted_lowered;
  for (const ir::ValueId v : exported.values()) {
    const ir::Value& value = exported.value(v);
    const ir::ValueId other = lowered.Find(value.name);
    if (value.is_constant() || value.type.dtype != DType::kS8 || other == ir::kNoValue) continue;
    if (lowered.value(other).is_constant()) continue;
    wanted.push_back(v);
    wanted_lowered.push_back(other);
  }
  ASSERT_GT(wanted.size(), 4U);
  wanted.push_back(exported.outputs()[0]);
  wanted_lowered.push_back(lowered.outputs()[0]);
  const std::vector<Tensor> a = ir::RunReference(exported, feed, wanted);
  const std::vector<Tensor> b = ir::RunReference(lowered, feed, wanted_lowered);
  for (size_t t = 0; t + 1 < a.size(); ++t) {
    ASSERT_EQ(a[t].shape(), b[t].shape());
    for (int64_t i = 0; i < a[t].size(); ++i) {
      const int d = std::abs(a[t].data<int8_t>()[i] - b[t].data<int8_t>()[i]);
      ASSERT_LE(d, 2) << name << " " << exported.value(wanted[t]).name;
      different += d != 0;
      ++compared;
    }
  }
  EXPECT_LE(different, 1 + compared / 500) << name << ": of " << compared;
  for (int64_t i = 0; i < a.back().size(); ++i) {
    ASSERT_NEAR(a.back().data<float>()[i], b.back().data<float>()[i], 2e-2f) << name;
  }
}

TEST(InsertQdqInputs, LowersToTheSameCodes) {
  const std::map<std::string, Tensor> feed = {{"input_1", Random({2, 3, 8, 8}, 99, 1.0f)}};
  ExpectLoweredEqual(PrepareForExport(Inputs(Small())), feed, "small");
}

// A block of each kind that TAO's networks have: swish, squeeze and excitation, drop-connect before the residual.
TEST(InsertQdqInputs, LowersSqueezeExciteAndDropConnect) {
  ops::InstallOps();
  zoo::NetworkOptions o;
  o.backbone = "mobilenet_v3_small";
  o.width_multiplier = 0.25f;
  o.input_height = o.input_width = 32;
  const std::map<std::string, Tensor> feed = {{"input_1", Random({1, 3, 32, 32}, 7, 1.0f)}};
  ExpectLoweredEqual(PrepareForExport(Inputs(zoo::BuildNetwork(o))), feed, o.backbone);
  for (const char* name : {"efficientnet-b1", "resnet_10"}) {
    o.backbone = name;
    ExpectLoweredEqual(PrepareForExport(Inputs(zoo::BuildNetwork(o))), feed, o.backbone);
  }
}

// One network of each family, both recipes: every layer with quantized weights ends as an integer convolution.
TEST(Recipes, EachFamilyLowers) {
  for (const char* name : {"resnet_10", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet-b1",
                           "efficientnet-lite1", "squeezenet", "googlenet", "cspdarknet_19"}) {
    for (const char* recipe : {"fused", "inputs"}) {
      const Graph qat = PrepareForQat(Network(name), {}, recipe);
      ASSERT_NO_THROW(ir::Verify(qat)) << name << " " << recipe;
      const Graph lowered = PrepareForEngine(qat);
      ASSERT_NO_THROW(ir::Verify(lowered)) << name << " " << recipe;
      int convolutions = 0;
      for (const ir::NodeId id : lowered.Order()) convolutions += lowered.node(id).op == "QConv";
      EXPECT_EQ(convolutions, CountQuantizers(qat).weights) << name << " " << recipe;
      EXPECT_GT(convolutions, 9) << name << " " << recipe;
    }
  }
}

// The scales that a cache or ONNX carries: one for each tensor.
TEST(InsertQdqInputs, ScalesForCalibrationNameEachTensorOnce) {
  std::set<std::string> names;
  const Scales scales = CollectScales(PrepareForExport(Inputs(Network("efficientnet-b0"))));
  for (const auto& [name, scale] : scales) EXPECT_TRUE(names.insert(name).second) << name;
  EXPECT_EQ(names.count("input_1"), 1U);
  EXPECT_EQ(names.count("block1a_activation"), 1U);
}

TEST(RemoveDropConnect, RecipeFusedTrainsWithout) {
  const auto drops = [](const Graph& g) {
    int n = 0;
    for (const ir::NodeId id : g.Order()) n += g.node(id).op == "Dropout";
    return n;
  };
  const Graph g = Network("efficientnet-b1");
  EXPECT_EQ(drops(g), 16);
  EXPECT_EQ(drops(Inputs(g)), 16);
  const Graph fused = PrepareForQat(g);
  EXPECT_EQ(drops(fused), 0);
  ir::Verify(fused);
  EXPECT_EQ(drops(PrepareForExport(Inputs(g))), 0);
}

}  // namespace
}  // namespace octet::passes
