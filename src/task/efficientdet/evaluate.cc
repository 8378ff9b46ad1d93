// octet efficientdet evaluate
#include <algorithm>
#include <chrono>

#include "base/files.h"
#include "base/log.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/score.h"
#include "task/efficientdet/setup.h"

namespace octet::task::efficientdet {
namespace {

// Median time of one image through the network.
double MedianLatencyMs(Predictor& predictor, const Detector& d) {
  const Tensor image(DType::kF32, {1, 3, d.anchors.height, d.anchors.width});
  std::vector<double> ms;
  for (int i = 0; i < 15; ++i) {
    const auto start = std::chrono::steady_clock::now();
    predictor.Run(image);
    if (i < 3) continue;
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(ms.begin(), ms.begin() + static_cast<long>(ms.size() / 2), ms.end());
  return ms[ms.size() / 2];
}

}  // namespace

void Evaluate(const spec::Spec& spec) {
  WithReport(spec, "evaluate", [&](report::RunReport& report) {
    const std::string path = NetworkFile(spec, "evaluate");
    const auto predictor = LoadPredictor(path, DeviceFromSpec(spec), ComputeThreads(spec));
    const Detector detector = DetectorOf(predictor->info(), spec);
    RequireDetector(predictor->graph(), detector, path);
    const auto set = LoadSet(spec, "val", detector, report);
    data::DetectionLoader loader(set,
                                 LoaderOptions(spec, detector, static_cast<int>(spec.GetInt("evaluate.batch_size"))));
    LogInfo("{}: {}", path, predictor->description());
    const Score score = Evaluate(*predictor, loader, detector, ValidationTruth(spec, *set), PostProcessFromSpec(spec),
                                 spec.GetInt("evaluate.num_samples"), /*show_progress=*/true);
    fmt::print("{}{} images, {} boxes\n", detection::FormatMetrics(score.metrics), score.images,
               score.detections.size());
    const std::string detections = report.folder() + "/detections.json";
    detection::WriteDetections(detections, detection::ToScoredBoxes(score.detections, set->category_ids));
    for (size_t i = 0; i < score.metrics.numbers.size(); ++i) {
      report.Metric(detection::kCocoMetricNames[i], score.metrics.numbers[i]);
    }
    for (const detection::CocoMetrics::Category& c : score.metrics.categories) report.Metric("AP_" + c.name, c.ap);
    report.Metric("images", static_cast<double>(score.images));
    report.Metric("runs_as", predictor->description());
    report.Metric("latency_ms_batch_1", MedianLatencyMs(*predictor, detector));
    report.Metric("file_bytes", static_cast<double>(ReadFile(path).size()));
    report.TimingSeconds("network", score.predict_seconds);
    report.OutputFile("network", path);
    report.OutputFile("detections", detections);
    report.Success("Evaluation finished successfully.");
  });
}

}  // namespace octet::task::efficientdet
