// octet efficientdet inference
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/image.h"
#include "report/draw_detections.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/images.h"
#include "task/efficientdet/score.h"
#include "task/efficientdet/setup.h"

namespace octet::task::efficientdet {
namespace {

using Detections = std::vector<detection::Detection>;

std::string Stem(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

// Images of one name in different folders get different files.
std::string UniqueStem(const std::string& path, std::map<std::string, int>& used) {
  const std::string stem = Stem(path);
  const int count = used[stem]++;
  return count == 0 ? stem : fmt::format("{}_{}", stem, count);
}

void WritePicture(const data::CocoSet::Image& image, const Detections& found, const report::DrawOptions& draw,
                  const std::string& path) {
  data::Image picture;
  std::string problem;
  OCTET_REQUIRE(data::DecodeImageFile(image.path, {}, &picture, &problem), "{}: {}", image.path, problem);
  WriteFileAtomic(path, data::EncodePng(report::DrawDetections(picture, found, draw)));
}

nlohmann::json ToJson(const detection::Detection& d, const data::CocoSet::Image& image, const Detector& detector) {
  const auto label = static_cast<size_t>(d.label);
  nlohmann::json j = {
      {"image_id", image.id},
      {"file_name", image.path},
      {"category_id", label < detector.category_ids.size() ? detector.category_ids[label] : d.label + 1},
      {"bbox", {d.x1, d.y1, d.x2 - d.x1, d.y2 - d.y1}},
      {"score", d.score}};
  if (label < detector.classes.size()) j["category"] = detector.classes[label];
  return j;
}

}  // namespace

void Infer(const spec::Spec& spec) {
  WithReport(spec, "inference", [&](report::RunReport& report) {
    const std::string path = NetworkFile(spec, "inference");
    const auto predictor = LoadPredictor(path, DeviceFromSpec(spec), ComputeThreads(spec));
    const Detector detector = DetectorOf(predictor->info(), spec);
    RequireDetector(predictor->graph(), detector, path);
    const auto set = SetOfImages(data::ListImages(spec.Require("inference.image_dir")));
    data::DetectionLoader loader(set,
                                 LoaderOptions(spec, detector, static_cast<int>(spec.GetInt("inference.batch_size"))));
    detection::PostProcessOptions options = PostProcessFromSpec(spec);
    options.score_threshold = static_cast<float>(spec.GetFloat("inference.min_score_thresh"));
    report::DrawOptions draw;
    draw.classes = detector.classes;
    draw.min_score = options.score_threshold;
    draw.max_boxes = static_cast<int>(spec.GetInt("inference.max_boxes_to_draw"));
    const bool labels = spec.GetBool("inference.dump_label");
    const std::string pictures = report.folder() + "/images_annotated";
    MakeDirectories(pictures);
    if (labels) MakeDirectories(report.folder() + "/labels");
    LogInfo("{}: {}", path, predictor->description());

    const Tensor anchors = detection::MakeAnchors(detector.anchors);
    nlohmann::json results = nlohmann::json::array();
    std::map<std::string, int> used;
    Progress progress("inference", static_cast<int64_t>(set->images.size()), "images");
    loader.StartEpoch(0);
    data::DetectionBatch batch;
    while (loader.Next(&batch)) {
      const Detections all = Detect(*predictor, batch, anchors, detector, options);
      for (const int64_t sample : batch.samples) {
        const data::CocoSet::Image& image = set->images[static_cast<size_t>(sample)];
        Detections found;
        for (const detection::Detection& d : all) {
          if (d.image_id == image.id) found.push_back(d);
        }
        const std::string stem = UniqueStem(image.path, used);
        WritePicture(image, found, draw, pictures + "/" + stem + ".png");
        if (labels) WriteFileAtomic(report.folder() + "/labels/" + stem + ".txt", report::KittiLabels(found, draw));
        for (const detection::Detection& d : found) results.push_back(ToJson(d, image, detector));
        progress.Advance(1);
      }
    }
    progress.Finish();
    const std::string json = report.folder() + "/detections.json";
    WriteFileAtomic(json, results.dump(1) + "\n");
    report.Metric("images", static_cast<double>(set->images.size()));
    report.Metric("detections", static_cast<double>(results.size()));
    report.Metric("runs_as", predictor->description());
    report.OutputFile("detections", json);
    fmt::print("{} images, {} detections -> {}\n", set->images.size(), results.size(), pictures);
    report.Success("Inference finished successfully.");
  });
}

}  // namespace octet::task::efficientdet
