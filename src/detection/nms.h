// Greedy non-maximum suppression. ONNX's NonMaxSuppression and TensorRT's EfficientNMS differ in two comparisons only.
#pragma once

#include <cstdint>
#include <vector>

namespace octet::detection {

struct Corners {
  float y1 = 0, x1 = 0, y2 = 0, x2 = 0;  // y1 <= y2, x1 <= x2
};

// Intersection over union, 0 where the boxes do not overlap. No +1 in widths, as in COCO.
float Iou(const Corners& a, const Corners& b);

enum class NmsRule {
  kOnnx,          // drops a box whose IoU with a better one is larger than the threshold
  kEfficientNms,  // ... larger than or equal to it
};

// Goes through `candidates` (indices into boxes and, unless null, classes; best first) and returns those that no kept
// one of the same class suppresses, at most max_kept of them.
std::vector<int64_t> SuppressNonMaxima(const std::vector<Corners>& boxes, const int32_t* classes,
                                       const std::vector<int64_t>& candidates, float iou_threshold, NmsRule rule,
                                       int64_t max_kept);

}  // namespace octet::detection
