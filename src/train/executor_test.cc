// The executor against the reference kernels, operator by operator, and its gradients against finite differences.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "ops/install.h"
#include "train/graph_module.h"
#include "train/kernels/op_call.h"
#include "train/step_plan.h"
#include "train/test_graphs.h"

namespace octet::train {
namespace {

// One operator on x [2,C,H,W] = f32 [2,6,7,5] unless a case says otherwise.
struct Case {
  const char* name;
  const char* body;  // text between the input and the output; must define %y
  const char* input = "f32[2,6,7,5]";
  double tolerance = 1e-5;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::string Text(const Case& c) {
  return std::string("graph \"g\" {\n  input %x: ") + c.input + "\n" + c.body + "\n  output %y\n}\n";
}

class Executor : public testing::TestWithParam<Case> {};

TEST_P(Executor, AgreesWithReference) {
  const Case& c = GetParam();
  const ir::Graph graph = MakeGraph(Text(c));
  const Tensor x = RandomTensor(graph.value(graph.Find("x")).type.shape, 77, -2.0f, 2.0f);
  const std::vector<Tensor> expected = ir::RunReference(graph, {{"x", x}});
  for (const std::string& device : TestDevices()) {
    GraphModule module(graph, device);
    const std::vector<Tensor> got = module.Evaluate({{"x", x}});
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].shape(), expected[0].shape());
    EXPECT_LE(LargestDifference(got[0], expected[0]), c.tolerance) << device;
  }
}

constexpr char kSelect[] =
    "const %boxes: f32[1,6,4] = blob\n const %most: s64[1] = [3]\n const %iou: f32[1] = [0.5]\n"
    "const %score: f32[1] = [-1.0]\n"
    "%picked: s64[N,3] = NonMaxSuppression(%boxes, %x, %most, %iou, %score) \"nms\"\n"
    "%y: f32[N,3] = Cast(%picked) {to=1} \"cast\"";

const Case kCases[] = {
    {"by_reference_kernel", kSelect, "f32[1,2,6]", 0},
    {"conv",
     "const %w: f32[4,6,3,3] = blob\n const %b: f32[4] = [0.1,-0.2,0.3,0]\n"
     "%y: f32[2,4,4,3] = Conv(%x, %w, %b) {pads=[1,1,1,1], strides=[2,2]} \"n\"",
     "f32[2,6,7,5]", 2e-5},
    {"conv_asymmetric",
     "const %w: f32[4,6,3,2] = blob\n"
     "%y: f32[2,4,7,6] = Conv(%x, %w) {pads=[2,1,0,1]} \"n\"",
     "f32[2,6,7,5]", 2e-5},
    {"conv_same_upper",
     "const %w: f32[4,6,3,3] = blob\n"
     "%y: f32[2,4,4,3] = Conv(%x, %w) {auto_pad=\"SAME_UPPER\", strides=[2,2]} \"n\"",
     "f32[2,6,7,5]", 2e-5},
    {"conv_grouped",
     "const %w: f32[9,2,3,3] = blob\n"
     "%y: f32[2,9,5,3] = Conv(%x, %w) {group=3, dilations=[1,1]} \"n\"",
     "f32[2,6,7,5]", 2e-5},
    {"depthwise",
     "const %w: f32[6,1,3,3] = blob\n"
     "%y: f32[2,6,7,5] = Conv(%x, %w) {group=6, pads=[1,1,1,1]} \"n\""},
    {"batch_norm",
     "const %scale: f32[6] = [1,2,3,-1,0.5,1]\n const %b: f32[6] = [0,1,0,1,0,-1]\n"
     "const %m: f32[6] = [0.1,0,0,0,0,0.3]\n const %v: f32[6] = [1,2,0.5,1,1,1]\n"
     "%y: f32[2,6,7,5] = BatchNormalization(%x, %scale, %b, %m, %v) {epsilon=0.001} \"n\""},
    {"relu", "%y: f32[2,6,7,5] = Relu(%x) \"n\""},
    {"clip", "const %lo: f32[] = [0]\n const %hi: f32[] = [1.5]\n %y: f32[2,6,7,5] = Clip(%x, %lo, %hi) \"n\""},
    {"clip_max", "const %hi: f32[] = [1.5]\n %y: f32[2,6,7,5] = Clip(%x, _, %hi) \"n\""},
    {"leaky_relu", "%y: f32[2,6,7,5] = LeakyRelu(%x) {alpha=0.2} \"n\""},
    {"sigmoid", "%y: f32[2,6,7,5] = Sigmoid(%x) \"n\""},
    {"hard_sigmoid", "%y: f32[2,6,7,5] = HardSigmoid(%x) {alpha=0.16666667, beta=0.5} \"n\""},
    {"hard_swish", "%y: f32[2,6,7,5] = HardSwish(%x) \"n\""},
    {"tanh", "%y: f32[2,6,7,5] = Tanh(%x) \"n\""},
    {"softmax", "%y: f32[2,10] = Softmax(%x) {axis=1} \"n\"", "f32[2,10]"},
    {"add_channel", "const %c: f32[6,1,1] = [1,2,3,4,5,6]\n %y: f32[2,6,7,5] = Add(%x, %c) \"n\""},
    {"sub", "const %c: f32[] = [0.5]\n %y: f32[2,6,7,5] = Sub(%x, %c) \"n\""},
    {"mul", "%y: f32[2,6,7,5] = Mul(%x, %x) \"n\""},
    {"div", "const %c: f32[6,1,1] = [1,2,3,4,5,6]\n %y: f32[2,6,7,5] = Div(%x, %c) \"n\""},
    {"max_pool", "%y: f32[2,6,4,3] = MaxPool(%x) {kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]} \"n\""},
    {"max_pool_asymmetric", "%y: f32[2,6,4,3] = MaxPool(%x) {kernel_shape=[3,3], pads=[0,0,2,2], strides=[2,2]} \"n\""},
    {"average_pool", "%y: f32[2,6,4,3] = AveragePool(%x) {kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]} \"n\""},
    {"average_pool_include",
     "%y: f32[2,6,4,3] = AveragePool(%x) {count_include_pad=1, kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]} "
     "\"n\""},
    {"average_pool_asymmetric",
     "%y: f32[2,6,4,3] = AveragePool(%x) {kernel_shape=[3,3], pads=[0,0,2,2], strides=[2,2]} \"n\""},
    {"global_average_pool", "%y: f32[2,6,1,1] = GlobalAveragePool(%x) \"n\""},
    {"gemm",
     "const %w: f32[3,10] = blob\n const %b: f32[3] = [1,2,3]\n"
     "%y: f32[4,3] = Gemm(%x, %w, %b) {transB=1} \"n\"",
     "f32[4,10]"},
    {"gemm_scaled",
     "const %w: f32[10,3] = blob\n const %b: f32[3] = [1,2,3]\n"
     "%y: f32[4,3] = Gemm(%x, %w, %b) {alpha=0.5, beta=2.0} \"n\"",
     "f32[4,10]"},
    {"matmul", "const %w: f32[10,3] = blob\n %y: f32[4,3] = MatMul(%x, %w) \"n\"", "f32[4,10]"},
    {"lrn", "%y: f32[2,6,7,5] = LRN(%x) {alpha=0.5, beta=0.6, bias=2.0, size=4} \"n\""},
    {"layer_norm",
     "const %w: f32[7,5] = blob\n const %b: f32[7,5] = blob\n"
     "%y: f32[2,6,7,5] = LayerNormalization(%x, %w, %b) {axis=2} \"n\""},
    {"arg_max", "%y: s64[2,7,5] = ArgMax(%x) {axis=1, keepdims=0} \"n\"", "f32[2,6,7,5]", 0},
    {"reduce_prod", "%y: f32[2,6] = ReduceProd(%x) {axes=[2,3], keepdims=0} \"n\""},
    {"cum_sum", "const %a: s64[] = [1]\n%y: f32[2,6,7,5] = CumSum(%x, %a) {exclusive=1, reverse=1} \"n\""},
    {"cum_sum_plain", "const %a: s64[] = [-1]\n%y: f32[2,6,7,5] = CumSum(%x, %a) \"n\""},
    {"reduce_l2", "%y: f32[2,6,1,1] = ReduceL2(%x) {axes=[2,3]} \"n\""},
    {"flatten", "%y: f32[2,210] = Flatten(%x) \"n\""},
    {"reshape", "const %s: s64[3] = [0,-1,5]\n %y: f32[2,42,5] = Reshape(%x, %s) \"n\""},
    {"transpose", "%y: f32[2,7,5,6] = Transpose(%x) {perm=[0,2,3,1]} \"n\""},
    {"concat", "%y: f32[2,12,7,5] = Concat(%x, %x) {axis=1} \"n\""},
    {"slice",
     "const %s: s64[2] = [1,-1]\n const %e: s64[2] = [5,-100]\n const %a: s64[2] = [1,2]\n"
     "const %t: s64[2] = [2,-2]\n %y: f32[2,2,4,5] = Slice(%x, %s, %e, %a, %t) \"n\""},
    {"pad", "const %p: s64[8] = [0,0,1,2,0,0,0,1]\n %y: f32[2,6,8,8] = Pad(%x, %p) \"n\""},
    {"quantize_dequantize",
     "const %s: f32[] = [0.01]\n const %z: s8[] = [0]\n"
     "%q: s8[2,6,7,5] = QuantizeLinear(%x, %s, %z) \"q\"\n"
     "%y: f32[2,6,7,5] = DequantizeLinear(%q, %s, %z) \"n\"",
     "f32[2,6,7,5]", 0},
    {"gather_nd",
     "const %i: s64[3,2,2] = [0,1, -1,6, 5,0, 2,2, 2,-3, 0,1]\n"
     "%t: f32[6,7,2,5] = Transpose(%x) {perm=[1,2,0,3]} \"t\"\n%y: f32[3,2,2,5] = GatherND(%t, %i) \"n\""},
    {"gather_nd_batch",
     "const %i: s64[2,3,2] = [0,1, -1,6, 5,0, 2,2, 2,-3, 0,1]\n"
     "%y: f32[2,3,5] = GatherND(%x, %i) {batch_dims=1} \"n\""},
    {"quantize_channels",
     "const %s: f32[6] = [0.01,0.02,0.03,0.004,0.005,0.1]\n const %z: s8[6] = [0,0,0,0,0,0]\n"
     "%y: s8[2,6,7,5] = QuantizeLinear(%x, %s, %z) {axis=1} \"q\"",
     "f32[2,6,7,5]", 0},
    {"quantize_zero_point",
     "const %s: f32[] = [0.01]\n const %z: u8[] = [100]\n"
     "%q: u8[2,6,7,5] = QuantizeLinear(%x, %s, %z) \"q\"\n"
     "%y: f32[2,6,7,5] = DequantizeLinear(%q, %s, %z) \"n\"",
     "f32[2,6,7,5]", 0},
};

INSTANTIATE_TEST_SUITE_P(Ops, Executor, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case>& info) { return std::string(info.param.name); });

