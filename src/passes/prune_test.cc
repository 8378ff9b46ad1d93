// Pruning: the choice by hand-computed norms, and the property that a pruned network computes what the original does
// with the pruned channels at zero.
#include "passes/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "ops/install.h"
#include "passes/measure_network.h"
#include "passes/pipelines.h"
#include "passes/prune_test_graphs.h"

namespace octet::passes {
namespace {

using ir::Graph;
using ir::ValueId;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Prune : public testing::Test {
 protected:
  void SetUp() override { ops::InstallOps(); }
};

const PrunedLayer& LayerOf(const PrunePlan& plan, const std::string& name) {
  for (const PrunedLayer& layer : plan.layers) {
    if (layer.name == name) return layer;
  }
  throw std::runtime_error("no layer " + name);
}

PruneOptions Small(double threshold = 0.55) {
  PruneOptions o;
  o.threshold = threshold;
  o.granularity = 2;
  o.min_num_filters = 2;
  return o;
}

// Prunes, and compares with the zeroed original on two images. `must_shrink`: layers that lose filters.
PrunePlan ExpectSameAsZeroed(const Graph& g, const std::vector<std::string>& must_shrink,
                             const PruneOptions& options = Small()) {
  const PrunePlan plan = AnalyzePruning(g, options);
  for (const std::string& name : must_shrink) {
    const PrunedLayer& layer = LayerOf(plan, name);
    EXPECT_LT(layer.kept.size(), static_cast<size_t>(layer.filters)) << name << "\n" << ToString(plan);
  }
  const Graph pruned = ApplyPruning(g, plan);
  PruneNet random(77);
  std::map<std::string, Tensor> feeds;
  for (const ValueId in : g.inputs()) {
    Shape shape = g.value(in).type.shape;
    shape[0] = 2;
    feeds[g.value(in).name] = random.Random(shape, -1, 1);
  }
  const std::vector<Tensor> want = ir::RunReference(ZeroPrunedFilters(g, plan), feeds);
  const std::vector<Tensor> have = ir::RunReference(pruned, feeds);
  for (size_t o = 0; o < want.size(); ++o) {
    EXPECT_EQ(want[o].shape(), have[o].shape());
    for (int64_t i = 0; i < want[o].size(); ++i) {
      EXPECT_NEAR(want[o].data<float>()[i], have[o].data<float>()[i], 1e-5f) << o << " " << i << "\n" << ToString(plan);
    }
  }
  EXPECT_LT(MeasureNetwork(pruned).parameters, MeasureNetwork(g).parameters);
  EXPECT_LT(MeasureNetwork(pruned).macs, MeasureNetwork(g).macs);
  return plan;
}

// ---- the choice

// One 1x1 convolution of one input channel whose filters have these norms; a second layer makes the output.
Graph WithNorms(const std::vector<float>& norms) {
  PruneNet net;
  const auto n = static_cast<int64_t>(norms.size());
  const ValueId x = net.Input("x", 1, 2);
  const ValueId w = net.Constant("a.weight", Tensor::From<float>({n, 1, 1, 1}, norms));
  net.graph().MarkOutput(net.Conv("out", net.Op("Conv", "a", {x, w}), 3));
  return net.graph();
}

PruneOptions Exact(double threshold) {
  PruneOptions o;
  o.threshold = threshold;
  o.granularity = 1;
  o.min_num_filters = 1;
  return o;
}

TEST_F(Prune, KeepsNormsAboveTheThreshold) {
  const Graph g = WithNorms({1, -4, 2, 0, 3});  // normalized 0.25 1 0.5 0 0.75
  EXPECT_THAT(AnalyzePruning(g, Exact(0.3)).layers[0].kept, ElementsAre(1, 2, 4));
  EXPECT_THAT(AnalyzePruning(g, Exact(0.5)).layers[0].kept, ElementsAre(1, 4));  // equal goes
  EXPECT_THAT(AnalyzePruning(g, Exact(0)).layers[0].kept, ElementsAre(0, 1, 2, 4));
  EXPECT_THAT(AnalyzePruning(g, Exact(2)).layers[0].kept, ElementsAre(1));
}

TEST_F(Prune, L2DividesByTheNormOfNorms) {
  PruneOptions o = Exact(1.9);
  o.normalizer = PruneNormalizer::kL2;
  const Graph g = WithNorms({3, 0, 4, 0});  // 4 / 5 * 4 = 3.2, 3 / 5 * 4 = 2.4
  EXPECT_THAT(AnalyzePruning(g, o).layers[0].kept, ElementsAre(0, 2));
  o.threshold = 2.5;
  EXPECT_THAT(AnalyzePruning(g, o).layers[0].kept, ElementsAre(2));
}

TEST_F(Prune, RoundsUpAndKeepsAMinimum) {
  const Graph g = WithNorms({1, 8, 2, 7, 3, 6, 4, 5, 5, 0});
  PruneOptions o = Exact(0.8);  // 8 and 7
  o.granularity = 3;
  EXPECT_THAT(AnalyzePruning(g, o).layers[0].kept, ElementsAre(1, 3, 5));
  o.min_num_filters = 5;  // rounded up to 6; of the two fives the first
  EXPECT_THAT(AnalyzePruning(g, o).layers[0].kept, ElementsAre(1, 3, 5, 6, 7, 8));
  o.granularity = 4;
  o.min_num_filters = 9;  // 12, but there are 10
  EXPECT_EQ(AnalyzePruning(g, o).layers[0].kept.size(), 10U);
  o.min_num_filters = 100;
  EXPECT_EQ(AnalyzePruning(g, o).layers[0].kept.size(), 10U);
}

TEST_F(Prune, ALayerOfZerosKeepsTheMinimum) {
  PruneOptions o = Exact(0.1);
  o.min_num_filters = 2;
  EXPECT_THAT(AnalyzePruning(WithNorms({0, 0, 0}), o).layers[0].kept, ElementsAre(0, 1));
}

TEST_F(Prune, CriterionMergesAddedLayers) {
  PruneNet net;
  const ValueId x = net.Input("x", 1, 2);
  const ValueId wa = net.Constant("a.weight", Tensor::From<float>({4, 1, 1, 1}, {1.0f, 0.5f, 0.2f, 0.0f}));
  const ValueId wb = net.Constant("b.weight", Tensor::From<float>({4, 1, 1, 1}, {0.1f, 0.5f, 1.0f, 0.6f}));
  const ValueId sum = net.Op("Add", "sum", {net.Op("Conv", "a", {x, wa}), net.Op("Conv", "b", {x, wb})});
  net.graph().MarkOutput(net.Conv("out", sum, 3));
  const auto kept = [&](EqualizationCriterion criterion, double threshold) {
    PruneOptions o = Exact(threshold);
    o.criterion = criterion;
    const PrunePlan plan = AnalyzePruning(net.graph(), o);
    EXPECT_EQ(plan.layers[0].kept, plan.layers[1].kept);
    EXPECT_THAT(plan.layers[0].coupled, ElementsAre("b"));
    return plan.layers[0].kept;
  };
  EXPECT_THAT(kept(EqualizationCriterion::kUnion, 0.55), ElementsAre(0, 2, 3));        // 1 .5 1 .6
  EXPECT_THAT(kept(EqualizationCriterion::kIntersection, 0.15), ElementsAre(1, 2));    // .1 .5 .2 0
  EXPECT_THAT(kept(EqualizationCriterion::kArithmeticMean, 0.52), ElementsAre(0, 2));  // .55 .5 .6 .3
  EXPECT_THAT(kept(EqualizationCriterion::kGeometricMean, 0.32), ElementsAre(1, 2));   // .316 .5 .447 0
}

TEST_F(Prune, PlanAsText) {
  PruneNet net;
  const ValueId x = net.Input("x", 1, 4);
  const auto conv = [&](const char* name, ValueId in, const std::vector<float>& norms, int64_t group = 1) {
    const int64_t n = static_cast<int64_t>(norms.size());
    const int64_t channels = net.Channels(in) / group;
    Tensor w(DType::kF32, {n, channels, 1, 1});
    for (int64_t k = 0; k < n; ++k) w.mutable_data<float>()[k * channels] = norms[static_cast<size_t>(k)];
    return net.Op("Conv", name, {in, net.Constant(std::string(name) + ".weight", w)}, {{"group", group}});
  };
  const ValueId stem = conv("stem", x, {1, 0.9f, 0.1f, 0.8f, 0.2f, 0.7f});
  const ValueId depthwise = conv("depthwise", stem, {1, 1, 1, 1, 1, 1}, 6);
  const ValueId left = conv("left", depthwise, {0.1f, 1, 0.1f, 0.1f});
  const ValueId right = conv("right", stem, {0.1f, 0.1f, 0.1f, 1});
  net.Head(net.Op("Relu", "relu", {net.Op("Add", "sum", {left, right})}));
  const PrunePlan plan = AnalyzePruning(net.graph(), Exact(0.5));
  EXPECT_EQ(ToString(plan, /*indices=*/true), R"(layer      operator       filters   kept
stem       Conv                 6      4  [0-1,3,5]  with depthwise
depthwise  Conv                 6      4  [0-1,3,5]  depthwise; as stem
left       Conv                 4      2  [1,3]  with right
right      Conv                 4      2  [1,3]  as left
logits     Gemm                 5      5  [0-4]  whole: input of 'predictions' (Softmax)
)");
  const Graph pruned = ApplyPruning(net.graph(), plan);
  EXPECT_EQ(pruned.node(pruned.value(pruned.Find("depthwise")).producer).attr_int("group", 1), 4);
  EXPECT_EQ(pruned.value(pruned.Find("logits.weight")).constant.shape(), (Shape{5, 2}));
}

// ---- the property

TEST_F(Prune, Residual) {
  PruneNet net;
  const ValueId stem = net.ConvBnRelu("stem", net.Input("x", 3, 8), 16, 3);
  const ValueId a = net.ConvBnRelu("a", stem, 16, 3);
  const ValueId b = net.Bn("b_bn", net.Conv("b", a, 16, 3));
  const ValueId sum = net.Op("Relu", "sum_relu", {net.Op("Add", "sum", {b, stem})});
  const ValueId c = net.Bn("c_bn", net.Conv("c", sum, 12));
  const ValueId d = net.Bn(
      "d_bn", net.Conv("d", net.Op("MaxPool", "pool", {sum}, {{"kernel_shape", std::vector<int64_t>{1, 1}}}), 12));
  net.Head(net.Op("Add", "sum_2", {c, d}));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"stem", "a", "b", "c", "d"}, Small(0.85));
  EXPECT_EQ(LayerOf(plan, "stem").kept, LayerOf(plan, "b").kept);
  EXPECT_THAT(LayerOf(plan, "a").coupled, IsEmpty());
  EXPECT_THAT(LayerOf(plan, "c").coupled, ElementsAre("d"));
}

