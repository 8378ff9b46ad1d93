// Losses and what is counted beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace at {
class Tensor;
}

namespace octet::train {

// What a training step optimises: reads some values of the graph and the batch's targets.
struct Loss {
  std::vector<std::string> outputs;  // names of the graph's values that `compute` gets, in this order
  // Returns a scalar tensor, the mean over the batch. `metrics` receives sums over the batch ("correct"), which the
  // trainer divides by the number of images.
  std::function<at::Tensor(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& targets,
                           std::map<std::string, double>& metrics)>
      compute;
};

// Mean over the batch of -sum_k t_k log softmax(logits)_k with t = target * (1 - smoothing) + smoothing / K.
// targets[0]: class indices s64 [N], or probabilities f32 [N,K] (mixup). Metric "accuracy": arg max of the logits is
// the (largest) target.
Loss SoftmaxCrossEntropy(double label_smoothing, const std::string& logits = "logits");

}  // namespace octet::train
