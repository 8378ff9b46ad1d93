// Pruning on the zoo's networks, untrained: filters are scaled at random so that some are weak.
#include "passes/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/install.h"
#include "passes/measure_network.h"
#include "passes/pipelines.h"
#include "passes/prune_test_graphs.h"
#include "zoo/zoo.h"

namespace octet::passes {
namespace {

using ir::Graph;
using ir::NodeId;
using ir::ValueId;

// Weights with filters of different norms, batch norms that do something.
Graph Network(const std::string& backbone, float width = 1) {
  ops::InstallOps();
  zoo::NetworkOptions o;
  o.backbone = backbone;
  o.num_classes = 5;
  o.input_height = o.input_width = 32;
  o.width_multiplier = width;
  Graph g = zoo::BuildNetwork(o);
  PruneNet random(5);
  for (const NodeId id : g.Order()) {
    const ir::Node node = g.node(id);
    const ir::OpDef& op = ir::GetOp(node);
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      const ValueId in = node.input(i);
      if (in == ir::kNoValue || !g.value(in).is_constant()) continue;
      const Shape& shape = g.value(in).type.shape;
      if (op.role(i) == ir::InputRole::kWeight) {
        const int axis = op.quant.weight_axis(node);
        const Tensor scale = random.Random({shape[static_cast<size_t>(axis)]}, 0.2f, 1.8f);
        Tensor w = g.value(in).constant;
        int64_t inner = 1;
        for (int a = axis + 1; a < w.rank(); ++a) inner *= w.dim(a);
        for (int64_t k = 0; k < w.size(); ++k)
          w.mutable_data<float>()[k] *= scale.data<float>()[k / inner % w.dim(axis)];
        g.set_constant(in, w);
      } else if (op.role(i) == ir::InputRole::kBuffer || op.role(i) == ir::InputRole::kParam) {
        const bool positive = op.role(i) == ir::InputRole::kBuffer ? i == 4 : i == 1;
        g.set_constant(in, positive ? random.Random(shape, 0.7f, 1.4f) : random.Random(shape, -0.2f, 0.2f));
      }
    }
  }
  return g;
}

struct Case {
  std::string backbone;
  float width;
  double threshold;
};

class PruneZoo : public testing::TestWithParam<Case> {};

TEST_P(PruneZoo, ComputesWhatTheZeroedNetworkDoes) {
  const Graph g = Network(GetParam().backbone, GetParam().width);
  PruneOptions options;
  options.threshold = GetParam().threshold;
  options.granularity = 4;
  options.min_num_filters = 4;
  const PrunePlan plan = AnalyzePruning(g, options);
  const Graph pruned = ApplyPruning(g, plan);
  for (const PrunedLayer& layer : plan.layers) {
    const auto kept = static_cast<int64_t>(layer.kept.size());
    EXPECT_TRUE(kept == layer.filters || kept % 4 == 0) << layer.name;
    EXPECT_GE(kept, 4) << layer.name;
    EXPECT_EQ(layer.whole.empty(), layer.name != "predictions_dense") << layer.name << ": " << layer.whole;
  }
  const NetworkSize before = MeasureNetwork(g);
  const NetworkSize after = MeasureNetwork(pruned);
  EXPECT_LT(after.parameters, before.parameters * 0.8) << ToString(plan);
  EXPECT_LT(after.macs, before.macs * 0.9) << ToString(plan);

  PruneNet random(9);
  const std::map<std::string, Tensor> feeds = {{"input_1", random.Random({1, 3, 32, 32}, -1, 1)}};
  const Graph zeroed = ZeroPrunedFilters(g, plan);
  const Tensor want = ir::RunReference(zeroed, feeds, {zeroed.Find("logits")})[0];
  const Tensor have = ir::RunReference(pruned, feeds, {pruned.Find("logits")})[0];
  const Tensor whole = ir::RunReference(g, feeds, {g.Find("logits")})[0];
  ASSERT_EQ(want.shape(), have.shape());
  float scale = 0;
  float changed = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    scale = std::max(scale, std::abs(want.data<float>()[i]));
    changed = std::max(changed, std::abs(want.data<float>()[i] - whole.data<float>()[i]));
  }
  for (int64_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(want.data<float>()[i], have.data<float>()[i], 2e-5f * scale) << i;
  }
  EXPECT_GT(changed, 1e-3f * scale);  // the filters that went did matter
  ir::Verify(PrepareForEngine(PrepareForQat(pruned)));
}

// One network of each kind, as far as the zoo has it.
std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const std::string& name : zoo::BackboneNames()) {
    const bool mobile = name.rfind("mobilenet", 0) == 0;
    for (const char* kind :
         {"resnet_10", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet-b0", "efficientnet-lite0",
          "vgg_16", "squeezenet", "googlenet", "darknet_19", "cspdarknet_19"}) {
      if (name == kind) cases.push_back({name, mobile ? 0.35f : 1.0f, 0.8});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Networks, PruneZoo, testing::ValuesIn(Cases()), [](const auto& info) {
  std::string name = info.param.backbone;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Residual stages of a ResNet share one choice; the bottom of a block is its own.
TEST(PruneZooGroups, StagesOfResnet10) {
  const Graph g = Network("resnet_10");
  PruneOptions options;
  options.threshold = 0.6;
  const PrunePlan plan = AnalyzePruning(g, options);
  std::vector<std::string> text;
  for (const PrunedLayer& layer : plan.layers) {
    std::string line = layer.name;
    for (const std::string& other : layer.coupled) line += " " + other;
    text.push_back(line);
  }
  std::vector<std::string> want = {"conv1"};
  for (const std::string stage : {"block_1a", "block_2a", "block_3a", "block_4a"}) {
    const std::string last = stage + "_conv_2", shortcut = stage + "_conv_shortcut";
    want.insert(want.end(), {shortcut + " " + last, stage + "_conv_1", last + " " + shortcut});
  }
  want.push_back("predictions_dense");
  EXPECT_EQ(text, want);
}

}  // namespace
}  // namespace octet::passes
