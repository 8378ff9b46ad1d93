// Fake quantization, observers, and the lowered INT8 operators against their scalar oracle.
#include "quant/quantize.h"

#include <gtest/gtest.h>

#include "train/graph_module.h"
#include "train/test_graphs.h"

namespace octet::train {
namespace {

const char kActivation[] = R"(graph "g" {
  input %x: f32[1,1,2,4]
  const %x.scale: f32[] = [0.5]
  const %x.zero_point: s8[] = [0]
  %x.q: s8[1,1,2,4] = QuantizeLinear(%x, %x.scale, %x.zero_point) {observer="OBSERVER"} "q"
  %y: f32[1,1,2,4] = DequantizeLinear(%x.q, %x.scale, %x.zero_point) "dq"
  output %y
})";

ir::Graph ActivationGraph(const std::string& observer) {
  std::string text = kActivation;
  text.replace(text.find("OBSERVER"), 8, observer);
  return MakeGraph(text);
}

float ScaleIn(const GraphModule& module, const char* name) {
  const ir::Graph graph = module.WriteBack();
  return graph.value(graph.Find(name)).constant.ToVector<float>()[0];
}

TEST(FakeQuantize, RoundsHalfToEvenAndPassesGradientInsideTheRange) {
  GraphModule module(ActivationGraph(""));
  const Tensor x = Tensor::From<float>({1, 1, 2, 4}, {0.25f, 0.75f, -0.25f, 63.5f, 63.8f, -64.0f, -64.25f, -64.3f});
  Tensor y;
  const auto grads = module.Gradients({{"x", x}}, "y", RandomTensor({1, 1, 2, 4}, 1, 2.0f, 2.0f), &y);
  EXPECT_EQ(y, Tensor::From<float>({1, 1, 2, 4}, {0, 1.0f, 0, 63.5f, 63.5f, -64.0f, -64.0f, -64.0f}));
  // 63.8 / 0.5 = 127.6 rounds to 128: outside. -64.25 / 0.5 = -128.5 rounds to -128: inside. -64.3: outside.
  EXPECT_EQ(grads.at("x"), Tensor::From<float>({1, 1, 2, 4}, {2, 2, 2, 2, 0, 2, 2, 0}));
}

TEST(FakeQuantize, PairAndSingleNodesAgree) {
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[2,5,9,7]
  const %x.scale: f32[] = [0.007]
  const %x.zero_point: s8[] = [0]
  %x.q: s8[2,5,9,7] = QuantizeLinear(%x, %x.scale, %x.zero_point) "q"
  %y: f32[2,5,9,7] = DequantizeLinear(%x.q, %x.scale, %x.zero_point) "dq"
  output %y
})");
  const Tensor x = RandomTensor({2, 5, 9, 7}, 4, -1.2f, 1.2f);
  for (const std::string& device : TestDevices()) {
    GraphModule module(graph, device);
    const std::vector<Tensor> separate = module.Evaluate({{"x", x}}, {"x.q", "y"});
    EXPECT_EQ(separate[0].dtype(), DType::kS8);
    EXPECT_EQ(module.Evaluate({{"x", x}})[0], separate[1]) << device;
    EXPECT_EQ(ir::RunReference(graph, {{"x", x}})[0], separate[1]) << device;
    for (int64_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(separate[0].data<int8_t>()[i], quant::QuantizeToS8(x.data<float>()[i], 0.007f)) << device;
    }
  }
}

TEST(Observer, MovingAverageIsCorrectedForItsStartAndCanBeFrozen) {
  GraphModule module(ActivationGraph("moving_average"));
  const auto feed = [&](float amax) {
    Tensor x(DType::kF32, {1, 1, 2, 4});
    x.mutable_data<float>()[3] = -amax;
    module.Gradients({{"x", x}}, "y", x);
  };
  feed(1.0f);  // evaluation mode: nothing moves
  EXPECT_EQ(ScaleIn(module, "x.scale"), 0.5f);
  module.SetTraining(true);
  feed(2.0f);
  EXPECT_FLOAT_EQ(ScaleIn(module, "x.scale"), 2.0f / 127);
  feed(4.0f);
  const double m = 0.999 * (0.001 * 2) + 0.001 * 4;
  EXPECT_FLOAT_EQ(ScaleIn(module, "x.scale"), static_cast<float>(m / (1 - 0.999 * 0.999) / 127));
  const auto state = module.State();
  EXPECT_NEAR(state.at("observer/x.scale/mean").ToVector<double>()[0], m, 1e-15);
  EXPECT_EQ(state.at("observer/x.scale/count").ToVector<int64_t>()[0], 2);

  GraphModule copy(module.WriteBack());
  copy.LoadState(state);
  EXPECT_EQ(copy.State(), state);
  module.FreezeObservers(true);
  feed(100.0f);
  EXPECT_EQ(module.State(), state);
}

