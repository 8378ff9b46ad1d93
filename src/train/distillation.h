// Knowledge distillation: QAT learns from the outputs of the float network as well as from the labels. A label says one
// class; the float network says how sure it is of each, which is what rounding must not change.
//
// loss = (1 - weight) * the task's loss + weight * the distance from the teacher:
//   classifier  T^2 sum_k p_k log(p_k / q_k), p and q the softmax of the teacher's and the network's logits / T; mean
//               over images (Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015)
//   detector    with p, q the sigmoids of the class logits, c = the teacher's largest p of an anchor, n = 1 + sum of c:
//               sum over anchors and classes of p log(p/q) + (1 - p) log((1 - p)/(1 - q)), / n, and
//               box_loss_weight * sum over anchors of c * Huber(code - teacher's code, delta), / 4n
#pragma once

#include <memory>
#include <string>

#include "train/detection_loss.h"
#include "train/graph_module.h"
#include "train/loss.h"

namespace octet::train {

struct DistillationOptions {
  double weight = 0.5;     // 0 to 1
  double temperature = 2;  // of a classifier
};

// `task` reads the logits [N,K] as its only output; `logits` names the teacher's. Metric: "distance".
Loss DistillClassifier(const Loss& task, std::shared_ptr<GraphModule> teacher, const std::string& logits,
                       const DistillationOptions& options);

// `task` is a DetectionLoss with `detection`; the teacher has "class_logits" and "box_codes" of the same shapes.
Loss DistillDetector(const Loss& task, std::shared_ptr<GraphModule> teacher, const DetectionLossOptions& detection,
                     const DistillationOptions& options);

}  // namespace octet::train
