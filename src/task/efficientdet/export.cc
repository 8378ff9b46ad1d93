// octet efficientdet export
#include "ir/model_file.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/finish_detector.h"
#include "task/efficientdet/setup.h"
#include "task/export_model.h"

namespace octet::task::efficientdet {

void Export(const spec::Spec& spec) {
  WithReport(spec, "export", [&](report::RunReport& report) {
    const ir::Model model = ir::ReadModel(spec.RequireFile("export.checkpoint"));
    FinishOptions options;
    options.tao_input = spec.GetString("export.input") == "tao";
    options.postprocess = spec.GetString("export.postprocess");
    options.anchors = DetectorOf(model.info, spec).anchors;
    options.detections = PostProcessFromSpec(spec);
    options.detections.score_threshold = static_cast<float>(spec.GetFloat("export.min_score_thresh"));
    ExportModel(spec, model.graph, report, [&](ir::Graph graph) { return FinishDetector(std::move(graph), options); });
  });
}

}  // namespace octet::task::efficientdet
