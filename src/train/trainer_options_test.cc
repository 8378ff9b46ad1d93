// Average of the weights, freezing of statistics, bfloat16: what they compute, and that a resumed run equals a whole
// one.
#include <gtest/gtest.h>

#include "train/test_training.h"
#include "train/trainer.h"
#include "train/weight_average.h"

namespace octet::train {
namespace {

constexpr char kFloatNetwork[] = R"(graph "g" {
  input %x: f32[8,3,8,8]
  const %c.weight: f32[6,3,3,3] = blob
  const %c.bias: f32[6] = [0.1,-0.1,0.2,0,0,0.3]
  const %bn.scale: f32[6] = [1,1,1,1,1,1]
  const %bn.bias: f32[6] = [0,0,0,0,0,0]
  const %bn.mean: f32[6] = [0,0,0,0,0,0]
  const %bn.var: f32[6] = [1,1,1,1,1,1]
  const %f.weight: f32[3,6] = blob
  const %f.bias: f32[3] = [0,0,0]
  %c: f32[8,6,8,8] = Conv(%x, %c.weight, %c.bias) {pads=[1,1,1,1]} "c"
  %bn: f32[8,6,8,8] = BatchNormalization(%c, %bn.scale, %bn.bias, %bn.mean, %bn.var) "bn"
  %r: f32[8,6,8,8] = Relu(%bn) "r"
  %p: f32[8,6,1,1] = GlobalAveragePool(%r) "p"
  %l: f32[8,6] = Flatten(%p) "l"
  %logits: f32[8,3] = Gemm(%l, %f.weight, %f.bias) {transB=1} "f"
  output %logits
})";

std::vector<float> ConstantOf(const ir::Graph& graph, const std::string& name) {
  return graph.value(graph.Find(name)).constant.ToVector<float>();
}

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 1);
    return e.what();
  }
  return "no error";
}

TEST(WeightAverage, FollowsItsFormulaAndLeavesTheWeights) {
  GraphModule module(MakeGraph(kFloatNetwork));
  TrainerOptions o = SmallOptions("sgd");
  o.moving_average_decay = 0.3;
  Trainer trainer(module, SoftmaxCrossEntropy(0), o);
  for (const char* name : {"c.weight", "bn.var", "bn.mean", "f.bias"}) {
    EXPECT_EQ(ConstantOf(trainer.CurrentGraph(), name), ConstantOf(module.graph(), name)) << name;
  }
  std::vector<double> weight, variance;
  for (const float w : ConstantOf(module.graph(), "c.weight")) weight.push_back(w);
  for (const float w : ConstantOf(module.graph(), "bn.var")) variance.push_back(w);
  for (int step = 1; step <= 5; ++step) {
    trainer.Step(MakeBatch(static_cast<uint64_t>(step)));
    const ir::Graph raw = module.WriteBack();
    const double d = std::min(0.3, (1.0 + step) / (10.0 + step));
    const std::vector<float> w = ConstantOf(raw, "c.weight"), v = ConstantOf(raw, "bn.var");
    const ir::Graph average = trainer.CurrentGraph();
    for (size_t i = 0; i < weight.size(); ++i) {
      weight[i] = d * weight[i] + (1 - d) * w[i];
      EXPECT_NEAR(ConstantOf(average, "c.weight")[i], weight[i], 1e-6);
    }
    for (size_t i = 0; i < variance.size(); ++i) {
      variance[i] = d * variance[i] + (1 - d) * v[i];
      EXPECT_NEAR(ConstantOf(average, "bn.var")[i], variance[i], 1e-6);
    }
    EXPECT_NE(ConstantOf(average, "c.weight"), w);
    EXPECT_EQ(ConstantOf(module.WriteBack(), "c.weight"), w);  // reading the average leaves the weights
  }
}

TEST(WeightAverage, ScalesOfWeightsAreThoseOfTheAveragedWeights) {
  GraphModule module(MakeGraph(kNetwork));
  TrainerOptions o = SmallOptions("sgd");
  o.moving_average_decay = 0.9;
  Trainer trainer(module, SoftmaxCrossEntropy(0), o);
  for (uint64_t step = 1; step <= 3; ++step) trainer.Step(MakeBatch(step));
  const ir::Graph graph = trainer.CurrentGraph();
  const std::vector<float> w = ConstantOf(graph, "c.weight"), scale = ConstantOf(graph, "c.weight.scale");
  for (size_t k = 0; k < 6; ++k) {
    float amax = 0;
    for (size_t i = 0; i < 27; ++i) amax = std::max(amax, std::fabs(w[k * 27 + i]));
    EXPECT_FLOAT_EQ(scale[k], amax / 127);
  }
}

