// Passes as text-to-text goldens (testdata/, rewritten with OCTET_UPDATE_GOLDENS=1), and their arithmetic on the
// reference kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "base/files.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"
#include "passes/convert_to_relu6.h"
#include "passes/equalize_layers.h"
#include "passes/extract_subgraph.h"
#include "passes/fold_batch_norm.h"
#include "passes/fusion_regions.h"
#include "passes/lower_for_engine.h"
#include "passes/pipelines.h"
#include "passes/qdq_variants.h"
#include "passes/remove_identities.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"

namespace octet::passes {
namespace {

using ir::Graph;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kTestdata = std::string(OCTET_SOURCE_DIR) + "/src/passes/testdata/";

Tensor Random(const Shape& shape, uint32_t seed, float stddev = 1.0f) {
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
  ir::Verify(g);
  return g;
}

void ExpectGolden(const Graph& g, const std::string& name) {
  const std::string path = kTestdata + name + ".txt";
  const std::string text = ir::Print(g);
  if (std::getenv("OCTET_UPDATE_GOLDENS") != nullptr) WriteFileAtomic(path, text);
  EXPECT_EQ(text, ReadFile(path)) << "set OCTET_UPDATE_GOLDENS=1 to rewrite " << path;
}

std::map<std::string, Tensor> Feed(uint32_t seed = 99) {
  return {{"input_1", Random({2, 3, 8, 8}, seed)}};
}

Tensor RunOne(const Graph& g, const std::string& value) {
  return ir::RunReference(g, Feed(), {g.Find(value)})[0];
}

void ExpectNear(const Tensor& a, const Tensor& b, float tolerance) {
  ASSERT_EQ(a.shape(), b.shape());
  for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], tolerance) << i;
}

TEST(FusionRegions, OfTheSmallNet) {
  const Graph g = Small();
  std::vector<std::string> regions;
  for (const FusionRegion& r : FindFusionRegions(g).regions) {
    std::string text;
    for (const ir::NodeId id : r.nodes) text += (text.empty() ? "" : " ") + g.node(id).name;
    regions.push_back(text + " -> " + g.value(r.output).name);
  }
  EXPECT_THAT(regions, ElementsAre("stem stem_bn stem_relu -> stem_relu", "right -> right",
                                   "left left_bn sum sum_relu -> sum_relu", "gate gate_sigmoid -> gate_sigmoid",
                                   "swish swish_sigmoid swish_mul -> swish_mul", "dense output_relu -> tanh"));
  const std::set<ir::NodeId> outputs = FindOutputLayers(g);
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_EQ(g.node(*outputs.begin()).name, "dense");
}

TEST(ConvertToRelu6, Golden) {
  const Graph g = ConvertToRelu6(Small());
  ir::Verify(g);
  ExpectGolden(g, "small.relu6");
}

TEST(ConvertToRelu6, CountsTheFunctionsThatChange) {
  EXPECT_EQ(CountNewFunctions(Small()), 2);  // sum_relu, which is leaky, and swish_mul; gate_sigmoid stays
  EXPECT_EQ(CountNewFunctions(ConvertToRelu6(Small())), 0);
}

TEST(ConvertToRelu6, KeepsGatesAndOutputs) {
  const Graph g = ConvertToRelu6(Small());
  EXPECT_EQ(g.producer(g.Find("gate_sigmoid"))->op, "Sigmoid");
  EXPECT_EQ(g.producer(g.Find("tanh"))->op, "Relu");
  EXPECT_EQ(g.producer(g.Find("swish_mul"))->op, "Clip");
  EXPECT_EQ(g.Find("swish_sigmoid"), ir::kNoValue);
}

TEST(InsertQdq, Golden) {
  Graph g = PrepareForQat(Small());
  ir::Verify(g);
  ExpectGolden(g, "small.qat");
  const QuantizerCounts counts = CountQuantizers(g);
  EXPECT_EQ(counts.weights, 5);
  // input_1, stem_relu, right, sum_relu, gate_sigmoid, gated (a product that a quantized layer reads), swish_mul
  EXPECT_EQ(counts.activations, 7);
}

TEST(InsertQdq, TwiceIsRefused) {
  try {
    PrepareForQat(PrepareForQat(Small()));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is quantized already"));
  }
}

TEST(InsertQdq, ImplicitLeavesUnlistedLayersInFloat) {
  InsertQdqOptions options;
  options.implicit = true;
  options.scales = {{"input_1", 0.03f}, {"stem_relu", 0.04f}, {"right", 0.02f}};
  const Graph g = InsertQdq(Small(), options);
  ir::Verify(g);
  const QuantizerCounts counts = CountQuantizers(g);
  EXPECT_EQ(counts.weights, 2);  // stem, right: the others lack an entry at their output
  EXPECT_EQ(counts.activations, 3);
  EXPECT_EQ(g.value(g.Find("right.scale")).constant.data<float>()[0], 0.02f);
}

