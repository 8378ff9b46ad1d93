// octet classification build (TAO's gen_trt_engine): the INT8 plan. octet classification calibrate: the same from a
// float network, with all forms of a deployment.
#include "task/calibrate_model.h"
#include "task/classification/classification.h"
#include "task/classification/plan_source.h"
#include "task/run.h"

namespace octet::task::classification {

void Build(const spec::Spec& spec) {
  WithReport(spec, "build", [&](report::RunReport& report) {
    BuildPlan(
        spec, report, [&](const std::string& path) { return LoadSource(spec, path); }, CalibrationBatches(spec));
  });
}

void Calibrate(const spec::Spec& spec) {
  WithReport(spec, "calibrate", [&](report::RunReport& report) {
    CalibrateModel(
        spec, report, [&](const std::string& path) { return LoadSource(spec, path); }, CalibrationBatches(spec));
  });
}

}  // namespace octet::task::classification
