// octet efficientdet export
#include "ir/model_file.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/finish_detector.h"
#include "task/efficientdet/plan_source.h"
#include "task/efficientdet/setup.h"
#include "task/export_model.h"

namespace octet::task::efficientdet {

void Export(const spec::Spec& spec) {
  WithReport(spec, "export", [&](report::RunReport& report) {
    ir::Model model = ir::ReadModel(spec.RequireFile("export.checkpoint"));
    const Detector detector = DetectorOf(model.info, spec);
    for (const auto& [key, value] : DescribeDetector(detector)) model.graph.metadata()[key] = value;
    FinishOptions options;
    options.tao_input = spec.GetString("export.input") == "tao";
    options.postprocess = spec.GetString("export.postprocess");
    options.anchors = detector.anchors;
    options.detections = PostProcessFromSpec(spec);
    options.detections.score_threshold = static_cast<float>(spec.GetFloat("export.min_score_thresh"));
    ExportModel(spec, model, report, CalibrationBatches(spec),
                [&](ir::Graph graph) { return FinishDetector(std::move(graph), options); });
  });
}

}  // namespace octet::task::efficientdet