TEST(FoldBatchNorm, FloatResultIsKept) {
  const Graph before = Small();
  const Graph after = FoldBatchNorm(before);
  ir::Verify(after);
  ExpectGolden(after, "small.folded");
  EXPECT_EQ(ir::Print(after).find("BatchNormalization"), std::string::npos);
  ExpectNear(RunOne(before, "tanh"), RunOne(after, "tanh"), 1e-5f);
  ExpectNear(RunOne(before, "stem_bn"), RunOne(after, "stem_bn"), 1e-5f);
}

TEST(FoldBatchNorm, CodesStayUpToSign) {
  const Graph qat = PrepareForQat(Small());
  const Graph folded = FoldBatchNorm(qat);
  const Tensor before = RunOne(UpdateWeightScales(qat), "stem.weight.q");
  const Tensor after = RunOne(folded, "stem.weight.q");
  for (int64_t k = 0; k < 4; ++k) {
    const int sign = k == 1 ? -1 : 1;  // gamma of channel 1 is negative
    for (int64_t i = 0; i < 27; ++i) {
      ASSERT_EQ(before.data<int8_t>()[k * 27 + i] * sign, after.data<int8_t>()[k * 27 + i]);
    }
  }
}

TEST(FoldBatchNorm, DeadChannelGetsAPositiveScale) {
  Graph g = Small();
  g.set_constant(g.Find("stem_bn.scale"), Tensor::From<float>({4}, {1, 0, 1, 1}));
  const Graph folded = FoldBatchNorm(PrepareForQat(g));
  const std::vector<float> scales = folded.value(folded.Find("stem.weight.scale")).constant.ToVector<float>();
  EXPECT_EQ(scales[1], 1.0f / 127);
  const Tensor codes = RunOne(folded, "stem.weight.q");
  for (int64_t i = 27; i < 54; ++i) ASSERT_EQ(codes.data<int8_t>()[i], 0);
}

// TensorRT's implicit rule on the exported weights: per-channel max |w| / 127, ties up.
TEST(StripQdq, TensorRtFindsTheCodesOfTraining) {
  const Graph folded = FoldBatchNorm(PrepareForQat(Small()));
  const Graph plain = StripQdq(folded);
  ir::Verify(plain);
  for (const char* layer : {"stem", "left", "right", "gate", "swish"}) {
    const std::string name = std::string(layer) + ".weight";
    const Tensor trained = RunOne(folded, name + ".q");
    const Tensor& w = plain.value(plain.Find(name)).constant;
    std::vector<float> scales = quant::AmaxPerChannel(w, 0);
    for (float& s : scales) s /= 127.0f;
    EXPECT_EQ(quant::QuantizeWeight(w, scales, 0, quant::WeightRounding::kTiesUp), trained) << layer;
  }
}

TEST(StripQdq, ScalesCoverCommutingOperators) {
  std::vector<std::string> names;
  for (const auto& [name, scale] : CollectScales(FoldBatchNorm(PrepareForQat(Small())))) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("input_1", "stem_relu", "pool", "right", "sum_relu", "gate_sigmoid", "gated", "swish_mul"));
}

TEST(LowerForEngine, Golden) {
  const Graph g = PrepareForEngine(PrepareForQat(Small()));
  ir::Verify(g);
  ExpectGolden(g, "small.lowered");
}

// The lowered graph and the Q/DQ graph: same codes, or one apart where float rounding decides a near-tie.
TEST(LowerForEngine, CodesEqualTheFakeQuantizedGraph) {
  const Graph folded = PrepareForExport(PrepareForQat(Small()));
  const Graph lowered = LowerForEngine(folded);
  int different = 0;
  int total = 0;
  for (const char* name : {"input_1.q", "stem_relu.q", "pool.q", "right.q", "sum_relu.q", "swish_mul.q"}) {
    const Tensor b = RunOne(lowered, name);
    const Tensor a = std::string(name) == "pool.q" ? b : RunOne(folded, name);
    ASSERT_EQ(a.shape(), b.shape()) << name;
    for (int64_t i = 0; i < a.size(); ++i) {
      const int d = std::abs(a.data<int8_t>()[i] - b.data<int8_t>()[i]);
      ASSERT_LE(d, 1) << name;
      different += d;
    }
    total += static_cast<int>(a.size());
  }
  EXPECT_LE(different, 1) << "of " << total;
  ExpectNear(RunOne(folded, "tanh"), RunOne(lowered, "tanh"), 1e-4f);
}