// An imported network may hold any of them. The importer evaluates those that make constants. Those without a kernel of
// their own run by their reference, without gradient: selection and post-processing.
TEST(Executor, EveryOperatorOfANetworkHasAKernelOfItsOwn) {
  ops::InstallOps();
  const std::set<std::string> by_reference = {"EfficientNMS_TRT", "GatherElements", "NonMaxSuppression", "ScatterND",
                                              "TopK"};
  for (const std::string& op : ir::OpNames()) {
    if (op == "Constant" || op == "ConstantOfShape" || op == "Size") continue;
    EXPECT_EQ(FindKernel(op) == &RunReferenceKernel, by_reference.count(op) != 0) << op;
  }
}

TEST(Executor, OperatorsWithoutAGradientSaySo) {
  const ir::Graph graph = MakeGraph(Text({"nms", kSelect, "f32[1,2,6]"}));
  GraphModule module(graph);
  module.SetTraining(true);
  const Tensor x = RandomTensor({1, 2, 6}, 5, 0, 1);
  const Tensor seed = RandomTensor(ir::RunReference(graph, {{"x", x}})[0].shape(), 6);
  try {
    module.Gradients({{"x", x}}, "y", seed, nullptr);
    FAIL() << "a gradient through NonMaxSuppression";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "node 'nms': operator NonMaxSuppression has no gradient, and what it reads is trained");
  }
}

