// Training in integers against its oracle, the executor that simulates rounding in FP32.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "passes/pipelines.h"
#include "train/integer_plan.h"
#include "train/kernels/product_s16.h"
#include "train/test_training.h"
#include "zoo/zoo.h"

namespace octet::train {
namespace {

// Convolutions with all that a block can hold: pool of codes, stride, residual of codes, depthwise, no activation.
constexpr char kBlocks[] = R"(graph "g" {
  input %x: f32[4,3,18,18]
  const %s: f32[] = [0.02]
  const %z: s8[] = [0]
  const %lo: f32[] = [0]
  const %hi: f32[] = [6]
  const %a.w: f32[16,3,3,3] = blob
  const %a.w.scale: f32[16] = blob
  const %a.w.zero: s8[16] = blob
  const %b.w: f32[16,16,3,3] = blob
  const %b.w.scale: f32[16] = blob
  const %b.w.zero: s8[16] = blob
  const %d.w: f32[16,1,3,3] = blob
  const %d.w.scale: f32[16] = blob
  const %d.w.zero: s8[16] = blob
  const %e.w: f32[20,16,1,1] = blob
  const %e.w.scale: f32[20] = blob
  const %e.w.zero: s8[20] = blob
  const %gamma: f32[16] = blob
  const %beta: f32[16] = blob
  const %mean: f32[16] = blob
  const %var: f32[16] = blob
  const %gamma2: f32[20] = blob
  const %beta2: f32[20] = blob
  const %mean2: f32[20] = blob
  const %var2: f32[20] = blob
  const %x.scale: f32[] = [0.01]
  const %a.scale: f32[] = [0.01]
  const %b.scale: f32[] = [0.01]
  const %d.scale: f32[] = [0.01]
  const %e.scale: f32[] = [0.01]
  %x.q: s8[4,3,18,18] = QuantizeLinear(%x, %x.scale, %z) {observer="moving_average"} "xq"
  %x.dq: f32[4,3,18,18] = DequantizeLinear(%x.q, %x.scale, %z) "xdq"
  %a.w.q: s8[16,3,3,3] = QuantizeLinear(%a.w, %a.w.scale, %a.w.zero) {axis=0, observer="max_abs"} "awq"
  %a.w.dq: f32[16,3,3,3] = DequantizeLinear(%a.w.q, %a.w.scale, %a.w.zero) {axis=0} "awdq"
  %a: f32[4,16,18,18] = Conv(%x.dq, %a.w.dq) {pads=[1,1,1,1]} "a"
  %a.bn: f32[4,16,18,18] = BatchNormalization(%a, %gamma, %beta, %mean, %var) "abn"
  %a.r: f32[4,16,18,18] = Clip(%a.bn, %lo, %hi) "ar"
  %a.q: s8[4,16,18,18] = QuantizeLinear(%a.r, %a.scale, %z) {observer="moving_average"} "aq"
  %a.dq: f32[4,16,18,18] = DequantizeLinear(%a.q, %a.scale, %z) "adq"
  %p: f32[4,16,9,9] = MaxPool(%a.dq) {kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]} "p"
  %b.w.q: s8[16,16,3,3] = QuantizeLinear(%b.w, %b.w.scale, %b.w.zero) {axis=0, observer="max_abs"} "bwq"
  %b.w.dq: f32[16,16,3,3] = DequantizeLinear(%b.w.q, %b.w.scale, %b.w.zero) {axis=0} "bwdq"
  %b: f32[4,16,9,9] = Conv(%p, %b.w.dq) {pads=[1,1,1,1]} "b"
  %b.bn: f32[4,16,9,9] = BatchNormalization(%b, %gamma, %beta, %mean, %var) "bbn"
  %b.sum: f32[4,16,9,9] = Add(%b.bn, %p) "bsum"
  %b.r: f32[4,16,9,9] = Clip(%b.sum, %lo, %hi) "br"
  %b.q: s8[4,16,9,9] = QuantizeLinear(%b.r, %b.scale, %z) {observer="moving_average"} "bq"
  %b.dq: f32[4,16,9,9] = DequantizeLinear(%b.q, %b.scale, %z) "bdq"
  %d.w.q: s8[16,1,3,3] = QuantizeLinear(%d.w, %d.w.scale, %d.w.zero) {axis=0, observer="max_abs"} "dwq"
  %d.w.dq: f32[16,1,3,3] = DequantizeLinear(%d.w.q, %d.w.scale, %d.w.zero) {axis=0} "dwdq"
  %d: f32[4,16,5,5] = Conv(%b.dq, %d.w.dq) {group=16, strides=[2,2], pads=[1,1,1,1]} "d"
  %d.bn: f32[4,16,5,5] = BatchNormalization(%d, %gamma, %beta, %mean, %var) "dbn"
  %d.q: s8[4,16,5,5] = QuantizeLinear(%d.bn, %d.scale, %z) {observer="moving_average"} "dq"
  %d.dq: f32[4,16,5,5] = DequantizeLinear(%d.q, %d.scale, %z) "ddq"
  %e.w.q: s8[20,16,1,1] = QuantizeLinear(%e.w, %e.w.scale, %e.w.zero) {axis=0, observer="max_abs"} "ewq"
  %e.w.dq: f32[20,16,1,1] = DequantizeLinear(%e.w.q, %e.w.scale, %e.w.zero) {axis=0} "ewdq"
  %e: f32[4,20,5,5] = Conv(%d.dq, %e.w.dq) "e"
  %e.bn: f32[4,20,5,5] = BatchNormalization(%e, %gamma2, %beta2, %mean2, %var2) "ebn"
  %e.r: f32[4,20,5,5] = Clip(%e.bn, %lo, %hi) "er"
  %e.q: s8[4,20,5,5] = QuantizeLinear(%e.r, %e.scale, %z) {observer="moving_average"} "eq"
  %e.dq: f32[4,20,5,5] = DequantizeLinear(%e.q, %e.scale, %z) "edq"
  output %e.dq
})";