// The comparison above is sharp: a batch norm cut at other channels does not pass.
TEST_F(Prune, AWrongCutShows) {
  PruneNet net;
  net.Head(net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3));
  PrunePlan plan = AnalyzePruning(net.graph(), Small());
  const std::map<std::string, Tensor> feeds = {{"x", net.Random({1, 3, 8, 8}, -1, 1)}};
  const auto run = [&] { return ir::RunReference(ApplyPruning(net.graph(), plan), feeds)[0].ToVector<float>(); };
  const std::vector<float> right = run();
  for (PrunePlan::Cut& cut : plan.cuts) {
    if (cut.constant == "a_bn.bias") {
      for (size_t i = 0; i < cut.kept.size(); ++i) cut.kept[i] = static_cast<int64_t>(i);
    }
  }
  EXPECT_THAT(run(), testing::Not(testing::Pointwise(testing::FloatNear(1e-3f), right)));
}

TEST_F(Prune, DepthwiseAndItsMultiplier) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3);
  const ValueId once = net.ConvBnRelu("once", a, 16, 3, 16);
  const ValueId twice = net.ConvBnRelu("twice", once, 32, 3, 16);
  net.Head(net.ConvBnRelu("b", twice, 8));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a", "once", "twice", "b"});
  EXPECT_EQ(LayerOf(plan, "twice").kept.size(), 2 * LayerOf(plan, "a").kept.size());
  EXPECT_THAT(LayerOf(plan, "a").coupled, ElementsAre("once", "twice"));
}

