// From the raw outputs of a detector to boxes in the original image, by the documented steps of TensorRT's EfficientNMS
// plugin (score_activation 1, box_coding 1, fused decoder), with its attributes' names.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace octet::detection {

struct Detection {
  int64_t image_id = 0;
  int32_t label = 0;  // class index
  float score = 0;
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // pixels of the original image
};

struct PostProcessOptions {
  float score_threshold = 0.01f;  // a box counts if its score is at least this
  float iou_threshold = 0.5f;     // a box goes if its IoU with a better one of its class is at least this
  int max_output_boxes = 100;     // per image, over all classes
  int max_nms_inputs = 5000;      // per image: the (anchor, class) pairs with the largest scores; 0 = all
  int background_class = -1;      // this class is never detected
  bool clip = true;  // boxes end at the edges of the network's input; those wholly outside go. After the NMS
};

// class_logits f32 [N,A,C] (before the sigmoid), box_codes f32 [N,A,4] as ty,tx,th,tw, anchors f32 [A,4] or [1,A,4] as
// centre y, centre x, height, width in pixels of the network's input (height x width). Box centre = t * anchor size +
// anchor centre, size = exp(t) * anchor size. image_ids and scales (input pixels to original ones) have N entries; an
// entry with scale 0 is padding of the batch and gives nothing. Images in order, within one by falling score; equal
// scores by anchor, then class. Sorting and thresholds work on the logits, as in the plugin.
std::vector<Detection> PostProcess(const Tensor& class_logits, const Tensor& box_codes, const Tensor& anchors,
                                   int height, int width, const std::vector<int64_t>& image_ids,
                                   const std::vector<float>& scales, const PostProcessOptions& options);

}  // namespace octet::detection
