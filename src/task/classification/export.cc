// octet classification export
#include "ir/model_file.h"
#include "task/classification/classification.h"
#include "task/classification/plan_source.h"
#include "task/export_model.h"
#include "task/run.h"

namespace octet::task::classification {

void Export(const spec::Spec& spec) {
  WithReport(spec, "export", [&](report::RunReport& report) {
    ExportModel(spec, ir::ReadModel(spec.RequireFile("export.checkpoint")), report, CalibrationBatches(spec));
  });
}

}  // namespace octet::task::classification
