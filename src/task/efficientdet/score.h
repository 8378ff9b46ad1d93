// Running a detector over a data set.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/detection_loader.h"
#include "detection/coco_ap.h"
#include "detection/detections.h"
#include "task/efficientdet/setup.h"
#include "task/predictor.h"

namespace octet::task::efficientdet {

// The boxes of one batch, in pixels of the original images.
std::vector<detection::Detection> Detect(Predictor& predictor, const data::DetectionBatch& batch, const Tensor& anchors,
                                         const Detector& detector, const detection::PostProcessOptions& options);

struct Score {
  detection::CocoMetrics metrics;
  std::vector<detection::Detection> detections;
  int64_t images = 0;
  double predict_seconds = 0;  // network and post-processing
};

// The boxes to find: of dataset.val_json_file as it is, where the spec names one, else of `set`.
detection::GroundTruth ValidationTruth(const spec::Spec& spec, const data::CocoSet& set);

// Every image of the loader's set counts, or the first `images` of them (0: all).
Score Evaluate(Predictor& predictor, data::DetectionLoader& loader, const Detector& detector,
               const detection::GroundTruth& truth, const detection::PostProcessOptions& options, int64_t images,
               bool show_progress);

}  // namespace octet::task::efficientdet