// d(sum(y * seed)) by central differences of the executor itself, in the given mode.
void CheckGradients(const ir::Graph& graph, bool training, double tolerance) {
  GraphModule module(graph);
  module.SetTraining(training);
  const Tensor x = RandomTensor(graph.value(graph.Find("x")).type.shape, 5, -1.5f, 1.5f);
  Tensor y;
  const Tensor seed = RandomTensor(ir::RunReference(graph, {{"x", x}})[0].shape(), 6);
  const auto grads = module.Gradients({{"x", x}}, "y", seed, &y);
  const auto value_at = [&](const std::string& name, int64_t i, float delta) {
    ir::Graph moved = graph;
    Tensor input = x;
    if (name == "x") {
      input.mutable_data<float>()[i] += delta;
    } else {
      const ir::ValueId id = moved.Find(name);
      Tensor t = moved.value(id).constant;
      t.mutable_data<float>()[i] += delta;
      moved.set_constant(id, t);
    }
    GraphModule other(moved);
    other.SetTraining(training);
    Tensor result;
    other.Gradients({{"x", input}}, "y", seed, &result);
    return SumOf(result, seed);
  };
  constexpr float kDelta = 5e-3f;
  for (const auto& [name, grad] : grads) {
    for (int64_t i = 0; i < grad.size(); i += std::max<int64_t>(1, grad.size() / 7)) {
      const double expected = (value_at(name, i, kDelta) - value_at(name, i, -kDelta)) / (2 * kDelta);
      EXPECT_NEAR(grad.data<float>()[i], expected, tolerance * std::max(1.0, std::fabs(expected))) << name << " " << i;
    }
  }
}

