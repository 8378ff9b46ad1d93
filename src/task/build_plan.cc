#include "task/build_plan.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "ir/model_file.h"
#include "onnx/onnx_export.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "task/calibrate_model.h"
#include "task/predictor.h"
#include "task/ptq/apply_cache.h"
#include "task/ptq/calibration_images.h"
#include "task/run.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {
namespace {

constexpr const char* kCalibration = "gen_trt_engine.tensorrt.calibration.";

// Post-training calibration on cal_image_dir: ranges only, since the weights are those of the ONNX file.
PtqResult CalibrateRanges(const spec::Spec& spec, const ir::Graph& graph, const CalibrationImages& make,
                          const std::map<std::string, std::string>& info) {
  const std::string folder = spec.GetString(std::string(kCalibration) + "cal_image_dir");
  OCTET_REQUIRE(
      !folder.empty(),
      "{}: the network has no Q/DQ nodes and there is no calibration cache, so INT8 needs images to calibrate with; "
      "set gen_trt_engine.tensorrt.calibration.cal_image_dir, or give a QAT export (qdq.onnx, or fp32.onnx with its "
      "cache)",
      spec.file());
  const int64_t batch_size = spec.GetInt(std::string(kCalibration) + "cal_batch_size");
  // Every n-th file, so that few images still come from all class folders.
  const std::vector<data::ImageFile> files =
      SpreadEvenly(data::ListImages(folder),
                   static_cast<size_t>(batch_size * spec.GetInt(std::string(kCalibration) + "cal_batches")));
  PtqOptions options = PtqFromSpec(spec);
  options.equalize = options.correct_bias = Apply::kNo;
  options.max_drop = options.min_sqnr_db = -1;
  return QuantizeAfterTraining(
      graph, [&] { return make(files, static_cast<int>(batch_size), info); }, options);
}

}  // namespace

PlanSource ReadPlanSource(const std::string& path, const std::function<PlanSource()>& import) {
  const FileKind kind = KindOfFile(path);
  if (kind == FileKind::kOnnx) return import();
  OCTET_REQUIRE(kind == FileKind::kModel, "'{}' is neither an .onnx nor an .octet file", path);
  ir::Model model = ir::ReadModel(path);
  model.info.erase("spec");
  return {std::move(model.graph), std::move(model.info)};
}

void BuildPlan(const spec::Spec& spec, report::RunReport& report, const LoadPlanSource& load,
               const CalibrationImages& images) {
  const std::string type = spec.GetString("gen_trt_engine.tensorrt.data_type");
  OCTET_REQUIRE(type == "int8" || !spec.IsSet("gen_trt_engine.tensorrt.data_type"),
                "{}: gen_trt_engine.tensorrt.data_type is '{}'; octet builds INT8 plans only: set int8",
                spec.Where("gen_trt_engine.tensorrt.data_type"), type);
  const std::string path = spec.RequireFile("gen_trt_engine.onnx_file");
  const std::string plan_path = spec.GetString("gen_trt_engine.trt_engine").empty()
                                    ? report.folder() + "/model.plan"
                                    : spec.GetString("gen_trt_engine.trt_engine");
  PlanSource source = load(path);
  std::string how = "Q/DQ of the file";
  if (!passes::HasQdq(source.graph)) {
    const ir::Graph folded = passes::PrepareForExport(source.graph);
    const std::string cache_path = spec.GetString(std::string(kCalibration) + "cal_cache_file");
    std::set<std::string> keep;
    for (const std::string& name : spec.GetStrings("quant.keep_fp32")) keep.insert(name);
    if (!cache_path.empty() && FileExists(cache_path)) {
      const tensorrt::CalibrationCache cache = tensorrt::ReadCalibrationCache(cache_path);
      for (const std::string& warning : cache.warnings) LogWarning("{}", warning);
      how = "calibration cache " + cache_path;
      source.graph = ApplyCache(folded, cache, keep);
      report.Metric("scales", static_cast<double>(cache.entries.size()));
    } else {
      const PtqResult result = CalibrateRanges(spec, folded, images, source.info);
      const std::map<std::string, std::string> names = onnx::ExportNames(folded);
      tensorrt::CalibrationCache cache;
      cache.version = tensorrt::VersionInteger(spec.GetString("export.tensorrt_version"));
      for (const auto& [name, scale] : result.scales) cache.entries.push_back({names.at(name), scale});
      const std::string written = cache_path.empty() ? report.folder() + "/calib.cache" : cache_path;
      tensorrt::WriteCalibrationCache(written, cache);
      how = "post-training calibration (" + spec.GetString("quant.calibration") + "), cache written to " + written;
      report.OutputFile("calibration_cache", written);
      report.Metric("scales", static_cast<double>(cache.entries.size()));
      report.Metric("sqnr_db", result.error.sqnr_db);
      source.graph = result.quantized;
    }
  }
  const Progress clock("", 0, "");
  engine::Plan plan;
  plan.graph = passes::PrepareForEngine(source.graph);
  plan.info = source.info;
  engine::WritePlan(plan_path, plan);
  const engine::Engine engine = engine::Engine::Load(plan_path);
  report.TimingSeconds("build", clock.seconds());
  const passes::QuantizerCounts counts = passes::CountQuantizers(source.graph);
  report.Metric("activation_scales", counts.activations);
  report.Metric("weight_scales", counts.weights);
  report.Metric("plan_bytes", static_cast<double>(ReadFile(plan_path).size()));
  report.OutputFile("plan", plan_path);
  fmt::print("INT8 plan   {}\nranges      {}\n{}\n", plan_path, how, engine.description());
  report.Success("Engine generation finished successfully.");
}

}  // namespace octet::task
