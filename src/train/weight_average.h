// Exponential moving average of a GraphModule's weights: parameters, and running statistics of batch normalization.
// After step t (from 1):  a <- d a + (1 - d) w  with  d = min(decay, (1 + t) / (10 + t)), as TensorFlow's
// ExponentialMovingAverage(decay, num_updates) does, so that a short training is not held back by its start.
// Scales of quantizers are no weights: activations have moving averages of their own, scales of weights follow from the
// averaged weights when the graph is written.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "train/graph_module.h"

namespace octet::train {

class WeightAverage {
 public:
  // Starts from the module's current weights. `module` must outlive this. Throws a user Error when decay is not in
  // (0, 1).
  WeightAverage(GraphModule& module, double decay);
  ~WeightAverage();

  void Update(int64_t step);
  // The module's graph with the averages in place of the weights.
  ir::Graph WriteBack() const;

  // "raw/<name>" f32: the weights that training goes on with, since a saved graph holds the averages.
  std::map<std::string, Tensor> State() const;
  // For a module made from a graph that WriteBack gave: its weights become the averages, then the state's weights take
  // their place. Throws a user Error when an entry is missing or does not fit.
  void LoadState(const std::map<std::string, Tensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The state was saved by a training with an average.
bool HasWeightAverage(const std::map<std::string, Tensor>& state);

}  // namespace octet::train