// What a detector's pyramid and files with folded batch norms bring: a bias before the batch norm, blocks without a
// batch norm, with a residual, and one weight in two blocks.
constexpr char kOtherBlocks[] = R"(graph "g" {
  input %x: f32[4,16,10,10]
  const %z: s8[] = [0]
  const %lo: f32[] = [0]
  const %hi: f32[] = [6]
  const %a.w: f32[16,16,1,1] = blob
  const %a.w.scale: f32[16] = blob
  const %a.w.zero: s8[16] = blob
  const %a.bias: f32[16] = blob
  const %d.w: f32[16,1,3,3] = blob
  const %d.w.scale: f32[16] = blob
  const %d.w.zero: s8[16] = blob
  const %e.w: f32[16,16,3,3] = blob
  const %e.w.scale: f32[16] = blob
  const %e.w.zero: s8[16] = blob
  const %e.bias: f32[16] = blob
  const %gamma: f32[16] = blob
  const %beta: f32[16] = blob
  const %mean: f32[16] = blob
  const %var: f32[16] = blob
  const %x.scale: f32[] = [0.01]
  const %a.scale: f32[] = [0.01]
  const %d.scale: f32[] = [0.01]
  const %e.scale: f32[] = [0.01]
  const %f.scale: f32[] = [0.01]
  %x.q: s8[4,16,10,10] = QuantizeLinear(%x, %x.scale, %z) {observer="moving_average"} "xq"
  %x.dq: f32[4,16,10,10] = DequantizeLinear(%x.q, %x.scale, %z) "xdq"
  %a.w.q: s8[16,16,1,1] = QuantizeLinear(%a.w, %a.w.scale, %a.w.zero) {axis=0, observer="max_abs"} "awq"
  %a.w.dq: f32[16,16,1,1] = DequantizeLinear(%a.w.q, %a.w.scale, %a.w.zero) {axis=0} "awdq"
  %a: f32[4,16,10,10] = Conv(%x.dq, %a.w.dq, %a.bias) "a"
  %a.bn: f32[4,16,10,10] = BatchNormalization(%a, %gamma, %beta, %mean, %var) "abn"
  %a.r: f32[4,16,10,10] = Clip(%a.bn, %lo, %hi) "ar"
  %a.q: s8[4,16,10,10] = QuantizeLinear(%a.r, %a.scale, %z) {observer="moving_average"} "aq"
  %a.dq: f32[4,16,10,10] = DequantizeLinear(%a.q, %a.scale, %z) "adq"
  %d.w.q: s8[16,1,3,3] = QuantizeLinear(%d.w, %d.w.scale, %d.w.zero) {axis=0, observer="max_abs"} "dwq"
  %d.w.dq: f32[16,1,3,3] = DequantizeLinear(%d.w.q, %d.w.scale, %d.w.zero) {axis=0} "dwdq"
  %d: f32[4,16,10,10] = Conv(%a.dq, %d.w.dq) {group=16, pads=[1,1,1,1]} "d"
  %d.q: s8[4,16,10,10] = QuantizeLinear(%d, %d.scale, %z) {observer="moving_average"} "dq"
  %d.dq: f32[4,16,10,10] = DequantizeLinear(%d.q, %d.scale, %z) "ddq"
  %e.w.q: s8[16,16,3,3] = QuantizeLinear(%e.w, %e.w.scale, %e.w.zero) {axis=0, observer="max_abs"} "ewq"
  %e.w.dq: f32[16,16,3,3] = DequantizeLinear(%e.w.q, %e.w.scale, %e.w.zero) {axis=0} "ewdq"
  %e: f32[4,16,10,10] = Conv(%d.dq, %e.w.dq, %e.bias) {pads=[1,1,1,1]} "e"
  %e.sum: f32[4,16,10,10] = Add(%a.dq, %e) "esum"
  %e.r: f32[4,16,10,10] = Relu(%e.sum) "er"
  %e.q: s8[4,16,10,10] = QuantizeLinear(%e.r, %e.scale, %z) {observer="moving_average"} "eq"
  %e.dq: f32[4,16,10,10] = DequantizeLinear(%e.q, %e.scale, %z) "edq"
  %f: f32[4,16,10,10] = Conv(%e.dq, %e.w.dq, %e.bias) {pads=[1,1,1,1]} "f"
  %f.q: s8[4,16,10,10] = QuantizeLinear(%f, %f.scale, %z) {observer="moving_average"} "fq"
  %f.dq: f32[4,16,10,10] = DequantizeLinear(%f.q, %f.scale, %z) "fdq"
  output %f.dq
})";