TEST_F(Prune, DepthwiseOnTheImageStaysWhole) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 8, 8), 8, 3, 8);
  net.Head(net.ConvBnRelu("b", a, 16));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"b"});
  EXPECT_EQ(LayerOf(plan, "a").whole, "network input");
}

TEST_F(Prune, GroupsStayWhole) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 3, 8), 8, 3);
  net.Head(net.ConvBnRelu("b", net.ConvBnRelu("grouped", a, 8, 3, 2), 16));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"b"});
  EXPECT_EQ(LayerOf(plan, "a").whole, "input of 'grouped' (Conv)");
}

TEST_F(Prune, ConcatOffsets) {
  PruneNet net;
  const ValueId x = net.Input("x", 3, 8);
  const ValueId a = net.ConvBnRelu("a", x, 12, 3);
  const ValueId b = net.ConvBnRelu("b", x, 10);
  const ValueId both = net.Op("Concat", "both", {a, x, b, a}, {{"axis", int64_t{1}}});
  net.Head(net.ConvBnRelu("c", net.Bn("both_bn", both), 16));
  // A batch norm over a Concat has the shift of removed channels as well: zeroed by hand.
  Graph g = net.graph();
  g.set_constant(g.Find("both_bn.bias"), Tensor(DType::kF32, {37}));
  g.set_constant(g.Find("both_bn.mean"), Tensor(DType::kF32, {37}));
  ExpectSameAsZeroed(g, {"a", "b", "c"});
}