TEST(WeightAverage, BadDecaysAndForeignCheckpoints) {
  GraphModule module(MakeGraph(kFloatNetwork));
  TrainerOptions o = SmallOptions("sgd");
  o.moving_average_decay = 1.5;
  EXPECT_NE(MessageOf([&] { Trainer(module, SoftmaxCrossEntropy(0), o); }).find("moving_average_decay is 1.5"),
            std::string::npos);
  o.moving_average_decay = 0.9;
  Trainer with(module, SoftmaxCrossEntropy(0), o);
  ir::Model saved;
  with.Save(saved);
  o.moving_average_decay = 0;
  Trainer without(module, SoftmaxCrossEntropy(0), o);
  EXPECT_NE(MessageOf([&] { without.Restore(saved); }).find("moving_average_decay is 0"), std::string::npos);
  without.Save(saved);
  EXPECT_NE(MessageOf([&] { with.Restore(saved); }).find("saved without an average"), std::string::npos);
}

// Each scope has its own layers: the penalty of one scope is the sum over its kernels.
TEST(Regularizer, ScopesAreConvolutionsDepthwiseAndDense) {
  GraphModule module(MakeGraph(R"(graph "g" {
  input %x: f32[1,2,4,4]
  const %c.weight: f32[2,2,1,1] = [1,-2,0,0]
  const %d.weight: f32[2,1,1,1] = [3,4]
  const %f.weight: f32[1,32] = blob
  %c: f32[1,2,4,4] = Conv(%x, %c.weight) "c"
  %d: f32[1,2,4,4] = Conv(%c, %d.weight) {group=2} "d"
  %l: f32[1,32] = Flatten(%d) "l"
  %logits: f32[1,1] = Gemm(%l, %f.weight) {transB=1} "f"
  output %logits
})"));
  double dense = 0;
  for (const float w : ConstantOf(module.graph(), "f.weight")) dense += static_cast<double>(w) * w;
  const auto penalty = [&](const std::vector<std::string>& scope, const std::string& kind) {
    OptimizerOptions o;
    o.scope = scope;
    o.regularizer = kind;
    o.weight_decay = 0.5;
    return Optimizer(module, o).RegularizationLoss();
  };
  EXPECT_NEAR(penalty({"conv2d"}, "L2"), 0.5 * 5, 1e-6);
  EXPECT_NEAR(penalty({"depthwise"}, "L2"), 0.5 * 25, 1e-6);
  EXPECT_NEAR(penalty({"dense"}, "L2"), 0.5 * dense, 1e-6);
  EXPECT_NEAR(penalty({"conv2d", "depthwise"}, "L1"), 0.5 * (3 + 7), 1e-6);
  EXPECT_EQ(penalty({"conv2d", "depthwise", "dense"}, "None"), 0);
}

TEST(Freeze, StatisticsStayAfterTheirEpochs) {
  GraphModule module(MakeGraph(kNetwork));
  TrainerOptions o = SmallOptions("sgd");
  o.freeze_observer_epoch = 1;
  o.freeze_bn_epoch = 2;
  Trainer trainer(module, SoftmaxCrossEntropy(0), o);
  std::vector<ir::Graph> after = {module.graph()};
  for (int epoch = 0; epoch < 4; ++epoch) {
    trainer.TrainEpoch(EpochOf(epoch, 10));
    after.push_back(trainer.CurrentGraph());
  }
  for (const char* scale : {"x.scale", "r.scale"}) {
    EXPECT_NE(ConstantOf(after[0], scale), ConstantOf(after[1], scale));
    for (int epoch = 2; epoch <= 4; ++epoch) EXPECT_EQ(ConstantOf(after[1], scale), ConstantOf(after[epoch], scale));
  }
  for (const char* statistic : {"bn.mean", "bn.var"}) {
    EXPECT_NE(ConstantOf(after[1], statistic), ConstantOf(after[2], statistic));
    EXPECT_EQ(ConstantOf(after[2], statistic), ConstantOf(after[3], statistic));
    EXPECT_EQ(ConstantOf(after[2], statistic), ConstantOf(after[4], statistic));
  }
  // Everything else goes on: the factors of batch norm too, and the scales of the weights with the weights.
  for (const char* trained : {"c.weight", "c.weight.scale", "bn.scale", "bn.bias", "f.weight"}) {
    EXPECT_NE(ConstantOf(after[3], trained), ConstantOf(after[4], trained)) << trained;
  }
}