// Squeeze and excitation.
constexpr char kGate[] = R"(graph "g" {
  input %x: f32[4,16,10,10]
  const %z: s8[] = [0]
  const %lo: f32[] = [0]
  const %hi: f32[] = [6]
  const %a.w: f32[20,16,3,3] = blob
  const %a.w.scale: f32[20] = blob
  const %a.w.zero: s8[20] = blob
  const %r.w: f32[20,20,1,1] = blob
  const %gamma: f32[20] = blob
  const %beta: f32[20] = blob
  const %mean: f32[20] = blob
  const %var: f32[20] = blob
  const %x.scale: f32[] = [0.01]
  const %a.scale: f32[] = [0.01]
  const %s.scale: f32[] = [0.01]
  const %y.scale: f32[] = [0.01]
  %x.q: s8[4,16,10,10] = QuantizeLinear(%x, %x.scale, %z) {observer="moving_average"} "xq"
  %x.dq: f32[4,16,10,10] = DequantizeLinear(%x.q, %x.scale, %z) "xdq"
  %a.w.q: s8[20,16,3,3] = QuantizeLinear(%a.w, %a.w.scale, %a.w.zero) {axis=0, observer="max_abs"} "awq"
  %a.w.dq: f32[20,16,3,3] = DequantizeLinear(%a.w.q, %a.w.scale, %a.w.zero) {axis=0} "awdq"
  %a: f32[4,20,10,10] = Conv(%x.dq, %a.w.dq) {pads=[1,1,1,1]} "a"
  %a.bn: f32[4,20,10,10] = BatchNormalization(%a, %gamma, %beta, %mean, %var) "abn"
  %a.r: f32[4,20,10,10] = Clip(%a.bn, %lo, %hi) "ar"
  %a.q: s8[4,20,10,10] = QuantizeLinear(%a.r, %a.scale, %z) {observer="moving_average"} "aq"
  %a.dq: f32[4,20,10,10] = DequantizeLinear(%a.q, %a.scale, %z) "adq"
  %p: f32[4,20,1,1] = GlobalAveragePool(%a.dq) "p"
  %r: f32[4,20,1,1] = Conv(%p, %r.w) "r"
  %s: f32[4,20,1,1] = Sigmoid(%r) "s"
  %s.q: s8[4,20,1,1] = QuantizeLinear(%s, %s.scale, %z) {observer="moving_average"} "sq"
  %s.dq: f32[4,20,1,1] = DequantizeLinear(%s.q, %s.scale, %z) "sdq"
  %m: f32[4,20,10,10] = Mul(%a.dq, %s.dq) "m"
  %y.q: s8[4,20,10,10] = QuantizeLinear(%m, %y.scale, %z) {observer="moving_average"} "yq"
  %y.dq: f32[4,20,10,10] = DequantizeLinear(%y.q, %y.scale, %z) "ydq"
  output %y.dq
})";

