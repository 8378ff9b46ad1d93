#include "detection/detections.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "detection/nms.h"

namespace octet::detection {
namespace {

// The (anchor, class) pairs of one image that take part, best first.
std::vector<int64_t> BestPairs(const float* logits, int64_t anchors, int64_t classes,
                               const PostProcessOptions& options) {
  const float t = options.score_threshold;
  const float threshold = t <= 0 ? -32768.0f : std::log(t / (1.0f - t));
  std::vector<int64_t> pairs;
  for (int64_t i = 0; i < anchors * classes; ++i) {
    if (logits[i] >= threshold && i % classes != options.background_class) pairs.push_back(i);
  }
  const auto better = [&](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  const auto most = static_cast<size_t>(options.max_nms_inputs);
  if (most > 0 && pairs.size() > most) {
    std::nth_element(pairs.begin(), pairs.begin() + most, pairs.end(), better);
    pairs.resize(most);
  }
  std::sort(pairs.begin(), pairs.end(), better);
  return pairs;
}

Corners Decode(const float* code, const float* anchor) {
  const float y = code[0] * anchor[2] + anchor[0];
  const float x = code[1] * anchor[3] + anchor[1];
  const float h = std::exp(code[2]) * anchor[2];
  const float w = std::exp(code[3]) * anchor[3];
  return {y - h * 0.5f, x - w * 0.5f, y + h * 0.5f, x + w * 0.5f};
}

}  // namespace

std::vector<Detection> PostProcess(const Tensor& class_logits, const Tensor& box_codes, const Tensor& anchors,
                                   int height, int width, const std::vector<int64_t>& image_ids,
                                   const std::vector<float>& scales, const PostProcessOptions& options) {
  OCTET_CHECK(class_logits.rank() == 3 && box_codes.rank() == 3 && anchors.rank() >= 2, "logits {} boxes {} anchors {}",
              ToString(class_logits.shape()), ToString(box_codes.shape()), ToString(anchors.shape()));
  const int64_t n = class_logits.dim(0), count = class_logits.dim(1), classes = class_logits.dim(2);
  OCTET_CHECK((box_codes.shape() == Shape{n, count, 4}) && anchors.size() == count * 4 && anchors.dim(-1) == 4,
              "logits {} boxes {} anchors {}", ToString(class_logits.shape()), ToString(box_codes.shape()),
              ToString(anchors.shape()));
  OCTET_CHECK(static_cast<int64_t>(image_ids.size()) == n && static_cast<int64_t>(scales.size()) == n,
              "{} image ids and {} scales for a batch of {}", image_ids.size(), scales.size(), n);
  std::vector<Detection> detections;
  for (int64_t image = 0; image < n; ++image) {
    if (scales[image] == 0) continue;
    const float* logits = class_logits.data<float>() + image * count * classes;
    const float* codes = box_codes.data<float>() + image * count * 4;
    const std::vector<int64_t> pairs = BestPairs(logits, count, classes, options);
    std::vector<Corners> boxes;
    std::vector<int32_t> labels;
    for (const int64_t pair : pairs) {
      const int64_t anchor = pair / classes;
      boxes.push_back(Decode(codes + anchor * 4, anchors.data<float>() + anchor * 4));
      labels.push_back(static_cast<int32_t>(pair % classes));
    }
    std::vector<int64_t> order(pairs.size());
    std::iota(order.begin(), order.end(), 0);
    for (const int64_t at : SuppressNonMaxima(boxes, labels.data(), order, options.iou_threshold,
                                              NmsRule::kEfficientNms, options.max_output_boxes)) {
      Corners box = boxes[at];
      if (options.clip) {
        const auto h = static_cast<float>(height), w = static_cast<float>(width);
        box = {std::clamp(box.y1, 0.0f, h), std::clamp(box.x1, 0.0f, w), std::clamp(box.y2, 0.0f, h),
               std::clamp(box.x2, 0.0f, w)};
        if (!(box.y1 < box.y2 && box.x1 < box.x2)) continue;
      }
      const float scale = scales[image];
      const float score = 1.0f / (1.0f + std::exp(-logits[pairs[at]]));
      detections.push_back(
          {image_ids[image], labels[at], score, box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale});
    }
  }
  return detections;
}

}  // namespace octet::detection
