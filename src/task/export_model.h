// The files that deployment needs, from a trained graph: FP32 ONNX; of a QAT graph also the calibration cache and the
// ONNX with Q/DQ nodes.
#pragma once

#include <functional>

#include "ir/model_file.h"
#include "report/run_report.h"
#include "spec/spec.h"
#include "task/build_plan.h"

namespace octet::task {

// Paths, versions and coverage are those under `export`. `images` serves export.coverage full (docs/ptq.md). `finish`
// (may be empty) adds to the graphs just before they are written: post-processing, another input layout.
void ExportModel(const spec::Spec& spec, const ir::Model& trained, report::RunReport& report,
                 const CalibrationImages& images, const std::function<ir::Graph(ir::Graph)>& finish = {});

}  // namespace octet::task
