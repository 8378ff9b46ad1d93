#include "task/ptq/quantize_file.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "data/preprocess_json.h"
#include "engine/engine.h"
#include "ir/model_file.h"
#include "onnx/onnx_import.h"
#include "passes/insert_qdq.h"
#include "passes/simplify_imported.h"
#include "quant/quantize.h"
#include "task/predictor.h"

namespace octet::task {
namespace {

bool HoldsTensors(const std::string& path) {
  return IsDirectory(path) && !MatchingFiles(path + "/*.npy").empty();
}

std::string Settings(const QuantizeFileOptions& o) {
  return fmt::format(
      "file: {}\nimages: {}\nmax_images: {}\npreprocess: {}\nmethod: {}\npercentile: {}\nprobe_images: {}\n"
      "max_drop: {}\nmin_sqnr: {}\ntensorrt: {}\nopset: {}\nqdq: {}\n",
      o.path, o.images.path, o.images.max_images, data::NameOf(o.images.preprocess.mode), quant::NameOf(o.ptq.method),
      o.ptq.percentile, o.ptq.probe_images, o.ptq.max_drop, o.ptq.min_sqnr_db, o.deployment.tensorrt_version,
      o.deployment.opset, o.deployment.qdq_target);
}

}  // namespace

ir::Graph LoadFloatNetwork(const std::string& path, const std::map<std::string, Shape>& input_shapes,
                           std::map<std::string, std::string>* info) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: {
      ir::Model model = ir::ReadModel(path);
      if (info != nullptr) *info = model.info;
      return std::move(model.graph);
    }
    case FileKind::kOnnx: {
      onnx::ImportOptions options;
      options.input_shapes = input_shapes;
      ir::Graph graph = onnx::ImportOnnx(path, options);
      // Q/DQ pairs stand where they stand; a float network gets the form that fusion regions know.
      return passes::HasQdq(graph) ? graph : passes::SimplifyImported(std::move(graph));
    }
    default: break;
  }
  OCTET_FAIL("'{}' is neither an .onnx nor an .octet file", path);
}

void UsePreprocessingOf(const std::map<std::string, std::string>& info, QuantizeFileOptions* o) {
  const auto known = info.find("preprocess");
  if (o->preprocess_mode.empty() && known != info.end()) data::ReadPreprocessJson(known->second, &o->images.preprocess);
  OCTET_REQUIRE(HoldsTensors(o->images.path) || !o->preprocess_mode.empty() || known != info.end(),
                "'{}' does not say how images are prepared; give what it was trained with: --mode torch, caffe, tf, "
                "or affine with --mean and --std",
                o->path);
}

std::string RangesCsv(const PtqResult& result) {
  std::string text = "tensor,min,max,amax,scale,method,error\n";
  for (const auto& [name, scale] : result.scales) {
    const ChosenRange& range = result.ranges.at(name);
    const auto& [low, high] = result.extremes.at(name);
    std::string quoted = name;
    if (name.find_first_of(",\"") != std::string::npos) quoted = "\"" + name + "\"";
    text += fmt::format("{},{:.7g},{:.7g},{:.7g},{:.9g},{},{}\n", quoted, low, high, scale * 127.0f, scale,
                        quant::NameOf(range.method), range.error < 0 ? "" : fmt::format("{:.4g}", range.error));
  }
  return text;
}

void ReportQuantization(const PtqResult& result, const std::vector<std::pair<std::string, std::string>>& files,
                        report::RunReport& report) {
  const passes::QuantizerCounts counts = passes::CountQuantizers(result.quantized);
  report.Metric("images", static_cast<double>(result.images));
  report.Metric("probe_images", static_cast<double>(result.probe_images));
  report.Metric("scales", static_cast<double>(result.scales.size()));
  report.Metric("activation_scales", counts.activations);
  report.Metric("weight_scales", counts.weights);
  report.Metric("sqnr_db", result.error.sqnr_db);
  if (result.error.classifies) report.Metric("top1_agreement", result.error.agreement);
  report.Metric("layers_kept_fp32", static_cast<double>(result.kept_fp32.size()));
  std::vector<std::pair<std::string, std::map<std::string, double>>> steps;
  fmt::print("{} images, {} of them measured\n", result.images, result.probe_images);
  for (const PtqStep& step : result.steps) {
    std::map<std::string, double> row = {{"sqnr_db", step.error.sqnr_db}, {"kept", step.kept ? 1.0 : 0.0}};
    if (step.error.classifies) row["top1_agreement"] = step.error.agreement;
    steps.emplace_back(step.what, row);
    fmt::print("  {:<46} SQNR {:6.2f} dB{}{}\n", step.what, step.error.sqnr_db,
               step.error.classifies ? fmt::format("  same class {:5.1f} %", 100 * step.error.agreement) : "",
               step.kept ? "" : "  (not kept)");
  }
  report.MetricTable("steps", steps);
  std::map<std::string, int> methods;
  for (const auto& [name, range] : result.ranges) {
    if (range.error >= 0) ++methods[quant::NameOf(range.method)];
  }
  if (!methods.empty()) {
    std::string text;
    for (const auto& [name, count] : methods) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, count);
    fmt::print("methods of the tensors that were measured: {}\n", text);
  }
  if (!result.kept_fp32.empty()) {
    std::string text;
    for (const std::string& name : result.kept_fp32) text += " " + name;
    fmt::print("in FP32 beside the output layers:{}\n", text);
  }
  for (const auto& [what, path] : files) {
    report.OutputFile(what, path);
    fmt::print("{:<18} {}\n", what, path);
    if (what == "trtexec") fmt::print("{}", ReadFile(path));
  }
}

void QuantizeFile(const QuantizeFileOptions& given) {
  QuantizeFileOptions o = given;
  report::RunReport report(o.deployment.folder, "quantize", "quantize", Settings(o));
  try {
    std::map<std::string, std::string> info;
    const ir::Graph graph = LoadFloatNetwork(o.path, o.input_shapes, &info);
    UsePreprocessingOf(info, &o);
    const OpenImages open = OpenCalibrationImages(graph, o.images);
    if (!HoldsTensors(o.images.path)) {
      const ImageInput input = ImageInputOf(graph);
      data::PreprocessOptions& p = o.images.preprocess;
      p.width = input.width;
      p.height = input.height;
      p.channels = input.channels;
      info["preprocess"] = data::PreprocessToJson(p);
    }
    info.erase("spec");
    const PtqResult result = QuantizeAfterTraining(graph, open, o.ptq);
    o.deployment.info = info;
    auto files = WriteDeployment(result.float_graph, result.quantized, result.scales, result.kept_fp32, o.deployment);
    files.emplace_back("ranges", o.deployment.folder + "/ranges.csv");
    WriteFileAtomic(files.back().second, RangesCsv(result));
    ReportQuantization(result, files, report);
    report.Success("Quantization finished successfully.");
  } catch (const std::exception& e) {
    report.Failure(e.what());
    throw;
  }
}

}  // namespace octet::task
