// The loss of EfficientDet (tao.md 7.2). n = number of anchors with a box in the batch, plus 1:
//   class  sum of alpha_t (1 - p_t)^gamma BCE(logit, y (1 - smoothing) + smoothing / 2) over anchors and classes, / n
//   box    sum of Huber(code - target, delta) over the target's elements that are not 0, / 4n
//   IoU    optional: sum of 1 - IoU (or GIoU, DIoU, CIoU) of decoded boxes over anchors with a box, / 4n
#pragma once

#include <string>

#include "tensor/tensor.h"
#include "train/loss.h"

namespace octet::train {

struct DetectionLossOptions {
  double alpha = 0.25;
  double gamma = 1.5;
  double delta = 0.1;
  double label_smoothing = 0;
  double box_loss_weight = 50;
  std::string iou_loss_type;  // "", iou, giou, diou, ciou
  double iou_loss_weight = 1;
  Tensor anchors;  // f32 [A,4]: centre y, centre x, height, width; read with an iou_loss_type only
};

// Reads the graph's "class_logits" [N,A,C] and "box_codes" [N,A,4]. targets: classes s64 [N,A], below 0 = background;
// codes f32 [N,A,4]. Metrics: class_loss, box_loss, iou_loss (with a type). Throws a user Error on an unknown type.
Loss DetectionLoss(const DetectionLossOptions& options);

}  // namespace octet::train
