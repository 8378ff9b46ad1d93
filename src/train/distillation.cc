#include "train/distillation.h"

#include <torch/torch.h>

#include "base/error.h"

namespace octet::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// The last of `targets` are the teacher's outputs; the task's loss sees the others.
Loss Distill(const Loss& task, std::shared_ptr<GraphModule> teacher, std::vector<std::string> outputs, double weight,
             std::function<at::Tensor(const Tensors& outputs, const Tensors& taught)> distance) {
  OCTET_REQUIRE(weight > 0 && weight <= 1, "the weight of distillation is {}; expected a number in (0, 1]", weight);
  Loss loss = task;
  loss.teacher = std::move(teacher);
  loss.teacher_outputs = std::move(outputs);
  const size_t taught = loss.teacher_outputs.size();
  loss.compute = [compute = task.compute, distance = std::move(distance), weight, taught](
                     const Tensors& outputs, const Tensors& targets, std::map<std::string, double>& metrics) {
    OCTET_CHECK(targets.size() > taught, "{} targets, {} of them the teacher's", targets.size(), taught);
    const auto split = targets.end() - static_cast<std::ptrdiff_t>(taught);
    const at::Tensor far = distance(outputs, {split, targets.end()});
    metrics["distance"] += far.item<double>() * static_cast<double>(outputs[0].size(0));
    return compute(outputs, {targets.begin(), split}, metrics) * (1 - weight) + far * weight;
  };
  return loss;
}

}  // namespace

Loss DistillClassifier(const Loss& task, std::shared_ptr<GraphModule> teacher, const std::string& logits,
                       const DistillationOptions& options) {
  const double t = options.temperature;
  OCTET_REQUIRE(t > 0, "the temperature of distillation is {}; expected a number > 0", t);
  return Distill(task, std::move(teacher), {logits}, options.weight,
                 [t](const Tensors& outputs, const Tensors& taught) {
                   const at::Tensor log_q = at::log_softmax(outputs[0].flatten(1) / t, 1);
                   const at::Tensor log_p = at::log_softmax(taught[0].flatten(1) / t, 1);
                   return (log_p.exp() * (log_p - log_q)).sum(1).mean() * (t * t);
                 });
}

Loss DistillDetector(const Loss& task, std::shared_ptr<GraphModule> teacher, const DetectionLossOptions& detection,
                     const DistillationOptions& options) {
  const double delta = detection.delta, box_weight = detection.box_loss_weight;
  return Distill(task, std::move(teacher), {"class_logits", "box_codes"}, options.weight,
                 [delta, box_weight](const Tensors& outputs, const Tensors& taught) {
                   const at::Tensor p = at::sigmoid(taught[0]);
                   const at::Tensor sure = std::get<0>(p.max(2));
                   const double n = 1 + sure.sum().item<double>();
                   // BCE(z, p) - BCE(z_teacher, p), with BCE(z, p) = softplus(z) - z p.
                   const at::Tensor kl =
                       at::softplus(outputs[0]) - at::softplus(taught[0]) - (outputs[0] - taught[0]) * p;
                   const at::Tensor e = (outputs[1] - taught[1]).abs();
                   const at::Tensor huber = at::where(e <= delta, 0.5 * e * e, delta * e - 0.5 * delta * delta).sum(2);
                   return kl.sum() / n + (huber * sure).sum() * (box_weight / (4 * n));
                 });
}

}  // namespace octet::train
