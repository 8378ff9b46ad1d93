#include "detection/assign_targets.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "detection/anchors.h"
#include "detection/nms.h"

namespace octet::detection {
namespace {

std::vector<Corners> CornersOf(const Tensor& anchors) {
  std::vector<Corners> corners(static_cast<size_t>(anchors.dim(0)));
  const float* a = anchors.data<float>();
  for (Corners& c : corners) {
    c = {a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2};
    a += 4;
  }
  return corners;
}

struct Image {
  const float* boxes;
  const int64_t* labels;
  int64_t box_count;
  int64_t* classes;
  float* codes;
};

// Returns how many anchors have a box.
int64_t AssignImage(const std::vector<Corners>& corners, const float* anchors, const Image& image) {
  const auto count = static_cast<int64_t>(corners.size());
  std::vector<float> best(corners.size(), 0.0f);
  std::vector<int64_t> match(corners.size(), -1);
  std::vector<int64_t> forced(static_cast<size_t>(image.box_count), -1);
  for (int64_t m = 0; m < image.box_count; ++m) {
    if (image.labels[m] < 0) continue;
    const float* box = image.boxes + 4 * m;
    const Corners wanted = {box[0], box[1], box[2], box[3]};
    float largest = 0;
    for (int64_t a = 0; a < count; ++a) {
      const Corners& c = corners[static_cast<size_t>(a)];
      if (c.y1 >= box[2] || c.y2 <= box[0] || c.x1 >= box[3] || c.x2 <= box[1]) continue;
      const float iou = Iou(c, wanted);
      if (iou > largest) {
        largest = iou;
        forced[static_cast<size_t>(m)] = a;
      }
      if (iou > best[static_cast<size_t>(a)]) {
        best[static_cast<size_t>(a)] = iou;
        if (iou >= kMatchIou) match[static_cast<size_t>(a)] = m;
      }
    }
  }
  for (int64_t m = image.box_count; m-- > 0;) {  // of several boxes that want one anchor, the first gets it
    if (forced[static_cast<size_t>(m)] >= 0) match[static_cast<size_t>(forced[static_cast<size_t>(m)])] = m;
  }
  int64_t positives = 0;
  for (int64_t a = 0; a < count; ++a) {
    const int64_t m = match[static_cast<size_t>(a)];
    image.classes[a] = m < 0 ? kBackground : image.labels[m];
    if (m < 0) continue;
    ++positives;
    const BoxCode code = EncodeBox(image.boxes + 4 * m, anchors + 4 * a);
    std::copy(code.begin(), code.end(), image.codes + 4 * a);
  }
  return positives;
}

}  // namespace

AnchorTargets AssignTargets(const Tensor& anchors, const Tensor& boxes, const Tensor& labels) {
  OCTET_CHECK(anchors.rank() == 2 && anchors.dim(1) == 4 && boxes.rank() == 3 && boxes.dim(2) == 4 &&
                  labels.shape() == Shape({boxes.dim(0), boxes.dim(1)}),
              "anchors {}, boxes {}, labels {}", octet::ToString(anchors.shape()), octet::ToString(boxes.shape()),
              octet::ToString(labels.shape()));
  const int64_t images = boxes.dim(0), count = anchors.dim(0), most = boxes.dim(1);
  const std::vector<Corners> corners = CornersOf(anchors);
  AnchorTargets targets;
  targets.classes = Tensor(DType::kS64, {images, count});
  targets.codes = Tensor(DType::kF32, {images, count, 4});
  auto* classes = targets.classes.mutable_data<int64_t>();
  auto* codes = targets.codes.mutable_data<float>();
  for (int64_t i = 0; i < images; ++i) {
    targets.positives += AssignImage(corners, anchors.data<float>(),
                                     {boxes.data<float>() + i * most * 4, labels.data<int64_t>() + i * most, most,
                                      classes + i * count, codes + i * count * 4});
  }
  return targets;
}

}  // namespace octet::detection
