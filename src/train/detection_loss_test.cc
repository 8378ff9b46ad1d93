// The detection losses against values computed elsewhere (plain Python for focal and Huber, torchvision's box losses in
// double precision), and against differences for their gradients.
#include "train/detection_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "base/error.h"

namespace octet::train {
namespace {

struct Case {
  std::vector<at::Tensor> outputs, targets;
};

Case Example() {
  const auto f = at::TensorOptions(at::kFloat);
  Case c;
  c.outputs = {at::tensor({-2.0, 0.5, 1.5, -1.0, -4.6, -4.6}, f).reshape({1, 3, 2}),
               at::tensor({0.1, -0.2, 0.3, 0.05, 9., 9., 9., 9., 0.0, 0.5, -0.25, 0.6}, f).reshape({1, 3, 4})};
  c.targets = {at::tensor({1, -1, 0}, at::kLong).reshape({1, 3}),
               at::tensor({0.15, -0.1, 0.0, 0.04, 0., 0., 0., 0., 0.3, 0.45, -0.2, -0.1}, f).reshape({1, 3, 4})};
  return c;
}

const Tensor& Anchors() {
  static const Tensor anchors = Tensor::From<float>({3, 4}, {16, 16, 32, 32, 48, 16, 32, 32, 40, 24, 20, 60});
  return anchors;
}

std::map<std::string, double> MetricsOf(const DetectionLossOptions& o, double* total = nullptr) {
  Case c = Example();
  std::map<std::string, double> metrics;
  const at::Tensor loss = DetectionLoss(o).compute(c.outputs, c.targets, metrics);
  if (total != nullptr) *total = loss.item<double>();
  return metrics;
}

TEST(DetectionLoss, FocalAndHuber) {
  double total = 0;
  std::map<std::string, double> m = MetricsOf({}, &total);
  EXPECT_NEAR(m["class_loss"], 0.7142843855285216, 1e-6);
  EXPECT_NEAR(m["box_loss"], 0.008233333333333332, 1e-8);
  EXPECT_NEAR(total, 0.7142843855285216 + 50 * 0.008233333333333332, 1e-6);
  DetectionLossOptions smooth;
  smooth.label_smoothing = 0.1;
  EXPECT_NEAR(MetricsOf(smooth)["class_loss"], 0.6848548560598258, 1e-6);
}

TEST(DetectionLoss, IouFamily) {
  const std::map<std::string, double> expected = {{"iou", 0.09257774665177289},
                                                  {"giou", 0.10658015946110677},
                                                  {"diou", 0.09321152072763315},
                                                  {"ciou", 0.09323640357393707}};
  for (const auto& [type, value] : expected) {
    DetectionLossOptions o;
    o.iou_loss_type = type;
    o.iou_loss_weight = 2;
    o.anchors = Anchors();
    double total = 0;
    EXPECT_NEAR(MetricsOf(o, &total)["iou_loss"], value, 1e-6) << type;
    EXPECT_NEAR(total, 0.7142843855285216 + 50 * 0.008233333333333332 + 2 * value, 3e-6) << type;
  }
  DetectionLossOptions bad;
  bad.iou_loss_type = "eiou";
  EXPECT_THROW(DetectionLoss(bad), Error);
}

TEST(DetectionLoss, GradientsAreTheDifferences) {
  for (const char* type : {"", "iou", "giou", "diou"}) {
    DetectionLossOptions o;
    o.iou_loss_type = type;
    o.anchors = Anchors();
    const Loss loss = DetectionLoss(o);
    Case c = Example();
    for (at::Tensor& t : c.outputs) t = t.to(at::kDouble).set_requires_grad(true);
    c.targets[1] = c.targets[1].to(at::kDouble);
    std::map<std::string, double> metrics;
    loss.compute(c.outputs, c.targets, metrics).backward();
    for (size_t k = 0; k < 2; ++k) {
      const at::Tensor flat = c.outputs[k].detach().flatten();
      const at::Tensor grad = c.outputs[k].grad().flatten();
      for (int64_t i = 0; i < flat.numel(); ++i) {
        const double step = 1e-6;
        double value[2];
        for (int side = 0; side < 2; ++side) {
          std::vector<at::Tensor> moved = {c.outputs[0].detach().clone(), c.outputs[1].detach().clone()};
          moved[k].flatten()[i] += side == 0 ? -step : step;
          value[side] = loss.compute(moved, c.targets, metrics).item<double>();
        }
        EXPECT_NEAR(grad[i].item<double>(), (value[1] - value[0]) / (2 * step), 1e-5) << type << k << ' ' << i;
      }
    }
  }
}

// A batch without any object: every anchor is background, and nothing divides by zero.
TEST(DetectionLoss, NoObjects) {
  Case c = Example();
  c.targets[0].fill_(-1);
  c.targets[1].zero_();
  DetectionLossOptions o;
  o.iou_loss_type = "ciou";
  o.anchors = Anchors();
  for (at::Tensor& t : c.outputs) t.set_requires_grad(true);
  std::map<std::string, double> metrics;
  const at::Tensor loss = DetectionLoss(o).compute(c.outputs, c.targets, metrics);
  loss.backward();
  EXPECT_EQ(metrics["box_loss"], 0);
  EXPECT_EQ(metrics["iou_loss"], 0);
  EXPECT_GT(loss.item<double>(), 0);
  EXPECT_TRUE(at::isfinite(c.outputs[1].grad()).all().item<bool>());
}

}  // namespace
}  // namespace octet::train
