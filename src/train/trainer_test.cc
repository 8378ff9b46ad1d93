// Schedules, optimizers, loss, the loop, and resuming.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include "train/test_training.h"

namespace octet::train {
namespace {

TEST(Schedule, CosineAsInTao) {
  ScheduleOptions o;
  o.learning_rate = 0.1;
  o.soft_start = 0.1;
  o.min_lr_ratio = 0.01;
  const Schedule s(o, 100);
  EXPECT_DOUBLE_EQ(s.At(0), 0.001);
  EXPECT_NEAR(s.At(5), 0.001 + 0.099 / 2, 1e-12);
  EXPECT_NEAR(s.At(10), 0.1, 1e-12);
  EXPECT_NEAR(s.At(60), 0.001 + 0.099 * 0.5, 1e-12);
  EXPECT_NEAR(s.At(100), 0.001 + 0.099 * (1 + std::cos(3.14159265358979 * 0.9)) / 2, 1e-12);
}

TEST(Schedule, SoftAnnealAndStep) {
  ScheduleOptions o;
  o.scheduler = "soft_anneal";
  o.learning_rate = 0.1;
  o.soft_start = 0.1;
  o.annealing_points = {0.5, 0.8};
  o.annealing_divider = 10;
  const Schedule anneal(o, 100);
  EXPECT_NEAR(anneal.At(0), 3e-4, 1e-12);
  EXPECT_NEAR(anneal.At(49), 0.1, 1e-12);
  EXPECT_NEAR(anneal.At(50), 0.01, 1e-12);
  EXPECT_NEAR(anneal.At(90), 0.001, 1e-12);
  o.scheduler = "step";
  o.gamma = 0.5;
  o.step_size = 10;
  EXPECT_NEAR(Schedule(o, 100).At(25), 0.1 * std::pow(0.5, 2.5), 1e-12);
}

TEST(Schedule, BadNumbersAreTheUsersFault) {
  ScheduleOptions o;
  o.learning_rate = -0.1;
  try {
    Schedule(o, 10);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("learning_rate is -0.1"), std::string::npos) << e.what();
    EXPECT_EQ(e.exit_code(), 1);
  }
  o.learning_rate = 0.1;
  o.scheduler = "linear";
  EXPECT_THROW(Schedule(o, 10), Error);
}

const char kLinear[] = R"(graph "g" {
  input %x: f32[1,2]
  const %f.weight: f32[1,2] = [0.5,-0.25]
  const %f.bias: f32[1] = [0.125]
  %logits: f32[1,1] = Gemm(%x, %f.weight, %f.bias) {transB=1} "f"
  output %logits
})";

// loss = output, so that d(loss)/d(weight) = x and d(loss)/d(bias) = 1.
Loss PlainLoss() {
  Loss loss = SoftmaxCrossEntropy(0);
  return loss;
}

std::vector<float> ParameterAfter(const GraphModule& module, const char* name) {
  const ir::Graph graph = module.WriteBack();
  return graph.value(graph.Find(name)).constant.ToVector<float>();
}

// Two classes from a linear layer: the gradient of the loss is known in closed form, so every optimizer can be
// followed by hand in double.
class Optimizers : public testing::TestWithParam<const char*> {};

