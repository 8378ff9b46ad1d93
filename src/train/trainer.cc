#include "train/trainer.h"

#include <torch/torch.h>

#include <cmath>

#include "base/parallel.h"
#include "base/progress.h"
#include "train/step_profile.h"
#include "train/tensor_bridge.h"
#include "train/weight_average.h"

namespace octet::train {

struct Trainer::Impl {
  GraphModule& module;
  Loss loss;
  TrainerOptions options;
  Schedule schedule;
  Optimizer optimizer;
  std::unique_ptr<WeightAverage> average;
  int64_t epoch = 0;
  int64_t step = 0;
  int64_t step_in_epoch = 0;

  Impl(GraphModule& m, Loss l, const TrainerOptions& o)
      : module(m),
        loss(std::move(l)),
        options(o),
        schedule(o.schedule, o.epochs * o.steps_per_epoch),
        optimizer(m, o.optimizer) {
    if (o.moving_average_decay != 0) average = std::make_unique<WeightAverage>(m, o.moving_average_decay);
  }

  // Depends on the epoch only, so that a resumed run freezes when the whole one did.
  void FreezeStatistics() {
    if (options.freeze_bn_epoch > 0 && epoch >= options.freeze_bn_epoch) module.FreezeBatchNorm(true);
    if (options.freeze_observer_epoch > 0 && epoch >= options.freeze_observer_epoch) module.FreezeObservers(true);
  }
};

Trainer::Trainer(GraphModule& module, Loss loss, TrainerOptions options)
    : impl_(new Impl(module, std::move(loss), options)) {
  OCTET_REQUIRE(options.epochs >= 1, "num_epochs is {}; expected at least 1", options.epochs);
  if (options.bf16) {
    for (const ir::NodeId id : module.graph().Order()) {
      OCTET_REQUIRE(module.graph().node(id).op != "QuantizeLinear",
                    "network '{}' is quantized: bfloat16 would round its operands a second time; train QAT in FP32",
                    module.graph().name());
    }
    module.SetBf16(true);
  }
  module.SetInteger(options.integer);
  at::set_num_threads(options.threads > 0 ? options.threads : HardwareThreads());
}

Trainer::~Trainer() = default;

int64_t Trainer::epoch() const {
  return impl_->epoch;
}
int64_t Trainer::step() const {
  return impl_->step;
}
const Schedule& Trainer::schedule() const {
  return impl_->schedule;
}

StepResult Trainer::Step(const Batch& batch) {
  Impl& t = *impl_;
  StepResult result;
  t.module.SetTraining(true);
  t.FreezeStatistics();
  t.module.SetRandomKey(t.options.seed, t.epoch, t.step_in_epoch);
  std::vector<at::Tensor> inputs, targets;
  for (const Tensor& x : batch.inputs) inputs.push_back(ViewAsTorch(x));
  const at::Device device(t.module.device());
  for (const Tensor& x : batch.targets) targets.push_back(ViewAsTorch(x).to(device));
  if (t.loss.teacher) {
    const StepProfile::Scope profile("teacher");
    const at::NoGradGuard no_grad;
    for (const at::Tensor& x : t.loss.teacher->Forward(inputs, t.loss.teacher_outputs)) targets.push_back(x);
  }
  t.optimizer.ClearGradients();
  at::Tensor loss = t.loss.compute(t.module.Forward(inputs, t.loss.outputs), targets, result.metrics);
  result.loss = loss.item<double>();
  OCTET_REQUIRE(std::isfinite(result.loss),
                "training diverged: the loss is {} in epoch {}, step {}; use a smaller learning rate", result.loss,
                t.epoch + 1, t.step_in_epoch + 1);
  loss.backward();
  result.learning_rate = t.schedule.At(t.step);
  {
    const StepProfile::Scope profile("optimizer");
    t.optimizer.Step(result.learning_rate);
  }
  ++t.step;
  ++t.step_in_epoch;
  if (t.average) t.average->Update(t.step);
  return result;
}

EpochResult Trainer::TrainEpoch(const BatchSource& source, const AfterStep& after_step) {
  Impl& t = *impl_;
  EpochResult result;
  result.epoch = t.epoch;
  const bool by_image = t.options.images_per_epoch > 0;
  Progress progress(fmt::format("epoch {}/{}", t.epoch + 1, t.options.epochs),
                    by_image ? t.options.images_per_epoch : t.options.steps_per_epoch, by_image ? "images" : "steps");
  const auto note = [&] {
    std::string text = fmt::format("loss {:.4f}", result.loss / std::max<int64_t>(1, result.images));
    for (const auto& [name, sum] : result.metrics) {
      text += fmt::format(" {} {:.4f}", name, sum / std::max<int64_t>(1, result.images));
    }
    return text;
  };
  Batch batch;
  while (source(batch)) {
    const StepResult step = Step(batch);
    result.loss += step.loss * static_cast<double>(batch.size);
    result.images += batch.size;
    for (const auto& [name, sum] : step.metrics) result.metrics[name] += sum;
    result.learning_rate = step.learning_rate;
    if (after_step) after_step(step);
    progress.Advance(by_image ? batch.size : 1, note());
  }
  OCTET_REQUIRE(result.images > 0, "epoch {}: there is not a single training image", t.epoch + 1);
  progress.Finish(note());
  result.seconds = progress.seconds();
  const auto count = static_cast<double>(result.images);
  result.loss /= count;
  for (auto& [name, sum] : result.metrics) sum /= count;
  ++t.epoch;
  t.step_in_epoch = 0;
  return result;
}

ir::Graph Trainer::CurrentGraph() const {
  return impl_->average ? impl_->average->WriteBack() : impl_->module.WriteBack();
}

void Trainer::Save(ir::Model& model) const {
  model.graph = CurrentGraph();
  model.state = impl_->module.State();
  if (impl_->average) {
    for (auto& [name, tensor] : impl_->average->State()) model.state[name] = tensor;
  }
  for (auto& [name, tensor] : impl_->optimizer.State()) model.state[name] = tensor;
  model.state["trainer/epoch"] = Tensor::Scalar<int64_t>(impl_->epoch);
  model.state["trainer/step"] = Tensor::Scalar<int64_t>(impl_->step);
  model.state["trainer/step_in_epoch"] = Tensor::Scalar<int64_t>(impl_->step_in_epoch);
}

void Trainer::Restore(const ir::Model& model) {
  const auto number = [&](const char* name) {
    const auto it = model.state.find(name);
    OCTET_REQUIRE(
        it != model.state.end() && it->second.size() == 1,
        "checkpoint: '{}' is missing; this model was saved for deployment, training cannot be resumed from it", name);
    return it->second.ToVector<int64_t>()[0];
  };
  impl_->epoch = number("trainer/epoch");
  impl_->step = number("trainer/step");
  impl_->step_in_epoch = number("trainer/step_in_epoch");
  impl_->module.LoadState(model.state);
  OCTET_REQUIRE(impl_->average || !HasWeightAverage(model.state),
                "checkpoint: it holds a moving average of the weights, but moving_average_decay is 0; set it as in the "
                "training that is resumed, or start a new training from this checkpoint");
  if (impl_->average) impl_->average->LoadState(model.state);
  impl_->optimizer.LoadState(model.state);
}

}  // namespace octet::train