double Cosine(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.ToVector<double>(), y = b.ToVector<double>();
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += x[i] * y[i];
    xx += x[i] * x[i];
    yy += y[i] * y[i];
  }
  return xx == 0 && yy == 0 ? 1.0 : xy / std::sqrt(xx * yy);
}

double Norm(const Tensor& t) {
  double sum = 0;
  for (const double v : t.ToVector<double>()) sum += v * v;
  return std::sqrt(sum);
}

ir::Graph WithPositiveScales(ir::Graph graph) {
  for (const ir::ValueId id : graph.constants()) {
    const std::string& name = graph.value(id).name;
    const Tensor& t = graph.value(id).constant;
    if (t.dtype() == DType::kS8) graph.set_constant(id, Tensor(DType::kS8, t.shape()));
    if (name.find("gamma") == 0) graph.set_constant(id, RandomTensor(t.shape(), 5, 0.5f, 1.5f));
    if (name.find("beta") == 0) graph.set_constant(id, RandomTensor(t.shape(), 6, 0.2f, 1.0f));
  }
  return graph;
}

struct Outcome {
  Tensor y;
  std::map<std::string, Tensor> gradients;
  std::map<std::string, Tensor> state;
  ir::Graph after;
};

Outcome RunOnce(const ir::Graph& graph, bool integer, const Tensor& x, const std::string& output, const Tensor& seed,
                bool frozen_bn = false) {
  GraphModule module(graph);
  module.SetTraining(true);
  module.FreezeBatchNorm(frozen_bn);
  module.SetInteger(integer);
  Outcome o;
  const std::string input = graph.value(graph.inputs()[0]).name;
  o.gradients = module.Gradients({{input, x}}, output, seed, &o.y);
  o.state = module.State();
  o.after = module.WriteBack();
  return o;
}

void ExpectSameStep(const Outcome& integer, const Outcome& oracle, double cosine) {
  for (const auto& [name, gradient] : oracle.gradients) {
    EXPECT_GT(Cosine(integer.gradients.at(name), gradient), cosine) << name;
    double norm = 0, other = 0;
    for (const double v : gradient.ToVector<double>()) norm += v * v;
    for (const double v : integer.gradients.at(name).ToVector<double>()) other += v * v;
    if (norm > 0) {
      EXPECT_NEAR(std::sqrt(other / norm), 1.0, 0.02) << name;
    }
  }
  for (const auto& [name, value] : oracle.state) {
    const double expected = value.ToVector<double>()[0];
    EXPECT_NEAR(integer.state.at(name).ToVector<double>()[0], expected, 1e-4 * std::fabs(expected)) << name;
  }
  // Scales and running statistics.
  for (const ir::ValueId id : oracle.after.constants()) {
    const Tensor& expected = oracle.after.value(id).constant;
    if (expected.dtype() != DType::kF32) continue;
    const Tensor& got = integer.after.value(integer.after.Find(oracle.after.value(id).name)).constant;
    EXPECT_LT(LargestDifference(got, expected), 1e-4) << oracle.after.value(id).name;
  }
}

class Integer : public testing::Test {
  void SetUp() override {
    if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  }
};

TEST_F(Integer, EveryKindOfBlockEqualsItsOracle) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kBlocks));
  {
    const GraphModule::IntegerReport report = GraphModule(graph).IntegerTraining();
    EXPECT_TRUE(report.usable);
    EXPECT_EQ(report.summary, "4 convolutions in INT8");
  }
  const Tensor x = RandomTensor({4, 3, 18, 18}, 11), seed = RandomTensor({4, 20, 5, 5}, 12);
  for (const bool frozen_bn : {false, true}) {
    const Outcome oracle = RunOnce(graph, false, x, "e.dq", seed, frozen_bn);
    const Outcome integer = RunOnce(graph, true, x, "e.dq", seed, frozen_bn);
    // Codes differ where a value lies within rounding of a tie: by one step, and rarely.
    const float step = integer.after.value(integer.after.Find("e.scale")).constant.ToVector<float>()[0];
    const std::vector<double> a = integer.y.ToVector<double>(), b = oracle.y.ToVector<double>();
    int64_t different = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_LT(std::fabs(a[i] - b[i]), 1.5 * step) << i;
      if (std::fabs(a[i] - b[i]) > 0.5 * step) ++different;
    }
    EXPECT_LE(different, 4) << "of " << a.size();
    ExpectSameStep(integer, oracle, 0.9995);
  }
}