TEST_P(Optimizers, FollowTheirFormula) {
  const std::string kind = GetParam();
  const ir::Graph graph = MakeGraph(R"(graph "g" {
  input %x: f32[1,2]
  const %f.weight: f32[2,2] = [0.5,-0.25,0.1,0.3]
  %logits: f32[1,2] = Gemm(%x, %f.weight) {transB=1} "f"
  output %logits
})");
  GraphModule module(graph);
  TrainerOptions o;
  o.optimizer.optimizer = kind;
  o.optimizer.momentum = 0.8;
  o.optimizer.nesterov = true;
  o.optimizer.decay = 0.1;
  o.optimizer.weight_decay = 0.01;
  o.schedule.scheduler = "constant";
  o.schedule.learning_rate = 0.1;
  o.optimizer.epsilon = 1e-3;
  o.threads = 1;
  Trainer trainer(module, PlainLoss(), o);
  const double x[2] = {0.7, -1.3};
  double w[4] = {0.5, -0.25, 0.1, 0.3}, first[4] = {}, second[4] = {};
  for (int step = 0; step < 4; ++step) {
    Batch batch;
    batch.inputs = {Tensor::From<float>({1, 2}, {0.7f, -1.3f})};
    batch.targets = {Tensor::From<int64_t>({1}, {1})};
    batch.size = 1;
    trainer.Step(batch);
    const double z0 = w[0] * x[0] + w[1] * x[1], z1 = w[2] * x[0] + w[3] * x[1];
    const double p0 = 1 / (1 + std::exp(z1 - z0));
    const double dz[2] = {p0, -p0};  // softmax minus one-hot of class 1
    const double lr = 0.1 / (1 + 0.1 * step);
    for (int i = 0; i < 4; ++i) {
      const double g = dz[i / 2] * x[i % 2] + 2 * 0.01 * w[i];
      if (kind == "sgd") {
        first[i] = 0.8 * first[i] - lr * g;
        w[i] += 0.8 * first[i] - lr * g;
      } else if (kind == "adam") {
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.999 * second[i] + 0.001 * g * g;
        const double corrected = lr * std::sqrt(1 - std::pow(0.999, step + 1)) / (1 - std::pow(0.9, step + 1));
        w[i] -= corrected * first[i] / (std::sqrt(second[i]) + 1e-3);
      } else {
        second[i] = 0.9 * second[i] + 0.1 * g * g;
        w[i] -= lr * g / (std::sqrt(second[i]) + 1e-3);
      }
    }
    const std::vector<float> got = ParameterAfter(module, "f.weight");
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(got[i], w[i], 2e-5) << kind << " step " << step << " weight " << i;
  }
}
INSTANTIATE_TEST_SUITE_P(All, Optimizers, testing::Values("sgd", "adam", "rmsprop"));

TEST(Optimizer, RegularisesItsScopeAndLeavesFrozenParameters) {
  const ir::Graph graph = MakeGraph(kLinear);
  GraphModule module(graph);
  OptimizerOptions o;
  o.weight_decay = 0.5;
  o.regularizer = "L1";
  Optimizer optimizer(module, o);
  EXPECT_NEAR(optimizer.RegularizationLoss(), 0.5 * 0.75, 1e-6);
  module.SetTrainable("f.weight", false);
  const auto grads = module.Gradients({{"x", Tensor::From<float>({1, 2}, {1, 1})}}, "logits", RandomTensor({1, 1}, 1));
  EXPECT_EQ(grads.count("f.weight"), 0u);
  EXPECT_EQ(grads.count("f.bias"), 1u);
  EXPECT_THROW(module.SetTrainable("f.wieght", false), Error);
  o.optimizer = "sdg";
  EXPECT_THROW(Optimizer(module, o), Error);
}

class Resume : public testing::TestWithParam<const char*> {};