TEST(Gradients, ConvBatchNormSigmoidInTraining) {
  CheckGradients(MakeGraph(R"(graph "g" {
  input %x: f32[3,4,6,6]
  const %c.weight: f32[6,4,3,3] = blob
  const %bn.scale: f32[6] = [1,0.5,-1,2,1,1]
  const %bn.bias: f32[6] = [0,0.1,0.2,0,-1,0.3]
  const %bn.mean: f32[6] = [0,0,0,0,0,0]
  const %bn.var: f32[6] = [1,1,1,1,1,1]
  %c: f32[3,6,6,6] = Conv(%x, %c.weight) {pads=[1,1,1,1]} "c"
  %bn: f32[3,6,6,6] = BatchNormalization(%c, %bn.scale, %bn.bias, %bn.mean, %bn.var) "bn"
  %y: f32[3,6,6,6] = Sigmoid(%bn) "s"
  output %y
})"),
                 true, 0.02);
}

// x Sigmoid(x) is one step, unless something else reads the Sigmoid.
TEST(Gradients, GatherNd) {
  CheckGradients(MakeGraph(R"(graph "g" {
  input %x: f32[2,3,5,4]
  const %w: f32[4,3,1,1] = blob
  const %i: s64[2,3,2] = [0,1, -1,4, 3,0, 2,2, 2,-3, 0,1]
  %c: f32[2,4,5,4] = Conv(%x, %w) "conv"
  %y: f32[2,3,4] = GatherND(%c, %i) {batch_dims=1} "y"
  output %y
}
)"),
                 true, 0.02);
}

