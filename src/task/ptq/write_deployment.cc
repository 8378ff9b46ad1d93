#include "task/ptq/write_deployment.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "engine/plan.h"
#include "onnx/onnx_export.h"
#include "passes/pipelines.h"
#include "passes/qdq_variants.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {
namespace {

// A word of a shell command.
std::string Quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-./:,=+@%") == std::string::npos;
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

int MajorOf(const std::string& version) {
  return std::atoi(version.c_str());
}

}  // namespace

void WriteTensorScales(const std::string& path, const std::vector<std::pair<std::string, float>>& scales) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
  for (const auto& [name, scale] : scales) tensors[name] = scale * 127.0f;
  WriteFileAtomic(path, nlohmann::ordered_json{{"tensor_scales", tensors}}.dump(4) + "\n");
}

std::string DynamicInputShape(const ir::Graph& graph, int64_t batch) {
  const ir::Value& in = graph.value(graph.inputs().at(0));
  if (in.type.shape.empty() || in.type.shape[0] >= 0) return "";
  std::vector<std::string> sizes;
  for (const int64_t d : in.type.shape) sizes.push_back(std::to_string(d < 0 ? batch : d));
  return onnx::ExportNames(graph).at(in.name) + ":" + Join(sizes, "x");
}

std::string TrtexecCommands(const TrtexecInputs& in) {
  std::string text;
  const std::string shapes =
      in.input.empty() ? "" : fmt::format(" --minShapes={0} --optShapes={0} --maxShapes={0}", Quoted(in.input));
  const bool implicit = MajorOf(in.version) <= 10;
  if (!in.cache.empty() && implicit) {
    std::string line = fmt::format("trtexec --onnx={} --int8 --calib={}", Quoted(in.fp32_onnx), Quoted(in.cache));
    if (in.dla) line += " --fp16 --useDLACore=0 --allowGPUFallback";
    if (!in.keep_fp32.empty()) {
      std::vector<std::string> layers;
      for (const std::string& name : in.keep_fp32) layers.push_back(name + (in.dla ? ":fp16" : ":fp32"));
      line += " --precisionConstraints=obey --layerPrecisions=" + Quoted(Join(layers, ","));
    }
    text += "# implicit quantization: FP32 ONNX and calibration cache (TensorRT 5 to 10" +
            std::string(in.dla ? ", DLA)\n" : ")\n") + line + (in.dla ? "" : shapes) + " --saveEngine=model.engine\n";
  }
  if (!in.qdq_onnx.empty() && !in.dla) {
    const std::string precision = implicit ? " --int8" : "";  // TensorRT 11 takes precisions from the graph alone
    text += "# explicit quantization: Q/DQ nodes (TensorRT 8 and later)\ntrtexec --onnx=" + Quoted(in.qdq_onnx) +
            precision + shapes + " --saveEngine=model.engine\n";
  }
  return text;
}

ir::Graph ForOnnxRuntime(const ir::Graph& quantized) {
  return passes::UseUnsignedActivations(passes::StoreWeightCodes(quantized));
}

std::vector<std::pair<std::string, std::string>> WriteDeployment(
    const ir::Graph& float_graph, const ir::Graph& quantized, const std::vector<std::pair<std::string, float>>& scales,
    const std::vector<std::string>& keep_fp32, const DeploymentOptions& o) {
  OCTET_REQUIRE(o.qdq_target == "trt" || o.qdq_target == "ort" || o.qdq_target == "both",
                "Q/DQ target '{}'; expected trt, ort or both", o.qdq_target);
  const int version = tensorrt::VersionInteger(MajorOf(o.tensorrt_version) >= 11 ? "10.3.0" : o.tensorrt_version);
  std::vector<std::pair<std::string, std::string>> files;
  const auto file = [&](const std::string& what, const std::string& name) {
    files.emplace_back(what, o.folder + "/" + (o.stem.empty() ? "" : o.stem + ".") + name);
    return files.back().second;
  };
  onnx::ExportOptions onnx_options;
  onnx_options.opset = o.opset;
  onnx_options.producer_version = report::OctetVersion();
  TrtexecInputs trtexec;
  trtexec.fp32_onnx = file("fp32_onnx", "fp32.onnx");
  onnx::ExportOnnx(float_graph, trtexec.fp32_onnx, onnx_options);
  if (o.qdq_target != "ort") {
    trtexec.qdq_onnx = file("qdq_onnx", "qdq.onnx");
    onnx::ExportOnnx(quantized, trtexec.qdq_onnx, onnx_options);
  }
  if (o.qdq_target != "trt")
    onnx::ExportOnnx(ForOnnxRuntime(quantized), file("qdq_ort_onnx", "qdq_ort.onnx"), onnx_options);

  const std::map<std::string, std::string> names = onnx::ExportNames(float_graph);
  tensorrt::CalibrationCache cache;
  cache.version = version;
  std::vector<std::pair<std::string, float>> exported;
  for (const auto& [name, scale] : scales) {
    // DLA would round a result that has a scale.
    const ir::ValueId id = float_graph.Find(name);
    if (o.dla && float_graph.is_output(id) && float_graph.value(id).consumers.empty()) continue;
    cache.entries.push_back({names.at(name), scale});
    exported.emplace_back(names.at(name), scale);
  }
  if (MajorOf(o.tensorrt_version) < 11) {
    trtexec.cache = file("calibration_cache", "calib.cache");
    tensorrt::WriteCalibrationCache(trtexec.cache, cache);
  }
  WriteTensorScales(file("tensor_scales", "tensor_scales.json"), exported);

  for (std::string name : keep_fp32) {
    std::replace(name.begin(), name.end(), ':', '_');  // as the ONNX file names its nodes
    trtexec.keep_fp32.push_back(name);
  }
  trtexec.version = o.tensorrt_version;
  trtexec.dla = o.dla;
  trtexec.input = DynamicInputShape(float_graph, 1);
  if (!keep_fp32.empty()) {
    std::string lines;
    for (const std::string& name : trtexec.keep_fp32) lines += name + (o.dla ? ":fp16\n" : ":fp32\n");
    WriteFileAtomic(file("layer_precisions", "layer_precisions.txt"), lines);
  }
  WriteFileAtomic(file("trtexec", "trtexec.txt"), TrtexecCommands(trtexec));
  if (o.write_plan) {
    engine::Plan plan;
    plan.graph = passes::PrepareForEngine(quantized);
    plan.info = o.info;
    engine::WritePlan(file("plan", "model.plan"), plan);
  }
  return files;
}

}  // namespace octet::task
