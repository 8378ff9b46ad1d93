#include "train/optimizer.h"

#include <torch/torch.h>

#include <cmath>

#include "base/strings.h"
#include "train/kernels/optimizer_cpu.h"
#include "train/kernels/parallel.h"
#include "train/tensor_bridge.h"

namespace octet::train {
namespace {

constexpr int64_t kGrain = 1 << 15;
constexpr char kPrefix[] = "optimizer/";

// The moments each optimizer keeps, by name.
std::vector<std::string> MomentNames(const std::string& optimizer) {
  if (optimizer == "sgd") return {"velocity"};
  if (optimizer == "adam") return {"m", "v"};
  return {"v"};
}

bool SameMemoryOrder(const at::Tensor& a, const at::Tensor& b) {
  for (int64_t i = 0; i < a.dim(); ++i) {
    if (a.size(i) > 1 && a.stride(i) != b.stride(i)) return false;
  }
  return true;
}

}  // namespace

struct Optimizer::Impl {
  GraphModule& module;
  OptimizerOptions options;
  int64_t steps = 0;
  std::vector<bool> regularized;                 // by parameter
  std::vector<std::vector<at::Tensor>> moments;  // by parameter; the parameter's memory order

  Impl(GraphModule& m, OptimizerOptions o) : module(m), options(std::move(o)) {}
  void Clip() const;
  UpdateTerms Terms(double learning_rate, bool with_regularizer) const;
  void Update(const UpdateTerms& terms, at::Tensor& w, const at::Tensor& g, std::vector<at::Tensor>& moments) const;
};

void Optimizer::Impl::Clip() const {
  double sum = 0;
  std::vector<at::Tensor> gradients;
  for (const Parameter& p : module.parameters()) {
    at::Tensor g = module.ParameterTensor(p.name).grad();
    if (!p.trainable || !g.defined()) continue;
    const double norm = g.norm().item<double>();
    if (norm > options.clip_norm) g.mul_(options.clip_norm / norm);
    const double clipped = std::min(norm, options.clip_norm);
    sum += clipped * clipped;
    gradients.push_back(g);
  }
  const double all = std::sqrt(sum);
  if (all <= options.clip_norm) return;
  for (at::Tensor& g : gradients) g.mul_(options.clip_norm / all);
}

UpdateTerms Optimizer::Impl::Terms(double learning_rate, bool with_regularizer) const {
  UpdateTerms t;
  const double count = static_cast<double>(steps);  // of steps before this one
  double lr = learning_rate / (1.0 + options.decay * count);
  if (options.optimizer == "adam") {
    lr *= std::sqrt(1 - std::pow(options.beta_2, count + 1)) / (1 - std::pow(options.beta_1, count + 1));
  }
  t.learning_rate = static_cast<float>(lr);
  if (with_regularizer && options.regularizer == "L2") t.l2 = static_cast<float>(2 * options.weight_decay);
  if (with_regularizer && options.regularizer == "L1") t.l1 = static_cast<float>(options.weight_decay);
  t.momentum = static_cast<float>(options.momentum);
  t.nesterov = options.nesterov;
  t.beta_1 = static_cast<float>(options.beta_1);
  t.beta_2 = static_cast<float>(options.optimizer == "rmsprop" ? options.rho : options.beta_2);
  t.epsilon = static_cast<float>(options.epsilon);
  return t;
}

void Optimizer::Impl::Update(const UpdateTerms& t, at::Tensor& w, const at::Tensor& g,
                             std::vector<at::Tensor>& moments) const {
  const bool sgd = options.optimizer == "sgd";
  const bool adam = options.optimizer == "adam";
  if (w.device().is_cpu() && w.scalar_type() == at::kFloat) {
    const at::Tensor grad = SameMemoryOrder(w, g) ? g : at::empty_like(w).copy_(g);
    const float* gp = grad.data_ptr<float>();
    float* wp = w.data_ptr<float>();
    float* first = moments[0].data_ptr<float>();
    float* second = adam ? moments[1].data_ptr<float>() : nullptr;
    ForEachPiece(w.numel(), kGrain, [&](int64_t b, int64_t e) {
      if (sgd) {
        SgdRange(t, gp + b, e - b, wp + b, first + b);
      } else if (adam) {
        AdamRange(t, gp + b, e - b, wp + b, first + b, second + b);
      } else {
        RmsPropRange(t, gp + b, e - b, wp + b, first + b);
      }
    });
    return;
  }
  at::Tensor grad = g;
  if (t.l2 != 0) grad = grad + w * t.l2;
  if (t.l1 != 0) grad = grad + w.sign() * t.l1;
  if (sgd) {
    moments[0].mul_(t.momentum).sub_(grad, t.learning_rate);
    if (t.nesterov) {
      w.add_(moments[0], t.momentum).sub_(grad, t.learning_rate);
    } else {
      w.add_(moments[0]);
    }
  } else if (adam) {
    moments[0].mul_(t.beta_1).add_(grad, 1.0f - t.beta_1);
    moments[1].mul_(t.beta_2).addcmul_(grad, grad, 1.0f - t.beta_2);
    w.addcdiv_(moments[0], moments[1].sqrt().add_(t.epsilon), -t.learning_rate);
  } else {
    moments[0].mul_(t.beta_2).addcmul_(grad, grad, 1.0f - t.beta_2);
    w.addcdiv_(grad, moments[0].sqrt().add_(t.epsilon), -t.learning_rate);
  }
}

Optimizer::Optimizer(GraphModule& module, OptimizerOptions options) : impl_(new Impl(module, std::move(options))) {
  const OptimizerOptions& o = impl_->options;
  OCTET_REQUIRE(o.optimizer == "sgd" || o.optimizer == "adam" || o.optimizer == "rmsprop",
                "optim_config.optimizer '{}'; expected sgd, adam or rmsprop", o.optimizer);
  OCTET_REQUIRE(o.regularizer == "L2" || o.regularizer == "L1" || o.regularizer == "None",
                "reg_config.type '{}'; expected L2, L1 or None", o.regularizer);
  OCTET_REQUIRE(o.weight_decay >= 0 && o.weight_decay < 1, "reg_config.weight_decay is {}; expected 0 to 1",
                o.weight_decay);
  OCTET_REQUIRE(o.momentum >= 0 && o.momentum < 1, "optim_config.momentum is {}; expected a number in [0, 1)",
                o.momentum);
  for (const std::string& s : o.scope) {
    OCTET_REQUIRE(s == "conv2d" || s == "depthwise" || s == "dense",
                  "reg_config.scope '{}'; expected conv2d, depthwise or dense", s);
  }
  for (const Parameter& p : module.parameters()) {
    impl_->regularized.push_back(std::find(o.scope.begin(), o.scope.end(), p.scope) != o.scope.end());
    std::vector<at::Tensor> moments;
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < MomentNames(o.optimizer).size(); ++i) {
      moments.push_back(at::zeros_like(module.ParameterTensor(p.name)));
    }
    impl_->moments.push_back(std::move(moments));
  }
}

