// `octet quantize FILE --images DIR`: post-training quantization of any ONNX file (or a float .octet), with everything
// that a deployment needs as the result.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "task/ptq/calibration_images.h"
#include "task/ptq/post_training.h"
#include "task/ptq/write_deployment.h"

namespace octet::task {

struct QuantizeFileOptions {
  std::string path;                           // .onnx or .octet
  std::map<std::string, Shape> input_shapes;  // for sizes that the file leaves open
  std::string preprocess_mode;                // "" : what a .octet says; an .onnx needs one
  CalibrationImageOptions images;
  PtqOptions ptq;
  DeploymentOptions deployment;
};

// Writes the files of WriteDeployment and ranges.csv, results.json, status.json into options.deployment.folder and
// prints what was measured.
void QuantizeFile(const QuantizeFileOptions& options);

// A float network from an .onnx (in the form of octet's own, passes/simplify_imported.h) or .octet file; `info`
// receives what the file says of itself.
ir::Graph LoadFloatNetwork(const std::string& path, const std::map<std::string, Shape>& input_shapes,
                           std::map<std::string, std::string>* info);

// Sets options->images.preprocess from what a model file says of itself, unless the user chose. Throws a user Error
// when neither says anything and the images are no .npy tensors.
void UsePreprocessingOf(const std::map<std::string, std::string>& info, QuantizeFileOptions* options);

// tensor, smallest, largest, amax, scale, method, error: one line a tensor.
std::string RangesCsv(const PtqResult& result);

// Metrics, steps and files of a quantization into a report and onto stdout.
void ReportQuantization(const PtqResult& result, const std::vector<std::pair<std::string, std::string>>& files,
                        report::RunReport& report);

}  // namespace octet::task
