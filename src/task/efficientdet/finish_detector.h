// What an exported detector has beside the trained network: TAO's input layout, and post-processing.
#pragma once

#include <string>

#include "detection/anchors.h"
#include "detection/detections.h"
#include "ir/graph.h"

namespace octet::task::efficientdet {

struct FinishOptions {
  // f32 [N,H,W,3] RGB from 0 to 255 (tao.md 5.3) instead of the normalised [N,3,H,W]: Transpose, Mul, Add.
  bool tao_input = false;
  // raw: class_logits and box_codes.
  // nms: boxes decoded, then ONNX's NonMaxSuppression. Outputs: boxes f32 [N,A,4] y1,x1,y2,x2 in pixels of the input,
  //   clipped to it (some may be empty); scores f32 [N,C,A]; selected s64 [K,3]: image, class, anchor of each
  //   detection, at most max_output_boxes of a class. The best max_output_boxes of an image are octet's detections.
  // efficient_nms: TensorRT's plugin EfficientNMS_TRT with its four outputs.
  std::string postprocess = "raw";
  detection::AnchorOptions anchors;
  detection::PostProcessOptions detections;
};

ir::Graph FinishDetector(ir::Graph graph, const FinishOptions& options);

}  // namespace octet::task::efficientdet
