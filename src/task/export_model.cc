#include "task/export_model.h"

#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "onnx/onnx_export.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "task/calibrate.h"
#include "task/calibrate_model.h"
#include "task/ptq/full_coverage.h"
#include "task/ptq/write_deployment.h"
#include "task/run.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {

namespace {

// Scales of the cache: what QAT learned, and with coverage full what calibration adds.
std::vector<std::pair<std::string, float>> ScalesToWrite(const spec::Spec& spec, const ir::Model& trained,
                                                         const ir::Graph& folded, const ir::Graph& quantized,
                                                         const CalibrationImages& images, report::RunReport& report) {
  const passes::Scales learned = passes::CollectScales(quantized);
  report.Metric("scales_qat", static_cast<double>(learned.size()));
  if (spec.GetString("export.coverage") == "fused") return {learned.begin(), learned.end()};
  CalibrationOptions calibration;
  calibration.method = quant::CalibrationMethodFromName(spec.GetString("quant.calibration"));
  calibration.percentile = spec.GetFloat("quant.percentile");
  calibration.device = DeviceFromSpec(spec);
  const OpenImages open = CalibrationImagesFromSpec(spec, images, trained.info);
  const CoveredScales covered = CoverEveryTensor(folded, passes::StripQdq(folded), open(), calibration);
  std::vector<std::pair<std::string, float>> scales(learned.begin(), learned.end());
  std::set<std::string> known;
  for (const auto& [name, scale] : learned) known.insert(name);
  for (const auto& entry : covered.scales) {
    if (known.insert(entry.first).second) scales.push_back(entry);
  }
  report.Metric("scales_full", static_cast<double>(scales.size()));
  return scales;
}

}  // namespace

void ExportModel(const spec::Spec& spec, const ir::Model& trained, report::RunReport& report,
                 const CalibrationImages& images, const std::function<ir::Graph(ir::Graph)>& finish) {
  const std::string onnx_file = OnnxPathOr(spec, "export.onnx_file", report.folder() + "/fp32.onnx");
  const std::string qdq_file = OnnxPathOr(spec, "export.qdq_file", report.folder() + "/qdq.onnx");
  const std::string cache_file = PathOr(spec, "export.cache_file", report.folder() + "/calib.cache");
  const std::string target_version = spec.GetString("export.tensorrt_version");
  const bool reads_caches = std::atoi(target_version.c_str()) < 11;
  const int version = reads_caches ? tensorrt::VersionInteger(target_version) : 0;
  onnx::ExportOptions options;
  options.opset = static_cast<int>(spec.GetInt("export.opset"));
  options.producer_version = report::OctetVersion();

  const ir::Graph folded = passes::PrepareForExport(trained.graph);
  const auto finished = [&](const ir::Graph& graph) { return finish ? finish(graph) : graph; };
  const ir::Graph plain = finished(passes::StripQdq(folded));
  onnx::ExportOnnx(plain, onnx_file, options);
  report.OutputFile("fp32_onnx", onnx_file);
  fmt::print("FP32 ONNX           {}\n", onnx_file);
  if (!passes::HasQdq(folded)) {
    fmt::print(
        "The model is not quantized: no calibration cache and no Q/DQ file. `octet {} calibrate` quantizes it after "
        "training (PTQ); train.qat: true trains with quantization.\n",
        spec.table().task);
    report.Success("Export finished successfully.");
    return;
  }
  const ir::Graph quantized = finished(folded);
  const auto file = [&](const std::string& what, const std::string& label, const std::string& path) {
    report.OutputFile(what, path);
    fmt::print("{:<19} {}\n", label, path);
    return path;
  };
  TrtexecInputs trtexec;
  trtexec.fp32_onnx = onnx_file;
  trtexec.version = target_version;
  trtexec.dla = spec.GetString("export.coverage") == "full";
  trtexec.input = DynamicInputShape(plain, 1);
  const std::string target = spec.GetString("export.qdq_target");
  if (target != "ort") {
    trtexec.qdq_onnx = file("qdq_onnx", "Q/DQ ONNX", qdq_file);
    onnx::ExportOnnx(quantized, qdq_file, options);
  }
  if (target != "trt") {
    const std::string path = target == "ort" ? qdq_file : qdq_file.substr(0, qdq_file.size() - 5) + "_ort.onnx";
    onnx::ExportOnnx(ForOnnxRuntime(quantized), file("qdq_ort_onnx", "Q/DQ ONNX Runtime", path), options);
  }

  const std::map<std::string, std::string> names = onnx::ExportNames(plain);
  tensorrt::CalibrationCache cache;
  cache.version = version;
  std::vector<std::pair<std::string, float>> exported;
  for (const auto& [name, scale] : ScalesToWrite(spec, trained, folded, quantized, images, report)) {
    cache.entries.push_back({names.at(name), scale});
    exported.emplace_back(names.at(name), scale);
  }
  if (reads_caches) {
    tensorrt::WriteCalibrationCache(cache_file, cache);
    trtexec.cache = file("calibration_cache", "calibration cache", cache_file);
  }
  WriteTensorScales(file("tensor_scales", "tensor scales", report.folder() + "/tensor_scales.json"), exported);

  const auto ptq = task::CalibratedTensors(plain).size();
  report.Metric("scales_ptq", static_cast<double>(ptq));
  const auto learned = passes::CollectScales(quantized).size();
  fmt::print("scales: QAT wrote {}, post-training calibration of the same network writes {}\n", learned, ptq);
  if (exported.size() != learned) fmt::print("scales: with full coverage {}\n", exported.size());
  const std::string commands = TrtexecCommands(trtexec);
  WriteFileAtomic(file("trtexec", "trtexec commands", report.folder() + "/trtexec.txt"), commands);
  fmt::print("{}", commands);
  report.Success("Export finished successfully.");
}

}  // namespace octet::task
