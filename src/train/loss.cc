#include "train/loss.h"

#include <torch/torch.h>

#include "base/error.h"

namespace octet::train {

Loss SoftmaxCrossEntropy(double label_smoothing, const std::string& logits) {
  OCTET_REQUIRE(label_smoothing >= 0 && label_smoothing < 1, "label_smoothing is {}; expected a number in [0, 1)",
                label_smoothing);
  Loss loss;
  loss.outputs = {logits};
  loss.compute = [label_smoothing](const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& targets,
                                   std::map<std::string, double>& metrics) {
    OCTET_CHECK(outputs.size() == 1 && !targets.empty(), "{} outputs, {} targets", outputs.size(), targets.size());
    const at::Tensor log_p = at::log_softmax(outputs[0].flatten(1), 1);
    const at::Tensor& target = targets[0];
    const bool soft = target.dim() == 2;
    const at::Tensor label = soft ? target.argmax(1) : target;
    metrics["accuracy"] += log_p.detach().argmax(1).eq(label).sum().item<double>();
    const at::Tensor hit = soft ? -(log_p * target).sum(1) : -log_p.gather(1, label.unsqueeze(1)).squeeze(1);
    if (label_smoothing == 0) return hit.mean();
    return (hit * (1 - label_smoothing) - log_p.mean(1) * label_smoothing).mean();
  };
  return loss;
}

}  // namespace octet::train