TEST(Observer, StateOfAnotherNetworkIsAnError) {
  GraphModule module(ActivationGraph("moving_average"));
  EXPECT_THROW(module.LoadState({{"observer/other.scale/mean", Tensor::Scalar<double>(1)}}), Error);
}

TEST(Observer, WeightScalesFollowTheWeights) {
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[1,3,6,6]
  const %c.weight: f32[4,3,3,3] = blob
  const %c.weight.scale: f32[4] = [1,1,1,1]
  const %c.weight.zero_point: s8[4] = [0,0,0,0]
  %c.weight.q: s8[4,3,3,3] = QuantizeLinear(%c.weight, %c.weight.scale, %c.weight.zero_point) {axis=0, observer="max_abs"} "q"
  %c.weight.dq: f32[4,3,3,3] = DequantizeLinear(%c.weight.q, %c.weight.scale, %c.weight.zero_point) {axis=0} "dq"
  %y: f32[1,4,4,4] = Conv(%x, %c.weight.dq) "c"
  output %y
})");
  GraphModule module(graph);
  ASSERT_EQ(module.parameters().size(), 1u);
  EXPECT_EQ(module.parameters()[0].name, "c.weight");
  EXPECT_EQ(module.parameters()[0].scope, "conv2d");
  const Tensor x = RandomTensor({1, 3, 6, 6}, 9);
  const ir::Graph written = module.WriteBack();
  const Tensor& weight = graph.value(graph.Find("c.weight")).constant;
  const Tensor& scale = written.value(written.Find("c.weight.scale")).constant;
  const std::vector<float> amax = quant::AmaxPerChannel(weight, 0);
  for (int k = 0; k < 4; ++k) EXPECT_EQ(scale.data<float>()[k], quant::ScaleOfAmax(amax[k]));
  EXPECT_LE(LargestDifference(module.Evaluate({{"x", x}})[0], ir::RunReference(written, {{"x", x}})[0]), 1e-5);
  // Straight through: the gradient is that of the convolution without quantization.
  const auto grads = module.Gradients({{"x", x}}, "y", RandomTensor({1, 4, 4, 4}, 2));
  const ir::Graph plain = MakeGraph(R"(graph "g" {
  input %x: f32[1,3,6,6]
  const %c.weight: f32[4,3,3,3] = blob
  %y: f32[1,4,4,4] = Conv(%x, %c.weight) "c"
  output %y
})");
  GraphModule unquantized(plain);
  EXPECT_LE(LargestDifference(grads.at("c.weight"),
                              unquantized.Gradients({{"x", x}}, "y", RandomTensor({1, 4, 4, 4}, 2)).at("c.weight")),
            1e-5);
}