TEST_F(Integer, BiasAndNoBatchNormEqualTheirOracle) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kOtherBlocks));
  EXPECT_EQ(GraphModule(graph).IntegerTraining().summary, "4 convolutions in INT8");
  const Tensor x = RandomTensor({4, 16, 10, 10}, 11), seed = RandomTensor({4, 16, 10, 10}, 12);
  for (const bool frozen_bn : {false, true}) {
    Outcome oracle = RunOnce(graph, false, x, "f.dq", seed, frozen_bn);
    Outcome integer = RunOnce(graph, true, x, "f.dq", seed, frozen_bn);
    const float step = integer.after.value(integer.after.Find("f.scale")).constant.ToVector<float>()[0];
    EXPECT_LT(LargestDifference(integer.y, oracle.y), 1.5 * step);
    if (!frozen_bn) {
      // A batch norm takes a bias before it away: no gradient, where the oracle has rounding errors.
      EXPECT_EQ(Norm(integer.gradients.at("a.bias")), 0);
      EXPECT_LT(Norm(oracle.gradients.at("a.bias")), 1e-3 * Norm(oracle.gradients.at("gamma")));
      oracle.gradients.erase("a.bias");
    }
    ExpectSameStep(integer, oracle, 0.9995);
  }
}

// The residual's gradient goes to the block that reads the same tensor, depthwise or dense, and is not lost. A block
// that computes the whole gradient of another's output makes its sums.
TEST_F(Integer, ResidualGradientsAreJoined) {
  for (const bool dense : {false, true}) {
    std::string text = kOtherBlocks;
    if (dense) {
      for (size_t at; (at = text.find("[16,1,3,3]")) != std::string::npos;) text.replace(at, 10, "[16,16,3,3]");
      text.erase(text.find("group=16, "), 10);
    }
    const ir::Graph graph = WithPositiveScales(MakeGraph(text.c_str()));
    std::string joins;
    for (const Step& step : PlanIntegers(graph, PlanSteps(graph, true, true)).plan.steps) {
      if (step.takes_gradient) joins += "into " + graph.node(step.conv).name;
      if (step.passes_gradient) joins += " from " + graph.node(step.conv).name;
      if (step.sums_gradient) joins += " sums " + graph.node(step.conv).name;
    }
    EXPECT_EQ(joins, "into d sums d from e sums e sums f");
    const Tensor x = RandomTensor({4, 16, 10, 10}, 11), seed = RandomTensor({4, 16, 10, 10}, 12);
    Outcome oracle = RunOnce(graph, false, x, "f.dq", seed);
    oracle.gradients.erase("a.bias");  // a batch norm takes it away
    ExpectSameStep(RunOnce(graph, true, x, "f.dq", seed), oracle, 0.9995);
  }
}

TEST_F(Integer, SqueezeAndExcitationEqualsItsOracle) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kGate));
  const IntegerPlan plan = PlanIntegers(graph, PlanSteps(graph, true, true));
  int64_t gates = 0, means = 0;
  for (const Step& step : plan.plan.steps) {
    gates += step.kind == Step::kIntegerGate ? 1 : 0;
    means += step.kind == Step::kIntegerMean ? 1 : 0;
  }
  EXPECT_EQ(gates, 1);
  EXPECT_EQ(means, 1);
  const Tensor x = RandomTensor({4, 16, 10, 10}, 11), seed = RandomTensor({4, 20, 10, 10}, 12);
  const Outcome oracle = RunOnce(graph, false, x, "y.dq", seed);
  const Outcome integer = RunOnce(graph, true, x, "y.dq", seed);
  const float step = integer.after.value(integer.after.Find("y.scale")).constant.ToVector<float>()[0];
  EXPECT_LT(LargestDifference(integer.y, oracle.y), 1.5 * step);
  ExpectSameStep(integer, oracle, 0.9995);
}

