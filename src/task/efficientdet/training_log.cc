#include "task/efficientdet/training_log.h"

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "data/coco_records.h"
#include "data/image.h"
#include "report/draw_detections.h"

namespace octet::task::efficientdet {
namespace {

constexpr int64_t kPictures = 4;

// Image k of a batch with its normalization undone.
data::Image ToImage(const Tensor& images, int64_t k) {
  data::Image image;
  image.height = static_cast<int>(images.dim(2));
  image.width = static_cast<int>(images.dim(3));
  const int64_t plane = images.dim(2) * images.dim(3);
  image.pixels.resize(static_cast<size_t>(3 * plane));
  const float* x = images.data<float>() + 3 * plane * k;
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t i = 0; i < plane; ++i) {
      const float v = (x[c * plane + i] * data::kDetectionDeviation[c] + data::kDetectionMean[c]) * 255.0f;
      image.pixels[static_cast<size_t>(3 * i + c)] = static_cast<uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f));
    }
  }
  return image;
}

}  // namespace

TrainingLog::TrainingLog(report::RunReport& report, const Detector& detector, int64_t first_epoch, int64_t epochs)
    : detector_(detector),
      log_(report, "epoch,loss,class_loss,box_loss,learning_rate,AP,AP50,seconds", first_epoch, epochs) {}

void TrainingLog::Epoch(const train::EpochResult& r, const detection::CocoMetrics* val, double wait_fraction) {
  const int64_t done = r.epoch + 1;
  const double class_loss = r.metrics.at("class_loss"), box_loss = r.metrics.at("box_loss");
  LogInfo("epoch {}/{}: loss {:.4f} (class {:.4f}, box {:.5f}){}, lr {:.2e}, {:.1f} images/s", done, log_.epochs(),
          r.loss, class_loss, box_loss,
          val == nullptr ? "" : fmt::format(", AP {:.4f}, AP50 {:.4f}", val->ap(), val->ap50()), r.learning_rate,
          static_cast<double>(r.images) / r.seconds);
  std::map<std::string, double> kpi = {{"loss", r.loss}};
  for (const auto& [name, value] : r.metrics) {
    log_.events().Scalar("train/" + name, done, value);
    kpi[name] = value;
  }
  if (val != nullptr) {
    for (size_t i = 0; i < val->numbers.size(); ++i) {
      log_.events().Scalar(std::string("val/") + detection::kCocoMetricNames[i], done, val->numbers[i]);
    }
    kpi["AP"] = val->ap();
    kpi["AP50"] = val->ap50();
  }
  log_.Epoch(r,
             fmt::format("{},{:.6g},{:.6g},{:.6g},{:.6g},{},{},{:.3f}", done, r.loss, class_loss, box_loss,
                         r.learning_rate, val == nullptr ? "" : fmt::format("{:.6g}", val->ap()),
                         val == nullptr ? "" : fmt::format("{:.6g}", val->ap50()), r.seconds),
             wait_fraction, kpi);
}

void TrainingLog::TrainingImages(int64_t epoch, const data::DetectionBatch& batch) {
  report::DrawOptions draw;
  draw.classes = detector_.classes;
  for (int64_t k = 0; k < std::min(kPictures, batch.images.dim(0)); ++k) {
    std::vector<detection::Detection> boxes;
    const int64_t rows = batch.labels.dim(1);
    for (int64_t i = k * rows; i < (k + 1) * rows; ++i) {
      const float* box = batch.boxes.data<float>() + 4 * i;
      const auto label = static_cast<int32_t>(batch.labels.data<int64_t>()[i]);
      if (label >= 0) boxes.push_back({0, label, 1.0f, box[1], box[0], box[3], box[2]});
    }
    const data::Image picture = report::DrawDetections(ToImage(batch.images, k), boxes, draw);
    log_.events().Picture(fmt::format("train/image_{}", k), epoch, picture);
  }
}

void TrainingLog::ValidationImages(int64_t epoch, const data::CocoSet& set,
                                   const std::vector<detection::Detection>& found) {
  report::DrawOptions draw;
  draw.classes = detector_.classes;
  int64_t k = 0;
  for (const data::CocoSet::Image& image : set.images) {
    data::Image picture;
    std::string problem;
    if (k == kPictures) break;
    const std::string bytes =
        image.record_offset < 0 ? ReadFile(image.path) : data::ReadRecordImage(image.path, image.record_offset);
    if (!data::DecodeImageBytes(bytes, {}, &picture, &problem)) continue;
    std::vector<detection::Detection> boxes;
    for (const detection::Detection& d : found) {
      if (d.image_id == image.id) boxes.push_back(d);
    }
    log_.events().Picture(fmt::format("val/image_{}", k++), epoch, report::DrawDetections(picture, boxes, draw));
  }
}

}  // namespace octet::task::efficientdet