// Batch norm, residual, activation and quantization as one step, against the same nodes one by one: an Identity
// between them keeps the executor from joining them.
TEST(FusedNormalization, EqualsItsPartsForwardAndBackward) {
  const std::string head = R"(graph "g" {
  input %x: f32[4,20,7,6]
  input %r: f32[4,20,7,6]
  const %bn.scale: f32[20] = blob
  const %bn.bias: f32[20] = blob
  const %bn.mean: f32[20] = blob
  const %bn.var: f32[20] = blob
  const %lo: f32[] = [0]
  const %hi: f32[] = [1.5]
  const %s: f32[] = [0.01]
  const %z: s8[] = [0]
  %bn: f32[4,20,7,6] = BatchNormalization(%x, %bn.scale, %bn.bias, %bn.mean, %bn.var) "bn"
)";
  const char* const kBodies[] = {
      "%c: f32[4,20,7,6] = Relu(%bn) \"c\"\n%y: f32[4,20,7,6] = Mul(%c, %r) \"y\"\n",
      "%a: f32[4,20,7,6] = Add(%bn, %r) \"a\"\n%y: f32[4,20,7,6] = Clip(%a, %lo, %hi) \"y\"\n",
      "%a: f32[4,20,7,6] = Add(%r, %bn) \"a\"\n%y: f32[4,20,7,6] = Mul(%a, %a) \"y\"\n",
      "%c: f32[4,20,7,6] = Clip(%bn, %lo, %hi) \"c\"\n"
      "%q: s8[4,20,7,6] = QuantizeLinear(%c, %s, %z) {observer=\"moving_average\"} \"q\"\n"
      "%d: f32[4,20,7,6] = DequantizeLinear(%q, %s, %z) \"d\"\n%y: f32[4,20,7,6] = Mul(%d, %r) \"y\"\n",
      "%a: f32[4,20,7,6] = Add(%bn, %r) \"a\"\n%c: f32[4,20,7,6] = Relu(%a) \"c\"\n"
      "%q: s8[4,20,7,6] = QuantizeLinear(%c, %s, %z) {observer=\"moving_average\"} \"q\"\n"
      "%y: f32[4,20,7,6] = DequantizeLinear(%q, %s, %z) \"y\"\n",
      "%q: s8[4,20,7,6] = QuantizeLinear(%bn, %s, %z) \"q\"\n"
      "%y: f32[4,20,7,6] = DequantizeLinear(%q, %s, %z) \"y\"\n"};
  for (const std::string body : kBodies) {
    std::string apart = body;
    for (size_t at = 0; (at = apart.find("%bn", at)) != std::string::npos; at += 3) apart.replace(at, 3, "%i_");
    apart = "%i_: f32[4,20,7,6] = Identity(%bn) \"i\"\n" + apart;
    const ir::Graph joined_graph = MakeGraph(head + body + "output %y\n}");
    GraphModule joined(joined_graph), parts(MakeGraph(head + apart + "output %y\n}"));
    const std::map<std::string, Tensor> feeds = {{"x", RandomTensor({4, 20, 7, 6}, 3, -2.0f, 3.0f)},
                                                 {"r", RandomTensor({4, 20, 7, 6}, 4)}};
    const Tensor seed = RandomTensor({4, 20, 7, 6}, 5);
    for (const bool training : {true, false}) {
      joined.SetTraining(training);
      parts.SetTraining(training);
      Tensor y, expected;
      const auto grads = joined.Gradients(feeds, "y", seed, &y);
      const auto wanted = parts.Gradients(feeds, "y", seed, &expected);
      // One code of difference where rounding falls the other way.
      EXPECT_LE(LargestDifference(y, expected), body.find("Quantize") == std::string::npos ? 1e-5 : 0.031) << body;
      for (const auto& [name, grad] : wanted) {
        const double tolerance = name == "x" || name == "r" ? 2e-4 : 4e-3;
        EXPECT_LE(LargestDifference(grads.at(name), grad), tolerance) << name << " of " << body << training;
      }
    }
    for (const char* name : {"bn.mean", "bn.var", "s"}) {
      const ir::Graph a = joined.WriteBack(), b = parts.WriteBack();
      if (a.Find(name) == ir::kNoValue) continue;
      EXPECT_LE(LargestDifference(a.value(a.Find(name)).constant, b.value(b.Find(name)).constant), 1e-5) << name;
    }
  }
}

struct Lowered {
  const char* name;
  const char* body;
};
void PrintTo(const Lowered& c, std::ostream* out) {
  *out << c.name;
}

class LoweredOps : public testing::TestWithParam<Lowered> {};

// Bit for bit: no tolerance.
TEST_P(LoweredOps, EqualTheOracle) {
  if (ops::InstallOps(); ir::FindOp("QConv") == nullptr) GTEST_SKIP() << "no lowered operators yet";
  const ir::Graph graph =
      MakeGraph(std::string("graph \"g\" {\n input %x: s8[2,8,7,5]\n ") + GetParam().body + "\n output %y\n}");
  const Tensor x = RandomCodes({2, 8, 7, 5}, 21);
  for (const std::string& device : TestDevices()) {
    GraphModule module(graph, device);
    EXPECT_EQ(module.Evaluate({{"x", x}})[0], ir::RunReference(graph, {{"x", x}})[0]) << device;
  }
}

