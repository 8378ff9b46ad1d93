// Which layers lose most by INT8: one layer at a time is quantized, or kept in FP32, and the outputs are compared with
// the float network's.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "task/ptq/output_meter.h"

namespace octet::task {

enum class SensitivityMode {
  kQuantizeOne,  // only this layer runs in INT8
  kKeepOne,      // all but this one (and those in keep_fp32)
};

struct LayerSensitivity {
  std::string name;
  OutputError error;
};

// The layers that `scales` allow to quantize, the most sensitive first: the lowest SQNR when it alone is quantized, or
// the highest when it alone is kept. Each layer costs one build of the engine and one run over the meter's images.
std::vector<LayerSensitivity> MeasureSensitivity(const ir::Graph& float_graph,
                                                 const std::map<std::string, float>& scales,
                                                 const std::set<std::string>& keep_fp32, SensitivityMode mode,
                                                 const OutputMeter& meter);

}  // namespace octet::task
