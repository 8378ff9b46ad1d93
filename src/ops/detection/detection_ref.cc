// Reference arithmetic of the box selection operators.
#include <algorithm>
#include <numeric>

#include "detection/detections.h"
#include "detection/nms.h"
#include "ops/detection/detection.h"

namespace octet::ops {
namespace {

float ScalarOr(const Tensors& inputs, size_t i, float absent) {
  return Has(inputs, i) ? inputs[i].ToVector<float>().at(0) : absent;
}

detection::Corners CornersOf(const float* b, bool centre) {
  if (centre) return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};  // x, y, width, height
  return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]), std::max(b[1], b[3])};
}

}  // namespace

Tensors NonMaxSuppressionReference(const Node& node, const Tensors& inputs) {
  const Tensor& boxes = inputs.at(0);
  const Tensor& scores = inputs.at(1);
  const int64_t images = boxes.dim(0), count = boxes.dim(1), classes = scores.dim(1);
  const int64_t most = Has(inputs, 2) ? inputs[2].ToVector<int64_t>().at(0) : 0;
  const float overlap = ScalarOr(inputs, 3, 0);
  const bool limited = Has(inputs, 4);
  const float lowest = ScalarOr(inputs, 4, 0);
  std::vector<int64_t> selected;
  for (int64_t n = 0; n < images; ++n) {
    std::vector<detection::Corners> corners;
    for (int64_t a = 0; a < count; ++a) {
      corners.push_back(
          CornersOf(boxes.data<float>() + (n * count + a) * 4, node.attr_int("center_point_box", 0) != 0));
    }
    for (int64_t c = 0; c < classes && most > 0; ++c) {
      const float* s = scores.data<float>() + (n * classes + c) * count;
      std::vector<int64_t> candidates(static_cast<size_t>(count));
      std::iota(candidates.begin(), candidates.end(), 0);
      if (limited) {
        candidates.erase(
            std::remove_if(candidates.begin(), candidates.end(), [&](int64_t a) { return !(s[a] > lowest); }),
            candidates.end());
      }
      std::stable_sort(candidates.begin(), candidates.end(), [&](int64_t a, int64_t b) { return s[a] > s[b]; });
      for (const int64_t a :
           detection::SuppressNonMaxima(corners, nullptr, candidates, overlap, detection::NmsRule::kOnnx, most)) {
        selected.insert(selected.end(), {n, c, a});
      }
    }
  }
  return {Tensor::From<int64_t>({static_cast<int64_t>(selected.size() / 3), 3}, selected)};
}

Tensors EfficientNmsReference(const Node& node, const Tensors& inputs) {
  const int64_t images = inputs.at(0).dim(0), most = node.attr_int("max_output_boxes", 100);
  detection::PostProcessOptions options;
  options.score_threshold = node.attr_float("score_threshold", 0.25f);
  options.iou_threshold = node.attr_float("iou_threshold", 0.5f);
  options.max_output_boxes = static_cast<int>(most);
  options.background_class = static_cast<int>(node.attr_int("background_class", -1));
  options.clip = false;
  std::vector<int64_t> ids(static_cast<size_t>(images));
  std::iota(ids.begin(), ids.end(), 0);
  const Tensor anchors = inputs.at(2).Reshaped({inputs[2].dim(1), 4});
  const std::vector<detection::Detection> found =
      detection::PostProcess(inputs.at(1), inputs.at(0), anchors, /*height=*/1, /*width=*/1, ids,
                             std::vector<float>(ids.size(), 1.0f), options);
  Tensors out = {NewOutput(node, inputs, 0), NewOutput(node, inputs, 1), NewOutput(node, inputs, 2),
                 NewOutput(node, inputs, 3)};
  auto* counts = out[0].mutable_data<int32_t>();
  for (const detection::Detection& d : found) {
    const int64_t at = d.image_id * most + counts[d.image_id]++;
    const float box[] = {d.y1, d.x1, d.y2, d.x2};
    std::copy(box, box + 4, out[1].mutable_data<float>() + at * 4);
    out[2].mutable_data<float>()[at] = d.score;
    out[3].mutable_data<int32_t>()[at] = d.label;
  }
  return out;
}

}  // namespace octet::ops