// torch.onnx writes dilations=[1,1] on every pool.
TEST(LowerForEngine, PoolWithUnitDilationsStaysInCodes) {
  Graph g = Small();
  g.mutable_node(g.value(g.Find("pool")).producer).attrs["dilations"] = std::vector<int64_t>{1, 1};
  const Graph lowered = PrepareForEngine(PrepareForQat(g));
  EXPECT_EQ(lowered.producer(lowered.Find("pool.q"))->op, "QMaxPool");
}

// GoogLeNet's and SqueezeNet's pools, and TensorFlow's.
TEST(LowerForEngine, PoolsOfCeilModeAndAutoPadStayInCodes) {
  for (const char* op : {"MaxPool", "AveragePool"}) {
    for (const char* form : {"ceil", "SAME_UPPER", "SAME_LOWER"}) {
      SCOPED_TRACE(std::string(op) + " " + form);
      Graph g = Small();
      ir::Node& pool = g.mutable_node(g.value(g.Find("pool")).producer);
      pool.op = op;
      pool.attrs = {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"strides", std::vector<int64_t>{2, 2}}};
      if (std::string(form) == "ceil") {
        pool.attrs["ceil_mode"] = int64_t{1};
      } else {
        pool.attrs["auto_pad"] = std::string(form);
      }
      ir::InferTypes(g);
      const Graph folded = PrepareForExport(PrepareForQat(g));
      const Graph lowered = LowerForEngine(folded);
      const std::string quantized = std::string("Q") + op;
      const ir::Node* made = nullptr;
      for (const ir::NodeId id : lowered.Order()) {
        if (lowered.node(id).op == quantized) made = &lowered.node(id);
      }
      ASSERT_NE(made, nullptr);
      // Both read the same codes, so what follows differs by ties of the average alone.
      ExpectNear(RunOne(folded, "tanh"), RunOne(lowered, "tanh"), 2e-2f);
      if (pool.op == "MaxPool") {
        const float scale =
            folded.value(folded.producer(folded.Find("stem_relu.q"))->input(1)).constant.ToVector<float>()[0];
        const Tensor codes = RunOne(lowered, "pool.q"), wanted = RunOne(folded, "pool");
        ASSERT_EQ(codes.size(), wanted.size());
        int different = 0;
        for (int64_t i = 0; i < codes.size(); ++i) {
          different += std::abs(static_cast<float>(codes.data<int8_t>()[i]) * scale - wanted.data<float>()[i]) > 1e-5f;
        }
        EXPECT_LE(different, 1);
      }
    }
  }
}

TEST(LowerForEngine, FloatGraphStaysFloat) {
  const Graph g = PrepareForEngine(Small());
  EXPECT_EQ(ir::Print(g).find("QConv"), std::string::npos);
  ExpectNear(RunOne(g, "tanh"), RunOne(Small(), "tanh"), 1e-5f);
}

TEST(ExtractSubgraph, RunsByItself) {
  const Graph g = Small();
  const FusionRegions found = FindFusionRegions(g);
  for (const FusionRegion& r : found.regions) {
    const Graph part = ExtractSubgraph(g, r.nodes, {r.output});
    ir::Verify(part);
    std::map<std::string, Tensor> feeds;
    for (const ir::ValueId in : part.inputs()) feeds[part.value(in).name] = RunOne(g, part.value(in).name);
    EXPECT_EQ(ir::RunReference(part, feeds)[0], RunOne(g, g.value(r.output).name)) << g.value(r.output).name;
  }
}

// Both dialects compute what octet's form does, and the way back is octet's form again.
TEST(QdqVariants, SameIntegers) {
  const Graph g = PrepareForExport(PrepareForQat(Small()));
  const Tensor expected = RunOne(g, "tanh");
  const Graph stored = StoreWeightCodes(g);
  ir::Verify(stored);
  EXPECT_EQ(stored.Find("stem.weight.q"), ir::kNoValue);
  EXPECT_EQ(CountQuantizers(stored).weights, 0);
  EXPECT_EQ(RunOne(stored, "tanh"), expected);
  const Graph foreign = UseUnsignedActivations(stored);
  ir::Verify(foreign);
  EXPECT_EQ(foreign.value(foreign.Find("stem_relu.q")).type.dtype, DType::kU8);
  EXPECT_EQ(RunOne(foreign, "tanh"), expected);
  const std::vector<int32_t> u = RunOne(foreign, "stem_relu.q").ToVector<int32_t>();
  const std::vector<int32_t> s = RunOne(g, "stem_relu.q").ToVector<int32_t>();
  for (size_t i = 0; i < u.size(); ++i) ASSERT_EQ(u[i], s[i] + 128);
  const Graph back = UseSignedCodes(foreign);
  ir::Verify(back);
  EXPECT_EQ(back.value(back.Find("stem_relu.q")).type.dtype, DType::kS8);
  EXPECT_EQ(RunOne(PrepareForEngine(foreign), "tanh"), RunOne(PrepareForEngine(g), "tanh"));
}