TEST_P(Resume, EndsWithTheSameBitsAsAnUninterruptedRun) {
  const ir::Graph graph = MakeGraph(kNetwork);
  const TrainerOptions options = SmallOptions(GetParam());
  GraphModule whole(graph);
  Trainer trainer(whole, SoftmaxCrossEntropy(0.1), options);
  ir::Model middle, end;
  for (int epoch = 0; epoch < 4; ++epoch) {
    const EpochResult result = trainer.TrainEpoch(EpochOf(epoch, 10));
    EXPECT_EQ(result.epoch, epoch);
    EXPECT_EQ(result.images, 80);
    if (epoch == 1) trainer.Save(middle);
  }
  trainer.Save(end);

  // Through the file format, into new objects.
  const ir::Model loaded = ir::DeserializeModel(ir::SerializeModel(middle), "memory");
  GraphModule resumed(loaded.graph);
  Trainer second(resumed, SoftmaxCrossEntropy(0.1), options);
  second.Restore(loaded);
  EXPECT_EQ(second.epoch(), 2);
  EXPECT_EQ(second.step(), 20);
  while (second.epoch() < 4) second.TrainEpoch(EpochOf(second.epoch(), 10));
  ir::Model again;
  second.Save(again);
  EXPECT_EQ(again.graph, end.graph);
  EXPECT_EQ(again.state, end.state);
}
INSTANTIATE_TEST_SUITE_P(All, Resume, testing::Values("sgd", "adam"));

TEST(Trainer, LearnsWithQuantization) {
  GraphModule module(MakeGraph(kNetwork));
  TrainerOptions options = SmallOptions("adam");
  options.schedule.learning_rate = 0.05;
  options.steps_per_epoch = 20;
  Trainer trainer(module, SoftmaxCrossEntropy(0.05), options);
  const EpochResult first = trainer.TrainEpoch(EpochOf(0, 20));
  EpochResult last;
  for (int epoch = 1; epoch < 4; ++epoch) last = trainer.TrainEpoch(EpochOf(epoch, 20));
  EXPECT_LT(last.loss, first.loss);
  EXPECT_GT(last.metrics.at("accuracy"), 0.9);
}

TEST(Trainer, DivergenceAndForeignCheckpointsAreReported) {
  GraphModule module(MakeGraph(kNetwork));
  Trainer trainer(module, SoftmaxCrossEntropy(0), SmallOptions("sgd"));
  Batch bad = MakeBatch(1);
  bad.inputs[0].mutable_data<float>()[0] = std::nanf("");
  try {
    trainer.Step(bad);
    trainer.Step(bad);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("smaller learning rate"), std::string::npos) << e.what();
  }
  ir::Model deployed;
  EXPECT_THROW(trainer.Restore(deployed), Error);
}

TEST(Loss, SmoothedAndSoftTargets) {
  const ir::Graph graph = MakeGraph(
      "graph \"g\" {\n input %x: f32[2,2]\n const %w: f32[2,3] = [1,0,0,0,1,0]\n"
      " %logits: f32[2,3] = MatMul(%x, %w) \"m\"\n output %logits\n}");
  GraphModule module(graph);
  TrainerOptions o;
  o.schedule.scheduler = "constant";
  Batch batch;
  batch.inputs = {Tensor::From<float>({2, 2}, {1, 2, 0, 3})};
  batch.targets = {Tensor::From<int64_t>({2}, {1, 0})};
  batch.size = 2;
  const auto log_p = [](double a, double b, double c) {
    const double sum = std::log(std::exp(a) + std::exp(b) + std::exp(c));
    return std::vector<double>{a - sum, b - sum, c - sum};
  };
  const auto p = log_p(1, 2, 0), q = log_p(0, 3, 0);
  const double mean = (p[0] + p[1] + p[2] + q[0] + q[1] + q[2]) / 3;
  const double expected = -(0.9 * (p[1] + q[0]) + 0.1 * mean) / 2;
  {
    Trainer trainer(module, SoftmaxCrossEntropy(0.1), o);
    const StepResult r = trainer.Step(batch);
    EXPECT_NEAR(r.loss, expected, 1e-6);
    EXPECT_EQ(r.metrics.at("accuracy"), 1);
  }
  GraphModule again(graph);
  Trainer trainer(again, SoftmaxCrossEntropy(0.1), o);
  batch.targets = {Tensor::From<float>({2, 3}, {0, 1, 0, 1, 0, 0})};
  EXPECT_NEAR(trainer.Step(batch).loss, expected, 1e-6);
}

}  // namespace
}  // namespace octet::train