const Lowered kLowered[] = {
    {"quantize",
     "%f: f32[2,8,7,5] = QDequantize(%x) {scale=0.37}  \"d\"\n %y: s8[2,8,7,5] = QQuantize(%f) {scale=0.4} \"q\""},
    {"conv_float",
     "const %w: s8[8,8,3,3] = blob\n const %m: f32[8] = [0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8]\n"
     "const %b: f32[8] = [1,-2,3,4,5,6,7,8]\n"
     "%y: f32[2,8,7,5] = QConv(%x, %w, %m, %b, _) {pads=[1,1,1,1]} \"c\""},
    {"conv_residual",
     "const %w: s8[8,8,3,3] = blob\n const %m: f32[8] = [0.001,0.002,0.003,0.0004,0.005,0.0006,0.0007,0.0008]\n"
     "%y: s8[2,8,7,5] = QConv(%x, %w, %m, _, %x) {act=\"clip\", act_max=6.0, act_min=0.0, pads=[1,1,1,1], "
     "residual_scale=0.013, y_scale=0.0471} \"c\""},
    {"conv_strided",
     "const %w: s8[4,8,3,3] = blob\n const %m: f32[4] = [0.001,0.002,0.003,0.0004]\n"
     "%y: s8[2,4,4,3] = QConv(%x, %w, %m, _, _) {pads=[1,1,1,1], strides=[2,2], y_scale=0.3} \"c\""},
    {"depthwise",
     "const %w: s8[8,1,3,3] = blob\n const %m: f32[8] = [0.01,0.02,0.03,0.04,0.05,0.06,0.07,0.08]\n"
     "%y: s8[2,8,7,5] = QConv(%x, %w, %m, _, _) {group=8, pads=[1,1,1,1], y_scale=1.3} \"c\""},
    {"add",
     "%y: s8[2,8,7,5] = QAdd(%x, %x) {a_scale=0.03, act=\"clip\", act_max=6.0, act_min=0.0, b_scale=0.011, "
     "y_scale=0.0471} \"a\""},
    {"swish",
     "const %w: s8[8,1,3,3] = blob\n const %m: f32[8] = [0.01,0.02,0.03,0.04,0.05,0.06,0.07,0.08]\n"
     "%y: s8[2,8,7,5] = QConv(%x, %w, %m, _, _) {act=\"swish\", group=8, pads=[1,1,1,1], y_scale=0.3} \"c\""},
    {"leaky_relu_float",
     "const %w: s8[4,8,3,3] = blob\n const %m: f32[4] = [0.001,0.002,0.003,0.0004]\n"
     "%y: f32[2,4,4,3] = QConv(%x, %w, %m, _, _) {act=\"leaky_relu\", act_alpha=0.1, pads=[1,1,1,1], strides=[2,2]} "
     "\"c\""},
    {"gate",
     "%p: s8[2,8,1,1] = QGlobalAveragePool(%x) {x_scale=0.03, y_scale=0.002} \"p\"\n"
     "%y: s8[2,8,7,5] = QMul(%x, %p) {a_scale=0.03, b_scale=0.007, y_scale=0.011} \"m\""},
    {"sum",
     "%y: s8[2,8,7,5] = QSum(%x, %x, %x) {act=\"hard_swish\", scales=f[0.03,0.011,0.0007], y_scale=0.0471} \"a\""},
    {"max_pool", "%y: s8[2,8,4,3] = QMaxPool(%x) {kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]} \"p\""},
    {"average_pool",
     "%y: s8[2,8,4,3] = QAveragePool(%x) {kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2], "
     "x_scale=0.03, y_scale=0.02} \"p\""},
    {"global_pool", "%y: f32[2,8,1,1] = QGlobalAveragePool(%x) {x_scale=0.03} \"p\""},
};

INSTANTIATE_TEST_SUITE_P(Ops, LoweredOps, testing::ValuesIn(kLowered),
                         [](const testing::TestParamInfo<Lowered>& info) { return std::string(info.param.name); });

// 1200 input channels of codes near +-127: sums pass 2^24, where one float sum would lose bits.
TEST(LoweredConv, IsExactBeyondFloatPrecision) {
  if (ops::InstallOps(); ir::FindOp("QConv") == nullptr) GTEST_SKIP() << "no lowered operators yet";
  ir::Graph graph("g");
  const ir::ValueId x = graph.AddInput("x", {DType::kS8, {1, 1200, 2, 2}});
  Tensor w(DType::kS8, {2, 1200, 1, 1});
  for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<int8_t>()[i] = static_cast<int8_t>(i % 3 == 0 ? 126 : 127);
  const ir::ValueId weight = graph.AddConstant("w", w);
  const ir::ValueId m = graph.AddConstant("m", Tensor::From<float>({2}, {1.0f, 1.0f}));
  const ir::NodeId node = graph.AddNode("QConv", "c", {x, weight, m}, {"y"});
  graph.MarkOutput(graph.node(node).output());
  ir::InferTypes(graph);
  Tensor codes(DType::kS8, {1, 1200, 2, 2});
  for (int64_t i = 0; i < codes.size(); ++i) codes.mutable_data<int8_t>()[i] = static_cast<int8_t>(127 - i % 2);
  for (const std::string& device : TestDevices()) {
    GraphModule module(graph, device);
    EXPECT_EQ(module.Evaluate({{"x", codes}})[0], ir::RunReference(graph, {{"x", codes}})[0]) << device;
  }
}

}  // namespace
}  // namespace octet::train