// The sum joins one layer with two: each half makes its own choice.
TEST_F(Prune, ConcatMeetsAdd) {
  PruneNet net;
  const ValueId x = net.Input("x", 3, 8);
  const ValueId both =
      net.Op("Concat", "both", {net.ConvBnRelu("a", x, 10, 3), net.ConvBnRelu("b", x, 6)}, {{"axis", int64_t{-3}}});
  net.Head(net.Op("Add", "sum", {both, net.ConvBnRelu("c", x, 16)}));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a", "b", "c"});
  const std::vector<int64_t>& c = LayerOf(plan, "c").kept;
  std::vector<int64_t> joined = LayerOf(plan, "a").kept;
  for (const int64_t k : LayerOf(plan, "b").kept) joined.push_back(10 + k);
  EXPECT_EQ(c, joined);
  EXPECT_EQ(LayerOf(plan, "a").kept.size() % 2, 0U);
  EXPECT_THAT(LayerOf(plan, "a").coupled, ElementsAre("c"));
}

TEST_F(Prune, FlattenedSpace) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 3, 4), 12, 3);
  const ValueId flat = net.Op("Flatten", "flat", {a});
  const ValueId hidden = net.Op("Relu", "hidden_relu", {net.Dense("hidden", flat, 10)});
  net.graph().MarkOutput(net.Dense("logits", hidden, 4));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a", "hidden"});
  EXPECT_EQ(LayerOf(plan, "logits").whole, "network output");
}

