// Everything that a deployment of a quantized network needs, as files side by side.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "report/run_report.h"

namespace octet::task {

struct DeploymentOptions {
  std::string folder;
  std::string stem;  // "" or a prefix of the file names: "model" -> model.fp32.onnx
  std::string tensorrt_version = "8.6.1";
  int opset = 13;
  std::string qdq_target = "trt";  // "trt", "ort" (weights as codes, unsigned activations), "both"
  bool dla = false;                // the trtexec command is for a DLA core
  bool write_plan = true;
  std::map<std::string, std::string> info;  // travels with the plan: class names, preprocessing
};

// `float_graph`: without Q/DQ, folded. `quantized`: the same with pairs. `scales`: of the cache, by tensor name.
// `keep_fp32`: layers that shall not run in INT8 though their tensors have scales.
// Writes fp32.onnx, qdq.onnx (qdq_ort.onnx), calib.cache, tensor_scales.json, layer_precisions.txt, trtexec.txt and
// model.plan, names them in the report, and returns {what, path}.
std::vector<std::pair<std::string, std::string>> WriteDeployment(
    const ir::Graph& float_graph, const ir::Graph& quantized, const std::vector<std::pair<std::string, float>>& scales,
    const std::vector<std::string>& keep_fp32, const DeploymentOptions& options);

// ---- the single files

// TAO's JSON of ranges: {"tensor_scales": {name: amax}}, amax = 127 * scale.
void WriteTensorScales(const std::string& path, const std::vector<std::pair<std::string, float>>& scales);

// The commands for trtexec that build an engine from the files just written. An empty path is left out.
struct TrtexecInputs {
  std::string fp32_onnx, cache, qdq_onnx;
  std::vector<std::string> keep_fp32;  // as ONNX names
  std::string version = "8.6.1";
  bool dla = false;
  std::string input;  // "" when the batch is fixed, else name and shape: "input_1:1x3x224x224"
};
std::string TrtexecCommands(const TrtexecInputs& inputs);

// The shape argument of trtexec for a graph with a dynamic batch, or "".
std::string DynamicInputShape(const ir::Graph& graph, int64_t batch);

// The Q/DQ graph in ONNX Runtime's dialect (passes/qdq_variants.h).
ir::Graph ForOnnxRuntime(const ir::Graph& quantized);

}  // namespace octet::task
