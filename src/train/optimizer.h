// Updates of a GraphModule's trainable parameters. Formulas are those of TAO's Keras optimizers; g is the gradient with
// the regulariser's (L2: 2 * weight_decay * w, L1: weight_decay * sign(w)), lr the schedule's value / (1 + decay * t):
//   sgd      v <- momentum v - lr g;  w <- w + v;  nesterov: w <- w + momentum v - lr g
//   adam     m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  w <- w - lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + epsilon)
//   rmsprop  v <- rho v + (1-rho) g^2;  w <- w - lr g / (sqrt(v) + epsilon)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/graph_module.h"

namespace octet::train {

struct OptimizerOptions {
  std::string optimizer = "sgd";
  double momentum = 0.9;
  bool nesterov = true;
  double decay = 0;  // per step, on top of the schedule
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double rho = 0.9;
  double epsilon = 1e-7;
  std::string regularizer = "L2";                        // L2, L1, None
  std::vector<std::string> scope = {"conv2d", "dense"};  // of Parameter::scope
  double weight_decay = 0;
  // > 0: each gradient is scaled down to at most this norm, then all of them together (without the regulariser's).
  double clip_norm = 0;
};

class Optimizer {
 public:
  // `module` must outlive this. Throws a user Error on an unknown optimizer, regularizer or scope, or a bad number.
  Optimizer(GraphModule& module, OptimizerOptions options);
  ~Optimizer();

  void ClearGradients();
  // Uses the gradients that backward() left in the parameters; a parameter without one, or frozen, stays.
  void Step(double learning_rate);
  int64_t steps() const;
  // sum of weight_decay * w^2 (or |w|) over the regularised parameters.
  double RegularizationLoss() const;

  // "optimizer/steps" s64, "optimizer/<parameter>/<moment>" f32 in the parameter's shape.
  std::map<std::string, Tensor> State() const;
  // Entries under other names are left alone. A user Error when a moment does not fit its parameter.
  void LoadState(const std::map<std::string, Tensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::train