// A weight that an FP32 convolution reads as well.
TEST_F(Integer, WeightOfABlockAndOfAnotherConvolution) {
  std::string text = kOtherBlocks;
  const size_t from = text.find("  %f.q:"), to = text.find("  output %f.dq");
  text.replace(from, to + 14 - from, "  output %f");
  const ir::Graph graph = WithPositiveScales(MakeGraph(text));
  EXPECT_EQ(GraphModule(graph).IntegerTraining().summary,
            "3 convolutions in INT8; 1 in FP32: no quantizer follows it and its normalization or activation");
  const Tensor x = RandomTensor({4, 16, 10, 10}, 11), seed = RandomTensor({4, 16, 10, 10}, 12);
  ExpectSameStep(RunOnce(graph, true, x, "f", seed, true), RunOnce(graph, false, x, "f", seed, true), 0.9995);
}

// What CPUs with AMX run; elsewhere oneDNN emulates bfloat16.
TEST_F(Integer, Bfloat16GradientsEqualTheOracle) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kBlocks));
  const Tensor x = RandomTensor({4, 3, 18, 18}, 11), seed = RandomTensor({4, 20, 5, 5}, 12);
  const Outcome oracle = RunOnce(graph, false, x, "e.dq", seed);
  ::setenv("OCTET_FORCE_BF16", "1", 1);
  const Outcome integer = RunOnce(graph, true, x, "e.dq", seed);
  ::unsetenv("OCTET_FORCE_BF16");
  ExpectSameStep(integer, oracle, 0.9995);
}

TEST_F(Integer, ThreadsDoNotChangeTheBits) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kBlocks));
  std::vector<std::vector<float>> weights;
  for (const int threads : {1, 2, 3}) {
    GraphModule module(graph);
    at::set_num_threads(threads);
    module.SetTraining(true);
    module.SetInteger(true);
    const Tensor x = RandomTensor({4, 3, 18, 18}, 11), seed = RandomTensor({4, 20, 5, 5}, 12);
    weights.push_back(module.Gradients({{"x", x}}, "e.dq", seed).at("b.w").ToVector<float>());
  }
  EXPECT_EQ(weights[0], weights[1]);
  EXPECT_EQ(weights[0], weights[2]);
}

ir::Graph SmallNetwork(const std::string& backbone, int64_t size) {
  ops::InstallOps();
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.num_classes = 10;
  options.input_height = options.input_width = size;
  return passes::PrepareForQat(zoo::BuildNetwork(options));
}

class IntegerNetwork : public testing::TestWithParam<const char*> {};

// The same forward pass, with gradients in integers and in FP32. (Against the simulated executor a whole network cannot
// be compared like this: one code that differs at a tie changes others behind it, and soon as many as rounding itself
// does. The blocks are compared above.)
TEST_P(IntegerNetwork, GradientsPointTheSameWay) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  const ir::Graph graph = SmallNetwork(GetParam(), 64);
  const Tensor x = RandomTensor({8, 3, 64, 64}, 21);
  const Tensor seed = RandomTensor({8, 10}, 22);
  const Outcome integer = RunOnce(graph, true, x, "logits", seed);
  ::setenv("OCTET_TRAIN_GRADIENTS", "fp32", 1);
  const Outcome oracle = RunOnce(graph, true, x, "logits", seed);
  ::unsetenv("OCTET_TRAIN_GRADIENTS");
  EXPECT_EQ(integer.y.ToVector<float>(), oracle.y.ToVector<float>());
  double least = 1;
  for (const auto& [name, gradient] : oracle.gradients) {
    // The bias of a batch norm before a 1x1 convolution and another batch norm changes nothing: its gradient is zero
    // but for rounding, and has no direction. It has to be small beside that of its factor.
    const std::string factor = name.size() > 5 ? name.substr(0, name.size() - 5) + ".scale" : "";
    if (name.size() > 5 && name.substr(name.size() - 5) == ".bias" && oracle.gradients.count(factor) != 0 &&
        Norm(gradient) < 1e-3 * Norm(oracle.gradients.at(factor))) {
      EXPECT_LT(Norm(integer.gradients.at(name)), 0.1 * Norm(oracle.gradients.at(factor))) << name;
      continue;
    }
    const double cosine = Cosine(integer.gradients.at(name), gradient);
    EXPECT_GT(cosine, 0.999) << name;
    least = std::min(least, cosine);
  }
  RecordProperty("least_cosine", std::to_string(least));
  std::printf("%s: least cosine %.7f\n", GetParam(), least);
}

