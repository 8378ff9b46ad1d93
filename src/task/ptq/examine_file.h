// `octet inspect --ranges` and `octet sensitivity`: how a quantized network, or a float one that is calibrated for it,
// behaves on images.
#pragma once

#include <string>

#include "task/ptq/quantize_file.h"
#include "task/ptq/sensitivity.h"

namespace octet::task {

// options.path: a quantized .octet or an .onnx with Q/DQ nodes, or a float file with the calibration cache `cache`.
// Returns text, or JSON.
std::string ExamineRanges(const QuantizeFileOptions& options, const std::string& cache, bool json);

// options.path: as above; a float file without a cache is calibrated first (options.ptq.method). Returns a table of the
// layers, the most sensitive first, or JSON.
std::string ExamineSensitivity(const QuantizeFileOptions& options, const std::string& cache, SensitivityMode mode,
                               bool json);

}  // namespace octet::task
