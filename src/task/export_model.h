// The files that deployment needs, from a trained graph: FP32 ONNX; of a QAT graph also the calibration cache and the
// ONNX with Q/DQ nodes.
#pragma once

#include <functional>

#include "ir/graph.h"
#include "report/run_report.h"
#include "spec/spec.h"

namespace octet::task {

// Paths and versions are those under `export`. `finish` (may be empty) adds to the graphs just before they are written:
// post-processing, another input layout.
void ExportModel(const spec::Spec& spec, const ir::Graph& trained, report::RunReport& report,
                 const std::function<ir::Graph(ir::Graph)>& finish = {});

}  // namespace octet::task
