// A detector's training epoch by epoch: a line on the terminal, what task/epoch_log.h writes, and pictures for
// TensorBoard.
#pragma once

#include <cstdint>
#include <vector>

#include "data/detection_loader.h"
#include "detection/coco_ap.h"
#include "detection/detections.h"
#include "task/efficientdet/setup.h"
#include "task/epoch_log.h"

namespace octet::task::efficientdet {

class TrainingLog {
 public:
  TrainingLog(report::RunReport& report, const Detector& detector, int64_t first_epoch, int64_t epochs);

  // `val` is null when the epoch was not validated.
  void Epoch(const train::EpochResult& result, const detection::CocoMetrics* val, double wait_fraction);

  // The first images of a training batch as the network sees them, with their boxes: tag train/image_<k>.
  void TrainingImages(int64_t epoch, const data::DetectionBatch& batch);
  // The first images of the validation set with what was found in them: tag val/image_<k>.
  void ValidationImages(int64_t epoch, const data::CocoSet& set, const std::vector<detection::Detection>& found);

 private:
  const Detector& detector_;
  EpochLog log_;
};

}  // namespace octet::task::efficientdet