TEST(Gradients, Swish) {
  const std::string swish = R"(graph "g" {
  input %x: f32[2,3,4,4]
  const %c.weight: f32[5,3,1,1] = blob
  %c: f32[2,5,4,4] = Conv(%x, %c.weight) "c"
  %s: f32[2,5,4,4] = Sigmoid(%c) "s"
  %m: f32[2,5,4,4] = Mul(%s, %c) "m"
  %y: f32[2,5,4,4] = Tanh(%m) "t"
  output %y
})";
  const ir::Graph graph = MakeGraph(swish);
  StepPlan plan = PlanSteps(graph, true, true);
  ASSERT_EQ(plan.steps.size(), 3U);
  EXPECT_EQ(plan.steps[1].kind, Step::kSwish);
  EXPECT_EQ(plan.hidden, std::set<ir::ValueId>{graph.Find("s")});
  EXPECT_EQ(PlanSteps(graph, true, false).steps.size(), 4U);
  CheckGradients(graph, true, 0.02);
  std::string read_twice = swish;
  read_twice.replace(read_twice.find("Tanh(%m)"), 8, "Add(%m, %s)");
  EXPECT_EQ(PlanSteps(MakeGraph(read_twice), true, true).steps.size(), 4U);
  CheckGradients(MakeGraph(read_twice), true, 0.02);
}

TEST(Gradients, ResidualPoolAndGemm) {
  CheckGradients(MakeGraph(R"(graph "g" {
  input %x: f32[2,4,8,8]
  const %d.weight: f32[4,1,3,3] = blob
  const %f.weight: f32[3,4] = blob
  const %f.bias: f32[3] = [0.1,0.2,0.3]
  %d: f32[2,4,8,8] = Conv(%x, %d.weight) {group=4, pads=[1,1,1,1]} "d"
  %t: f32[2,4,8,8] = Tanh(%d) "t"
  %a: f32[2,4,8,8] = Add(%t, %x) "a"
  %p: f32[2,4,4,4] = AveragePool(%a) {kernel_shape=[2,2], strides=[2,2]} "p"
  %g: f32[2,4,1,1] = GlobalAveragePool(%p) "g"
  %l: f32[2,4] = Flatten(%g) "l"
  %y: f32[2,3] = Gemm(%l, %f.weight, %f.bias) {transB=1} "f"
  output %y
})"),
                 true, 0.02);
}

TEST(Executor, BatchNormUpdatesRunningStatisticsInTrainingOnly) {
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[2,2,2,2]
  const %bn.scale: f32[2] = [1,1]
  const %bn.bias: f32[2] = [0,0]
  const %bn.mean: f32[2] = [0,10]
  const %bn.var: f32[2] = [1,1]
  %y: f32[2,2,2,2] = BatchNormalization(%x, %bn.scale, %bn.bias, %bn.mean, %bn.var) {momentum=0.75} "bn"
  output %y
})");
  GraphModule module(graph);
  Tensor x(DType::kF32, {2, 2, 2, 2});
  float* p = x.mutable_data<float>();
  const float first[8] = {1, 2, 3, 4, 5, 6, 7, 8};  // channel 0 over both images
  for (int n = 0; n < 2; ++n) {
    for (int i = 0; i < 4; ++i) {
      p[n * 8 + i] = first[n * 4 + i];
      p[n * 8 + 4 + i] = 2.0f;
    }
  }
  module.Evaluate({{"x", x}});
  EXPECT_EQ(module.WriteBack(), graph);
  module.SetTraining(true);
  Tensor y;
  module.Gradients({{"x", x}}, "y", RandomTensor({2, 2, 2, 2}, 1), &y);
  EXPECT_NEAR(y.data<float>()[0], (1 - 4.5) / std::sqrt(5.25 + 1e-5), 1e-5);
  const ir::Graph after = module.WriteBack();
  const auto values = [&](const char* name) { return after.value(after.Find(name)).constant.ToVector<double>(); };
  EXPECT_NEAR(values("bn.mean")[0], 0.25 * 4.5, 1e-6);
  EXPECT_NEAR(values("bn.mean")[1], 0.75 * 10 + 0.25 * 2, 1e-6);
  EXPECT_NEAR(values("bn.var")[0], 0.75 + 0.25 * 6.0, 1e-6);  // unbiased: 42 / 7
  EXPECT_NEAR(values("bn.var")[1], 0.75, 1e-6);
  module.FreezeBatchNorm(true);
  module.Gradients({{"x", x}}, "y", RandomTensor({2, 2, 2, 2}, 1), &y);
  EXPECT_EQ(module.WriteBack(), after);
}