TEST_F(Prune, ReshapeWithTheSizeSpelledOut) {
  PruneNet net;
  const ValueId x = net.Input("x", 3, 4);
  const ValueId shape = net.Constant("shape", Tensor::From<int64_t>({2}, {-1, 12 * 16}));
  const ValueId a = net.Op("Reshape", "flat_a", {net.ConvBnRelu("a", x, 12, 3), shape});
  const ValueId b = net.Op("Reshape", "flat_b", {net.ConvBnRelu("b", x, 12), shape});
  const ValueId back_shape = net.Constant("back_shape", Tensor::From<int64_t>({4}, {0, 12, 2, 8}));
  const ValueId back = net.Op("Reshape", "back", {net.ConvBnRelu("c", x, 12), back_shape});
  net.graph().MarkOutput(net.Dense("logits", net.Op("Concat", "all", {a, b}, {{"axis", int64_t{1}}}), 4));
  net.graph().MarkOutput(net.Conv("out", back, 4));
  ExpectSameAsZeroed(net.graph(), {"a", "b", "c"});
}

TEST_F(Prune, SqueezeAndExcite) {
  PruneNet net;
  const ValueId a = net.Conv("a", net.Input("x", 3, 8), 16, 3);
  const ValueId swish = net.Op("Mul", "swish", {a, net.Op("Sigmoid", "a_sigmoid", {a})});
  const ValueId depthwise = net.ConvBnRelu("depthwise", swish, 16, 3, 16);
  const ValueId axes = net.Constant("axes", Tensor::From<int64_t>({2}, {2, 3}));
  const ValueId mean = net.Op("ReduceMean", "mean", {depthwise, axes}, {{"keepdims", int64_t{0}}});
  const ValueId reduce = net.Op("Relu", "reduce_relu", {net.Dense("reduce", mean, 6)});
  const ValueId expand =
      net.Op("Unsqueeze", "wide", {net.Op("Sigmoid", "gate", {net.Dense("expand", reduce, 16)}), axes});
  const ValueId gated = net.Op("Mul", "gated", {expand, depthwise});
  const ValueId scale = net.Constant("scale", net.Random({16, 1, 1}, 0.5f, 1.5f));
  net.Head(net.ConvBnRelu("b", net.Op("Mul", "scaled", {gated, scale}), 12));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a", "depthwise", "reduce", "expand", "b"});
  EXPECT_EQ(LayerOf(plan, "expand").kept, LayerOf(plan, "a").kept);
}

TEST_F(Prune, SpatialOperators) {
  PruneNet net;
  ValueId x = net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3);
  x = net.Op("Pad", "pad", {x, net.Constant("pads", Tensor::From<int64_t>({8}, {0, 0, 1, 1, 0, 0, 1, 1}))});
  x = net.Op("Transpose", "transpose", {x}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  x = net.Op("Slice", "slice",
             {x, net.Constant("s", Tensor::From<int64_t>({1}, {1})), net.Constant("e", Tensor::From<int64_t>({1}, {9})),
              net.Constant("ax", Tensor::From<int64_t>({1}, {3}))});
  x = net.Op("Resize", "resize", {x, ir::kNoValue, net.Constant("scales", Tensor::From<float>({4}, {1, 1, 2, 2}))});
  x = net.Op("ConvTranspose", "up", {x, net.Constant("up.weight", net.Random({16, 12, 2, 2}, -1, 1))});
  x = net.Op("PRelu", "prelu", {x, net.Constant("slope", net.Random({12, 1, 1}, 0.1f, 0.3f))});
  net.Head(net.ConvBnRelu("b", x, 10));
  ExpectSameAsZeroed(net.graph(), {"a", "up", "b"}, Small(0.9));
}

