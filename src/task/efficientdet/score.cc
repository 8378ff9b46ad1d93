#include "task/efficientdet/score.h"

#include <algorithm>
#include <chrono>

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

Score Evaluate(Predictor& predictor, data::DetectionLoader& loader, const Detector& detector,
               const detection::PostProcessOptions& options, int64_t images, bool show_progress) {
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
    std::vector<detection::Detection> found = Detect(predictor, batch, anchors, detector, options);
    score.predict_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    score.detections.insert(score.detections.end(), found.begin(), found.end());
    score.images += static_cast<int64_t>(batch.image_ids.size());
    if (show_progress) progress.Advance(static_cast<int64_t>(batch.image_ids.size()));
  }
  if (show_progress) progress.Finish();
  if (score.images >= all) {
    score.metrics = detection::Evaluate(set, score.detections, HardwareThreads());
    return score;
  }
  data::CocoSet part = set;
  part.images.resize(static_cast<size_t>(score.images));
  score.metrics = detection::Evaluate(part, score.detections, HardwareThreads());
  return score;
}

}  // namespace octet::task::efficientdet
