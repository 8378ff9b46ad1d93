// COCO average precision for boxes, number for number as pycocotools computes it (crowds, area ranges, ties and all).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/coco.h"
#include "detection/detections.h"

namespace octet::detection {

// In double and as x,y,width,height, as in the files: an IoU on a threshold must not be rounded to the other side.
struct TruthBox {
  int64_t image_id = 0;
  int64_t category_id = 0;
  double x = 0, y = 0, width = 0, height = 0;
  double area = 0;
  bool crowd = false;
  int64_t id = 0;  // annotation id; pycocotools takes 0 for "not matched", and so do we
};
struct ScoredBox {
  int64_t image_id = 0;
  int64_t category_id = 0;
  double x = 0, y = 0, width = 0, height = 0;
  double score = 0;
};
struct GroundTruth {
  std::vector<int64_t> image_ids;
  std::vector<int64_t> category_ids;
  std::vector<std::string> names;  // of the categories
  std::vector<TruthBox> boxes;
};

// A number without data is -1, as in pycocotools.
struct CocoMetrics {
  // AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl
  std::array<double, 12> numbers{};
  double ap() const { return numbers[0]; }
  double ap50() const { return numbers[1]; }
  struct Category {
    int64_t id = 0;
    std::string name;
    double ap = -1;  // mean over IoU 0.50:0.95
    double ap50 = -1;
  };
  std::vector<Category> categories;  // ascending ids
};
extern const std::array<const char*, 12> kCocoMetricNames;  // "AP", "AP50", ..., "ARl"

// The file's boxes as they are, neither clipped nor dropped. Throws Error(kUser) as data::ReadCocoFile does.
GroundTruth ReadGroundTruth(const std::string& json_path, std::string_view what = "annotations file");
GroundTruth ToGroundTruth(const data::CocoSet& set);
// COCO result format: [{"image_id", "category_id", "bbox": [x,y,w,h], "score"}].
std::vector<ScoredBox> ReadDetections(const std::string& json_path);
void WriteDetections(const std::string& json_path, const std::vector<ScoredBox>& detections);
std::vector<ScoredBox> ToScoredBoxes(const std::vector<Detection>& detections,
                                     const std::vector<int64_t>& category_ids);

// Detections of categories that the truth does not have are left out; of an unknown image they are a user Error.
CocoMetrics Evaluate(const GroundTruth& truth, const std::vector<ScoredBox>& detections, int threads = 1);
CocoMetrics Evaluate(const data::CocoSet& set, const std::vector<Detection>& detections, int threads = 1);

// The table that pycocotools prints, plus a line per category.
std::string FormatMetrics(const CocoMetrics& metrics);

}  // namespace octet::detection