// Interrupted before, at and after the epochs of the freezes.
class ResumeAcrossFreeze : public testing::TestWithParam<int> {};

TEST_P(ResumeAcrossFreeze, EndsWithTheSameBits) {
  const ir::Graph graph = MakeGraph(kNetwork);
  TrainerOptions o = SmallOptions("sgd");
  o.moving_average_decay = 0.9;
  o.freeze_bn_epoch = 2;
  o.freeze_observer_epoch = 1;
  GraphModule whole(graph);
  Trainer trainer(whole, SoftmaxCrossEntropy(0.1), o);
  ir::Model middle, end;
  for (int epoch = 0; epoch < 4; ++epoch) {
    trainer.TrainEpoch(EpochOf(epoch, 10));
    if (epoch + 1 == GetParam()) trainer.Save(middle);
  }
  trainer.Save(end);
  const ir::Model loaded = ir::DeserializeModel(ir::SerializeModel(middle), "memory");
  GraphModule resumed(loaded.graph);
  Trainer second(resumed, SoftmaxCrossEntropy(0.1), o);
  second.Restore(loaded);
  while (second.epoch() < 4) second.TrainEpoch(EpochOf(second.epoch(), 10));
  ir::Model again;
  second.Save(again);
  EXPECT_EQ(again.graph, end.graph);
  EXPECT_EQ(again.state, end.state);
}
INSTANTIATE_TEST_SUITE_P(Epochs, ResumeAcrossFreeze, testing::Values(1, 2, 3));

// One step: the loss and the gradients are those of FP32 up to bfloat16's 8 bits, and not the same.
TEST(Bf16, IsNearFp32AndOnlyInTraining) {
  const ir::Graph graph = MakeGraph(kFloatNetwork);
  const Batch batch = MakeBatch(3);
  const std::map<std::string, Tensor> feeds = {{"x", batch.inputs[0]}};
  const Tensor seed = RandomTensor({8, 3}, 9);
  GraphModule exact(graph), rounded(graph);
  rounded.SetBf16(true);
  EXPECT_EQ(exact.Evaluate(feeds).at(0), rounded.Evaluate(feeds).at(0));
  for (GraphModule* m : {&exact, &rounded}) m->SetTraining(true);
  Tensor y, y16;
  const auto expected = exact.Gradients(feeds, "logits", seed, &y);
  const auto got = rounded.Gradients(feeds, "logits", seed, &y16);
  EXPECT_EQ(y16.dtype(), DType::kF32);
  EXPECT_GT(LargestDifference(y, y16), 0);
  EXPECT_LT(LargestDifference(y, y16), 0.03);
  for (const auto& [name, gradient] : expected) {
    if (name == "c.bias" || name == "f.bias") continue;  // zero up to rounding (batch norm); a plain sum
    // As a whole: a single element may lie on the other side of the ReLU's corner.
    const std::vector<double> a = gradient.ToVector<double>(), b = got.at(name).ToVector<double>();
    double error = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      error += (a[i] - b[i]) * (a[i] - b[i]);
      size += a[i] * a[i];
    }
    EXPECT_LT(std::sqrt(error), 0.03 * std::sqrt(size)) << name;
    EXPECT_GT(error, 0) << name;
  }
}

TEST(Bf16, LearnsAndRefusesQuantizedNetworks) {
  TrainerOptions o = SmallOptions("adam");
  o.schedule.learning_rate = 0.05;
  o.steps_per_epoch = 20;
  o.bf16 = true;
  GraphModule module(MakeGraph(kFloatNetwork));
  Trainer trainer(module, SoftmaxCrossEntropy(0.05), o);
  EpochResult last;
  for (int epoch = 0; epoch < 4; ++epoch) last = trainer.TrainEpoch(EpochOf(epoch, 20));
  EXPECT_GT(last.metrics.at("accuracy"), 0.9);
  EXPECT_EQ(trainer.CurrentGraph().value(trainer.CurrentGraph().Find("c.weight")).constant.dtype(), DType::kF32);
  GraphModule quantized(MakeGraph(kNetwork));
  EXPECT_NE(MessageOf([&] { Trainer(quantized, SoftmaxCrossEntropy(0), o); }).find("train QAT in FP32"),
            std::string::npos);
}

}  // namespace
}  // namespace octet::train
