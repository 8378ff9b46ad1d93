#include "detection/nms.h"

#include <algorithm>

namespace octet::detection {

float Iou(const Corners& a, const Corners& b) {
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (!(height > 0 && width > 0)) return 0;
  const float both = height * width;
  const float either = (a.y2 - a.y1) * (a.x2 - a.x1) + (b.y2 - b.y1) * (b.x2 - b.x1) - both;
  return either > 0 ? both / either : 0;
}

std::vector<int64_t> SuppressNonMaxima(const std::vector<Corners>& boxes, const int32_t* classes,
                                       const std::vector<int64_t>& candidates, float iou_threshold, NmsRule rule,
                                       int64_t max_kept) {
  std::vector<int64_t> kept;
  for (const int64_t candidate : candidates) {
    if (static_cast<int64_t>(kept.size()) >= max_kept) break;
    const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](int64_t better) {
      if (classes != nullptr && classes[better] != classes[candidate]) return false;
      const float iou = Iou(boxes[better], boxes[candidate]);
      return rule == NmsRule::kOnnx ? iou > iou_threshold : iou >= iou_threshold;
    });
    if (!suppressed) kept.push_back(candidate);
  }
  return kept;
}

}  // namespace octet::detection
