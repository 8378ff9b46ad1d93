// The INT8 plan of a network, by the settings under `gen_trt_engine`: ranges from the file's Q/DQ nodes, from a
// calibration cache, or from post-training calibration.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/image_folder.h"
#include "ir/graph.h"
#include "report/run_report.h"
#include "spec/spec.h"
#include "task/calibrate.h"

namespace octet::task {

struct PlanSource {
  ir::Graph graph;
  std::map<std::string, std::string> info;  // travels with the plan
};
// Of an .octet file, which says all itself, or of an .onnx file by `import`. Throws a user Error for another.
PlanSource ReadPlanSource(const std::string& path, const std::function<PlanSource()>& import);
using LoadPlanSource = std::function<PlanSource(const std::string& path)>;

// Preprocessed batches of these images; `info` is the network's.
using CalibrationImages = std::function<ImageSource(const std::vector<data::ImageFile>& files, int batch_size,
                                                    const std::map<std::string, std::string>& info)>;

// Reads gen_trt_engine.onnx_file with `load`, writes the plan, and a calibration cache when it calibrated.
void BuildPlan(const spec::Spec& spec, report::RunReport& report, const LoadPlanSource& load,
               const CalibrationImages& images);

}  // namespace octet::task
