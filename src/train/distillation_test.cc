// Distances from a teacher against values computed in plain Python, and what they do to a training.
#include "train/distillation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "base/error.h"
#include "train/test_training.h"

namespace octet::train {
namespace {

at::Tensor Floats(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::tensor(values, at::TensorOptions(at::kFloat)).reshape(shape);
}

double Compute(const Loss& loss, const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& targets,
               std::map<std::string, double>* metrics = nullptr) {
  std::map<std::string, double> own;
  return loss.compute(outputs, targets, metrics == nullptr ? own : *metrics).item<double>();
}

TEST(Distillation, OfAClassifier) {
  const at::Tensor z = Floats({1.0f, -0.5f, 0.25f, 0.0f, 2.0f, -1.0f}, {2, 3});
  const at::Tensor taught = Floats({0.5f, 0.5f, -1.0f, 0.3f, 1.0f, 0.2f}, {2, 3});
  const at::Tensor label = at::tensor({2, 1}, at::kLong);
  const std::map<double, double> expected = {
      {1.0, 0.3361869511328228}, {2.0, 0.39834287195034335}, {4.0, 0.41668415057875074}};
  for (const auto& [temperature, distance] : expected) {
    const Loss loss = DistillClassifier(SoftmaxCrossEntropy(0), nullptr, "logits", {0.25, temperature});
    EXPECT_EQ(loss.teacher_outputs, std::vector<std::string>{"logits"});
    std::map<std::string, double> metrics;
    EXPECT_NEAR(Compute(loss, {z}, {label, taught}, &metrics), 0.75 * 0.7239108817057978 + 0.25 * distance, 1e-6);
    EXPECT_NEAR(metrics["distance"], 2 * distance, 2e-6);  // a sum over two images
    EXPECT_EQ(metrics["accuracy"], 1);
    EXPECT_NEAR(Compute(loss, {taught}, {label, taught}), 0.75 * Compute(SoftmaxCrossEntropy(0), {taught}, {label}),
                1e-6);
  }
}

TEST(Distillation, OfADetector) {
  const std::vector<at::Tensor> outputs = {
      Floats({-2.0f, 0.5f, 1.5f, -1.0f, -4.6f, -4.6f}, {1, 3, 2}),
      Floats({0.1f, -0.2f, 0.3f, 0.05f, 9, 9, 9, 9, 0, 0.5f, -0.25f, 0.6f}, {1, 3, 4})};
  const std::vector<at::Tensor> taught = {
      Floats({-1.0f, 0.0f, 2.5f, -3.0f, -5.0f, -4.0f}, {1, 3, 2}),
      Floats({0.15f, -0.1f, 0, 0.04f, 9, 9.02f, 8.5f, 9, 0.3f, 0.45f, -0.2f, -0.1f}, {1, 3, 4})};
  const at::Tensor classes = at::tensor({1, -1, 0}, at::kLong).reshape({1, 3});
  const at::Tensor codes = at::zeros({1, 3, 4});
  const Loss task = DetectionLoss({});
  const double own = Compute(task, outputs, {classes, codes});
  const Loss loss = DistillDetector(task, nullptr, {}, {0.5});
  EXPECT_NEAR(Compute(loss, outputs, {classes, codes, taught[0], taught[1]}), 0.5 * own + 0.5 * 0.438895825894827,
              1e-6);
  const Loss only = DistillDetector(task, nullptr, {}, {1.0});
  EXPECT_NEAR(Compute(only, taught, {classes, codes, taught[0], taught[1]}), 0, 1e-6);
  EXPECT_NEAR(Compute(only, outputs, {classes, codes, taught[0], taught[1]}), 0.438895825894827, 1e-6);
}

// With nothing but the teacher's outputs to learn from, a network whose weights were drawn anew comes near them, and
// the teacher stays what it was.
TEST(Distillation, TheNetworkLearnsTheTeachersOutputs) {
  const auto teacher = std::make_shared<GraphModule>(MakeGraph(kNetwork, 3));
  const ir::Graph before = teacher->WriteBack();
  GraphModule module(MakeGraph(kNetwork, 50));
  TrainerOptions options = SmallOptions("sgd");
  options.optimizer.weight_decay = 0;
  options.schedule.scheduler = "constant";
  options.schedule.learning_rate = 0.3;
  Trainer trainer(module, DistillClassifier(SoftmaxCrossEntropy(0), teacher, "logits", {1.0, 2.0}), options);
  std::vector<double> distance;
  for (int epoch = 0; epoch < 4; ++epoch) distance.push_back(trainer.TrainEpoch(EpochOf(0, 10)).metrics.at("distance"));
  EXPECT_LT(distance[3], 0.2 * distance[0]) << distance[0] << " " << distance[1] << " " << distance[2];
  EXPECT_EQ(teacher->WriteBack(), before);
  EXPECT_FALSE(teacher->training());
}

TEST(Distillation, BadNumbersAreTheUsersFault) {
  EXPECT_THROW(DistillClassifier(SoftmaxCrossEntropy(0), nullptr, "logits", {1.5, 2}), Error);
  EXPECT_THROW(DistillClassifier(SoftmaxCrossEntropy(0), nullptr, "logits", {0.5, 0}), Error);
}

}  // namespace
}  // namespace octet::train
