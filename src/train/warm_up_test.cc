// Schedules with warm-up and gradient clipping, as TAO's efficientdet_tf2 defines them.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/test_graphs.h"

namespace octet::train {
namespace {

ScheduleOptions Options(const char* scheduler) {
  ScheduleOptions o;
  o.scheduler = scheduler;
  o.learning_rate = 0.2;
  o.warmup_steps = 10;
  o.warmup_init = 0.002;
  return o;
}

TEST(WarmUp, Cosine) {
  const Schedule s(Options("warmup_cosine"), 110);
  EXPECT_DOUBLE_EQ(s.At(0), 0.002);
  EXPECT_NEAR(s.At(5), 0.101, 1e-12);
  EXPECT_DOUBLE_EQ(s.At(10), 0.2);
  EXPECT_NEAR(s.At(60), 0.1, 1e-12);
  EXPECT_NEAR(s.At(110), 0, 1e-12);
}

TEST(WarmUp, SoftAnneal) {
  ScheduleOptions o = Options("warmup_soft_anneal");
  o.annealing_start = 0.5;
  const Schedule s(o, 100);
  EXPECT_NEAR(s.At(5), 0.02, 1e-12);  // half of two decades
  EXPECT_DOUBLE_EQ(s.At(30), 0.2);
  EXPECT_NEAR(s.At(75), 0.02, 1e-12);
  EXPECT_NEAR(s.At(100), 0.002, 1e-12);
  o.annealing_start = 1;
  EXPECT_DOUBLE_EQ(Schedule(o, 100).At(99), 0.2);
}

const char kLinear[] = R"(graph "g" {
  input %x: f32[1,2]
  const %f.weight: f32[1,2] = [0.5,-0.25]
  const %f.bias: f32[1] = [0.125]
  %y: f32[1,1] = Gemm(%x, %f.weight, %f.bias) {transB=1} "f"
  output %y
})";

TEST(ClipNorm, EachTensorThenAllOfThem) {
  GraphModule module(MakeGraph(kLinear));
  OptimizerOptions o;
  o.momentum = 0;
  o.nesterov = false;
  o.clip_norm = 2;
  Optimizer optimizer(module, o);
  std::vector<at::Tensor> before;
  size_t k = 0;
  for (const Parameter& p : module.parameters()) {
    at::Tensor& w = module.ParameterTensor(p.name);
    before.push_back(w.detach().clone());
    // The first gradient has norm 6, the second 1.5.
    const double norm = k == 0 ? 6 : 1.5;
    w.mutable_grad() = at::full_like(w, norm / std::sqrt(static_cast<double>(w.numel())));
    ++k;
  }
  optimizer.Step(1.0);
  ASSERT_EQ(before.size(), 2u);
  std::vector<double> moved;
  for (size_t i = 0; i < before.size(); ++i) {
    moved.push_back((module.ParameterTensor(module.parameters()[i].name).detach() - before[i]).norm().item<double>());
  }
  // 6 -> 2, 1.5 stays; together 2.5 -> 2.
  EXPECT_NEAR(moved[0], 2 * 2 / 2.5, 1e-5);
  EXPECT_NEAR(moved[1], 1.5 * 2 / 2.5, 1e-5);
}

}  // namespace
}  // namespace octet::train
