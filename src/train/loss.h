// Losses and what is counted beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace at {
class Tensor;
}

namespace octet::train {

class GraphModule;

// What a training step optimises: reads some values of the graph and the batch's targets.
struct Loss {
  std::vector<std::string> outputs;  // names of the graph's values that `compute` gets, in this order
  // Returns a scalar tensor, the mean over the batch. `metrics` receives sums over the batch ("correct"), which the
  // trainer divides by the number of images.
  std::function<at::Tensor(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& targets,
                           std::map<std::string, double>& metrics)>
      compute;
  // Distillation (distillation.h): a network that runs in evaluation mode on the images of each step, on the trained
  // network's device; its values of these names are appended to `targets`. Null: none.
  std::shared_ptr<GraphModule> teacher;
  std::vector<std::string> teacher_outputs;
};

// Mean over the batch of -sum_k t_k log softmax(logits)_k with t = target * (1 - smoothing) + smoothing / K.
// targets[0]: class indices s64 [N], or probabilities f32 [N,K] (mixup). Metric "accuracy": arg max of the logits is
// the (largest) target.
Loss SoftmaxCrossEntropy(double label_smoothing, const std::string& logits = "logits");

}  // namespace octet::train