// first -> relu -> depthwise -> dense: the same function, and channels of very different size come nearer.
TEST(EqualizeLayers, KeepsTheFunction) {
  ops::InstallOps();
  Graph g = ir::Parse(R"(graph "g" {
  input %x: f32[N,3,6,6]
  const %a.weight: f32[4,3,1,1] = blob
  const %a.bias: f32[4] = [0.1,-20.0,0.3,0.0]
  const %b.weight: f32[4,1,3,3] = blob
  const %b.bias: f32[4] = [0.5,0.1,0.0,0.2]
  const %c.weight: f32[5,4,1,1] = blob
  %a: f32[N,4,6,6] = Conv(%x, %a.weight, %a.bias) {kernel_shape=[1,1]} "a"
  %r: f32[N,4,6,6] = Relu(%a) "r"
  %b: f32[N,4,6,6] = Conv(%r, %b.weight, %b.bias) {group=4, kernel_shape=[3,3], pads=[1,1,1,1]} "b"
  %l: f32[N,4,6,6] = LeakyRelu(%b) {alpha=0.1} "l"
  %c: f32[N,5,6,6] = Conv(%l, %c.weight) {kernel_shape=[1,1]} "c"
  output %c
})",
                      {}, /*zero_blobs=*/true, "g");
  uint32_t seed = 20;
  for (const char* name : {"a.weight", "b.weight", "c.weight"}) {
    Tensor w = Random(g.value(g.Find(name)).type.shape, ++seed);
    const int64_t slice = w.size() / w.dim(0);
    for (int64_t i = 0; i < w.size(); ++i)
      w.mutable_data<float>()[i] *= std::pow(4.0f, static_cast<float>(i / slice % 4) - 1);
    g.set_constant(g.Find(name), w);
  }
  EXPECT_EQ(FindEqualizablePairs(g).size(), 2u);
  const std::map<std::string, Tensor> feed = {{"x", Random({2, 3, 6, 6}, 5)}};
  const auto ranges = [&](const Graph& graph, const char* name) {
    const Tensor t = ir::RunReference(graph, feed, {graph.Find(name)})[0];
    std::vector<float> amax(4, 0.0f);
    for (int64_t i = 0; i < t.size(); ++i) amax[i / 36 % 4] = std::max(amax[i / 36 % 4], std::fabs(t.data<float>()[i]));
    return amax;
  };
  std::vector<std::string> changed;
  const Graph even = EqualizeLayers(g, {{"r", ranges(g, "r")}, {"l", ranges(g, "l")}}, &changed);
  EXPECT_THAT(changed, ElementsAre("r", "l"));
  const Tensor before = ir::RunReference(g, feed)[0], after = ir::RunReference(even, feed)[0];
  const float scale = quant::Amax(before);
  ExpectNear(before, after, 1e-5f * scale);
  const auto spread = [](const std::vector<float>& a) {
    float low = INFINITY, high = 0;
    for (const float v : a) {
      if (v > 0) low = std::min(low, v), high = std::max(high, v);
    }
    return high / low;
  };
  EXPECT_NEAR(spread(ranges(even, "r")), 1, 1e-3);  // a depthwise reader: all channels fill the range
  EXPECT_LT(spread(ranges(even, "l")), spread(ranges(g, "l")));
  // A tensor that somebody else reads, or that is an output, stays.
  Graph shared = g;
  shared.MarkOutput(shared.Find("r"));
  EXPECT_EQ(FindEqualizablePairs(shared).size(), 1u);
}

TEST(RemoveIdentities, KeepsNamesOfOutputs) {
  ops::InstallOps();
  Graph g = ir::Parse(R"(graph "g" {
  input %x: f32[N,2]
  %a: f32[N,2] = Relu(%x) "a"
  %b: f32[N,2] = Dropout(%a) "b"
  %c: f32[N,2] = Identity(%b) "c"
  output %c
})");
  g = RemoveIdentities(g);
  EXPECT_EQ(ir::Print(g), R"(graph "g" {
  input %x: f32[N,2]
  %c: f32[N,2] = Relu(%x) "a"
  output %c
}
)");
}

}  // namespace
}  // namespace octet::passes
