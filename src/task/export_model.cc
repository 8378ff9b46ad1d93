#include "task/export_model.h"

#include "base/error.h"
#include "base/log.h"
#include "onnx/onnx_export.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "task/calibrate.h"
#include "task/run.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {

void ExportModel(const spec::Spec& spec, const ir::Graph& trained, report::RunReport& report,
                 const std::function<ir::Graph(ir::Graph)>& finish) {
  const std::string onnx_file = OnnxPathOr(spec, "export.onnx_file", report.folder() + "/fp32.onnx");
  const std::string qdq_file = OnnxPathOr(spec, "export.qdq_file", report.folder() + "/qdq.onnx");
  const std::string cache_file = PathOr(spec, "export.cache_file", report.folder() + "/calib.cache");
  const int version = tensorrt::VersionInteger(spec.GetString("export.tensorrt_version"));
  onnx::ExportOptions options;
  options.opset = static_cast<int>(spec.GetInt("export.opset"));
  options.producer_version = report::OctetVersion();

  const ir::Graph folded = passes::PrepareForExport(trained);
  const auto finished = [&](const ir::Graph& graph) { return finish ? finish(graph) : graph; };
  const ir::Graph plain = finished(passes::StripQdq(folded));
  onnx::ExportOnnx(plain, onnx_file, options);
  report.OutputFile("fp32_onnx", onnx_file);
  fmt::print("FP32 ONNX           {}\n", onnx_file);
  if (!passes::HasQdq(folded)) {
    fmt::print(
        "The model is not quantized: no calibration cache and no Q/DQ file. `octet {} build` calibrates "
        "the ONNX file (PTQ); train.qat: true trains with quantization.\n",
        spec.table().task);
    report.Success("Export finished successfully.");
    return;
  }
  const ir::Graph quantized = finished(folded);
  onnx::ExportOnnx(quantized, qdq_file, options);

  const std::map<std::string, std::string> names = onnx::ExportNames(plain);
  tensorrt::CalibrationCache cache;
  cache.version = version;
  for (const auto& [name, scale] : passes::CollectScales(quantized)) cache.entries.push_back({names.at(name), scale});
  tensorrt::WriteCalibrationCache(cache_file, cache);

  const auto ptq = task::CalibratedTensors(plain).size();
  report.OutputFile("qdq_onnx", qdq_file);
  report.OutputFile("calibration_cache", cache_file);
  report.Metric("scales_qat", static_cast<double>(cache.entries.size()));
  report.Metric("scales_ptq", static_cast<double>(ptq));
  fmt::print("calibration cache   {} (TensorRT {})\n", cache_file, tensorrt::VersionText(version));
  fmt::print("Q/DQ ONNX           {}\n", qdq_file);
  fmt::print("scales: QAT wrote {}, post-training calibration of the same network writes {}\n", cache.entries.size(),
             ptq);
  report.Success("Export finished successfully.");
}

}  // namespace octet::task