Optimizer::~Optimizer() = default;

int64_t Optimizer::steps() const {
  return impl_->steps;
}

void Optimizer::ClearGradients() {
  for (const Parameter& p : impl_->module.parameters()) {
    impl_->module.ParameterTensor(p.name).mutable_grad().reset();
  }
}

void Optimizer::Step(double learning_rate) {
  const at::NoGradGuard no_grad;
  if (impl_->options.clip_norm > 0) impl_->Clip();
  const std::vector<Parameter>& parameters = impl_->module.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].trainable) continue;
    at::Tensor& w = impl_->module.ParameterTensor(parameters[i].name);
    const at::Tensor g = w.grad();
    if (!g.defined()) continue;
    impl_->Update(impl_->Terms(learning_rate, impl_->regularized[i]), w, g, impl_->moments[i]);
  }
  ++impl_->steps;
}

double Optimizer::RegularizationLoss() const {
  const at::NoGradGuard no_grad;
  double loss = 0;
  if (impl_->options.regularizer == "None" || impl_->options.weight_decay == 0) return 0;
  const std::vector<Parameter>& parameters = impl_->module.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!impl_->regularized[i]) continue;
    const at::Tensor w = impl_->module.ParameterTensor(parameters[i].name);
    loss += (impl_->options.regularizer == "L2" ? w.square().sum() : w.abs().sum()).item<double>();
  }
  return loss * impl_->options.weight_decay;
}

std::map<std::string, Tensor> Optimizer::State() const {
  std::map<std::string, Tensor> state;
  state[std::string(kPrefix) + "steps"] = Tensor::Scalar<int64_t>(impl_->steps);
  const std::vector<std::string> names = MomentNames(impl_->options.optimizer);
  const std::vector<Parameter>& parameters = impl_->module.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (size_t k = 0; k < names.size(); ++k) {
      state[kPrefix + parameters[i].name + "/" + names[k]] = CopyToTensor(impl_->moments[i][k]);
    }
  }
  return state;
}

void Optimizer::LoadState(const std::map<std::string, Tensor>& state) {
  const at::NoGradGuard no_grad;
  const auto find = [&](const std::string& key) -> const Tensor& {
    const auto it = state.find(kPrefix + key);
    OCTET_REQUIRE(
        it != state.end(),
        "checkpoint: '{}{}' is missing; it was written by another optimizer or network. Start a new training, "
        "or set the optimizer that wrote it",
        kPrefix, key);
    return it->second;
  };
  impl_->steps = find("steps").ToVector<int64_t>().at(0);
  const std::vector<std::string> names = MomentNames(impl_->options.optimizer);
  const std::vector<Parameter>& parameters = impl_->module.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (size_t k = 0; k < names.size(); ++k) {
      const Tensor& saved = find(parameters[i].name + "/" + names[k]);
      at::Tensor& moment = impl_->moments[i][k];
      OCTET_REQUIRE(saved.shape() == moment.sizes().vec(),
                    "checkpoint: optimizer state of '{}' has shape {}; expected {}", parameters[i].name,
                    ToString(saved.shape()), ToString(moment.sizes().vec()));
      moment.copy_(ViewAsTorch(saved));
    }
  }
}

}  // namespace octet::train