TEST(Executor, DropoutIsKeyedAndScaled) {
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[4,1000]
  const %r: f32[] = [0.25]
  %y: f32[4,1000] = Dropout(%x, %r) "d"
  output %y
})");
  GraphModule module(graph);
  const Tensor x = RandomTensor({4, 1000}, 3, 1.0f, 1.0f);
  EXPECT_EQ(module.Evaluate({{"x", x}})[0], x);
  module.SetTraining(true);
  const auto run = [&](int64_t epoch, int64_t step) {
    module.SetRandomKey(1, epoch, step);
    Tensor y;
    module.Gradients({{"x", x}}, "y", x, &y);
    return y;
  };
  const Tensor a = run(0, 1);
  EXPECT_EQ(a, run(0, 1));
  EXPECT_NE(a, run(0, 2));
  EXPECT_NE(a, run(1, 1));
  double kept = 0;
  for (const float v : a.ToVector<float>()) {
    EXPECT_TRUE(v == 0.0f || std::fabs(v - 4.0f / 3) < 1e-6);
    kept += v != 0.0f;
  }
  EXPECT_NEAR(kept / 4000, 0.75, 0.03);
}

TEST(Executor, DropConnectDropsWholeSamples) {
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[64,3,2,2]
  const %r: f32[] = [0.5]
  %y: f32[64,3,2,2] = Dropout(%x, %r) {per_sample=1} "d"
  output %y
})");
  GraphModule module(graph);
  const Tensor x = RandomTensor({64, 3, 2, 2}, 3, 1.0f, 1.0f);
  EXPECT_EQ(module.Evaluate({{"x", x}})[0], x);
  module.SetTraining(true);
  module.SetRandomKey(1, 0, 0);
  Tensor y;
  module.Gradients({{"x", x}}, "y", x, &y);
  const std::vector<float> values = y.ToVector<float>();
  int kept = 0;
  for (size_t sample = 0; sample < 64; ++sample) {
    kept += values[sample * 12] != 0.0f;
    for (size_t i = 0; i < 12; ++i) EXPECT_EQ(values[sample * 12 + i], values[sample * 12] == 0.0f ? 0.0f : 2.0f);
  }
  EXPECT_GT(kept, 16);
  EXPECT_LT(kept, 48);
}

TEST(Executor, ErrorsNameTheDeviceAndTheInput) {
  const ir::Graph graph =
      MakeGraph("graph \"g\" {\n input %x: f32[1,2]\n %y: f32[1,2] = Relu(%x) \"n\"\n output %y\n}");
  try {
    GraphModule module(graph, "gpu");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'gpu'"), std::string::npos) << e.what();
    EXPECT_EQ(e.exit_code(), 1);
  }
  GraphModule module(graph);
  try {
    module.Evaluate({});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("input 'x'"), std::string::npos) << e.what();
  }
}

TEST(Executor, HookSeesAndReplacesValues) {
  const ir::Graph graph = MakeGraph(
      "graph \"g\" {\n input %x: f32[1,2]\n %a: f32[1,2] = Relu(%x) \"a\"\n %y: f32[1,2] = Neg(%a) \"n\"\n output "
      "%y\n}");
  GraphModule module(graph);
  std::vector<std::string> seen;
  const Tensor replacement = Tensor::From<float>({1, 2}, {7, 8});
  const Tensor y =
      module.Evaluate({{"x", Tensor::From<float>({1, 2}, {-1, 1})}}, {}, [&](const std::string& name, const Tensor&) {
        seen.push_back(name);
        return name == "a" ? replacement : Tensor();
      })[0];
  EXPECT_EQ(seen, (std::vector<std::string>{"x", "a", "y"}));
  EXPECT_EQ(y, Tensor::From<float>({1, 2}, {-7, -8}));
}

}  // namespace
}  // namespace octet::train