TEST_F(Prune, SharedWeights) {
  PruneNet net;
  const ValueId x = net.Input("x", 3, 8);
  const ValueId a = net.ConvBnRelu("a", x, 12, 3);
  const ValueId b = net.ConvBnRelu("b", x, 12);
  const ValueId w = net.Constant("shared.weight", net.Filters({16, 12, 1, 1}));
  const ValueId first = net.Bn("first_bn", net.Op("Conv", "first", {a, w}));
  const ValueId second = net.Bn("second_bn", net.Op("Conv", "second", {b, w}));
  net.Head(net.Op("Concat", "both", {first, second}, {{"axis", int64_t{1}}}));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a", "b", "first", "second"});
  EXPECT_EQ(LayerOf(plan, "a").kept, LayerOf(plan, "b").kept);
}

TEST_F(Prune, MixersOfChannelsKeepThem) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3);
  const ValueId shuffled = net.Op("DepthToSpace", "shuffle", {a}, {{"blocksize", int64_t{2}}});
  net.Head(net.ConvBnRelu("b", shuffled, 12));
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"b"});
  EXPECT_EQ(LayerOf(plan, "a").whole, "input of 'shuffle' (DepthToSpace)");
}

TEST_F(Prune, ExclusionHoldsTheWholeGroup) {
  PruneNet net;
  const ValueId stem = net.ConvBnRelu("stem", net.Input("x", 3, 8), 16, 3);
  const ValueId a = net.ConvBnRelu("a", stem, 12, 3);
  net.Head(net.Op("Add", "sum", {stem, net.ConvBnRelu("b", a, 16)}));
  PruneOptions o = Small();
  o.excluded_layers = {"b"};
  const PrunePlan plan = ExpectSameAsZeroed(net.graph(), {"a"}, o);
  EXPECT_EQ(LayerOf(plan, "stem").whole, "excluded_layers");
  EXPECT_EQ(LayerOf(plan, "stem").kept.size(), 16U);
  o.excluded_layers = {"stm"};
  try {
    AnalyzePruning(net.graph(), o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("no layer 'stm'; did you mean 'stem'?"));
  }
}

TEST_F(Prune, QuantizedNetworksAreRefused) {
  PruneNet net;
  net.Head(net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3));
  try {
    AnalyzePruning(PrepareForQat(net.graph()), {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is quantized: prune the float network"));
  }
}

TEST_F(Prune, APlanFitsItsOwnNetworkOnly) {
  const PrunePlan plan = AnalyzePruning(WithNorms({1, 2, 3, 4}), Exact(0.6));
  try {
    ApplyPruning(WithNorms({1, 2, 3}), plan);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("does not fit the network 'net' (a.weight)"));
  }
}

TEST_F(Prune, APrunedNetworkIsQuantizedLikeAnyOther) {
  PruneNet net;
  const ValueId stem = net.ConvBnRelu("stem", net.Input("x", 3, 8), 16, 3);
  net.Head(net.Op("Add", "sum", {stem, net.ConvBnRelu("a", stem, 16)}));
  const Graph pruned = ApplyPruning(net.graph(), AnalyzePruning(net.graph(), Small()));
  const Graph qat = PrepareForQat(pruned);
  ir::Verify(qat);
  ir::Verify(PrepareForEngine(qat));
  EXPECT_EQ(MeasureNetwork(qat).parameters, MeasureNetwork(pruned).parameters);
  EXPECT_EQ(MeasureNetwork(qat).macs, MeasureNetwork(pruned).macs);
}

TEST_F(Prune, MeasuresParametersAndMacs) {
  PruneNet net;
  const ValueId a = net.ConvBnRelu("a", net.Input("x", 3, 8), 16, 3);
  net.Head(net.ConvBnRelu("depthwise", a, 16, 3, 16));
  const NetworkSize size = MeasureNetwork(net.graph());
  // conv 16*3*9 + 16, batch norm 2*16; depthwise 16*9 + 16, batch norm 2*16; dense 16*5 + 5
  EXPECT_EQ(size.parameters, 448 + 32 + 160 + 32 + 85);
  EXPECT_EQ(size.statistics, 64);
  EXPECT_EQ(size.macs, 64 * 432 + 64 * 144 + 80);
}

}  // namespace
}  // namespace octet::passes
