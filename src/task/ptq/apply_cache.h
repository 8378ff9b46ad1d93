// What TensorRT's implicit mode does with a calibration cache: layers whose tensors all have scales run in INT8.
#pragma once

#include <set>
#include <string>

#include "ir/graph.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {

// `graph`: float. Entries that name no tensor are counted in a warning. Throws a user Error for scales that are not
// positive, and when no layer can run in INT8.
ir::Graph ApplyCache(const ir::Graph& graph, const tensorrt::CalibrationCache& cache,
                     const std::set<std::string>& keep_fp32 = {});

}  // namespace octet::task
