#include "task/efficientdet/score.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"

namespace octet::task::efficientdet {

std::vector<detection::Detection> Detect(Predictor& predictor, const data::DetectionBatch& batch, const Tensor& anchors,
                                         const Detector& detector, const detection::PostProcessOptions& options) {
  const std::vector<Tensor> outputs = predictor.Run(batch.images);
  const ir::Graph& graph = predictor.graph();
  const auto output = [&](const char* name) -> const Tensor& {
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      if (graph.value(graph.outputs()[i]).name == name) return outputs.at(i);
    }
    OCTET_FAIL("network '{}' has no output '{}'", graph.name(), name);
  };
  return detection::PostProcess(output("class_logits"), output("box_codes"), anchors,
                                static_cast<int>(detector.anchors.height), static_cast<int>(detector.anchors.width),
                                batch.image_ids, batch.scales.ToVector<float>(), options);
}

detection::GroundTruth ValidationTruth(const spec::Spec& spec, const data::CocoSet& set) {
  const std::string json = spec.GetString("dataset.val_json_file");
  return json.empty() ? detection::ToGroundTruth(set)
                      : detection::ReadGroundTruth(spec.RequireFile("dataset.val_json_file"), "dataset.val_json_file");
}

Score Evaluate(Predictor& predictor, data::DetectionLoader& loader, const Detector& detector,
               const detection::GroundTruth& truth, const detection::PostProcessOptions& options, int64_t images,
               bool show_progress) {
  const data::CocoSet& set = loader.set();
  const auto all = static_cast<int64_t>(set.images.size());
  const int64_t wanted = images <= 0 ? all : std::min(images, all);
  const Tensor anchors = detection::MakeAnchors(detector.anchors);
  Score score;
  Progress progress(show_progress ? "evaluate" : "", wanted, "images");
  loader.StartEpoch(0);
  data::DetectionBatch batch;
  while (score.images < wanted && loader.Next(&batch)) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<detection::Detection> found = Detect(predictor, batch, anchors, detector, options);
    score.predict_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    score.detections.insert(score.detections.end(), found.begin(), found.end());
    score.images += static_cast<int64_t>(batch.image_ids.size());
    if (show_progress) progress.Advance(static_cast<int64_t>(batch.image_ids.size()));
  }
  if (show_progress) progress.Finish();
  detection::GroundTruth counted = truth;
  if (wanted < all) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < wanted; ++i) seen.insert(set.images[static_cast<size_t>(i)].id);
    const auto unseen = [&](int64_t id) { return seen.count(id) == 0; };
    auto& ids = counted.image_ids;
    ids.erase(std::remove_if(ids.begin(), ids.end(), unseen), ids.end());
    auto& boxes = counted.boxes;
    boxes.erase(std::remove_if(boxes.begin(), boxes.end(), [&](const auto& box) { return unseen(box.image_id); }),
                boxes.end());
    auto& found = score.detections;  // the last batch may reach beyond
    found.erase(std::remove_if(found.begin(), found.end(), [&](const auto& d) { return unseen(d.image_id); }),
                found.end());
  }
  score.metrics =
      detection::Evaluate(counted, detection::ToScoredBoxes(score.detections, set.category_ids), HardwareThreads());
  return score;
}

}  // namespace octet::task::efficientdet