std::vector<double> Losses(const ir::Graph& graph, bool integer, bool nudged) {
  GraphModule module(graph);
  TrainerOptions options;
  options.schedule.learning_rate = 0.01;
  options.steps_per_epoch = 100;
  options.integer = integer;
  Trainer trainer(module, SoftmaxCrossEntropy(0.1, "logits"), options);
  for (const Parameter& p : module.parameters()) {
    const torch::NoGradGuard no_grad;
    if (nudged && p.scope == "bn") module.ParameterTensor(p.name).mul_(1.0f + 1e-6f);
  }
  std::vector<double> losses;
  for (int step = 0; step < 12; ++step) {
    Batch batch;
    Tensor label(DType::kS64, {16});
    for (int64_t i = 0; i < 16; ++i) label.mutable_data<int64_t>()[i] = (i * 3 + step) % 10;
    batch.inputs = {RandomTensor({16, 3, 64, 64}, 100 + static_cast<uint64_t>(step % 3))};
    batch.targets = {label};
    batch.size = 16;
    losses.push_back(trainer.Step(batch).loss);
  }
  return losses;
}

double MeanDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

// Training in integers is as far from its oracle as the oracle is from itself after a nudge of a few units in the last
// place: rounding turns the least difference into different codes.
TEST_F(Integer, LossFollowsTheOracle) {
  const ir::Graph graph = SmallNetwork("resnet_18", 64);
  const std::vector<double> oracle = Losses(graph, false, false), nudged = Losses(graph, false, true);
  const std::vector<double> integer = Losses(graph, true, false);
  const double distance = MeanDistance(integer, oracle), own = MeanDistance(nudged, oracle);
  std::printf("mean distance of losses %.5f, of the nudged oracle %.5f\n", distance, own);
  EXPECT_LT(distance, 2 * own + 0.005);
  EXPECT_LT(distance, 0.1);
}

INSTANTIATE_TEST_SUITE_P(Zoo, IntegerNetwork, testing::Values("resnet_18", "mobilenet_v2", "efficientnet-b0"));

// Without the instructions the step that SetInteger(true) runs is the oracle's.
TEST(IntegerTraining, FallsBackWithoutTheInstructions) {
  const ir::Graph graph = WithPositiveScales(MakeGraph(kBlocks));
  const Tensor x = RandomTensor({4, 3, 18, 18}, 11), seed = RandomTensor({4, 20, 5, 5}, 12);
  const Outcome oracle = RunOnce(graph, false, x, "e.dq", seed);
  ::setenv("OCTET_TRAIN_ISA", "portable", 1);
  const GraphModule::IntegerReport report = GraphModule(graph).IntegerTraining();
  const Outcome fallback = RunOnce(graph, true, x, "e.dq", seed);
  ::unsetenv("OCTET_TRAIN_ISA");
  EXPECT_FALSE(report.usable);
  EXPECT_EQ(report.summary, "this CPU has no AVX-512 VNNI (or OCTET_TRAIN_ISA=portable is set)");
  EXPECT_EQ(fallback.y.ToVector<float>(), oracle.y.ToVector<float>());
  for (const auto& [name, gradient] : oracle.gradients) {
    EXPECT_EQ(fallback.gradients.at(name).ToVector<float>(), gradient.ToVector<float>()) << name;
  }
}

TEST(IntegerTraining, SaysWhyItDoesNot) {
  if (!HasS16Products()) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  const GraphModule::IntegerReport report = GraphModule(MakeGraph(R"(graph "g" {
  input %x: f32[1,3,8,8]
  const %w: f32[4,3,3,3] = blob
  %y: f32[1,4,6,6] = Conv(%x, %w) "y"
  output %y
})"))
                                                .IntegerTraining();
  EXPECT_FALSE(report.usable);
  EXPECT_EQ(report.summary,
            "0 convolutions in INT8; 1 in FP32: no quantizer follows it and its normalization or activation");
}

}  // namespace
}  // namespace octet::train
