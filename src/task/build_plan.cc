#include "task/build_plan.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "quant/quantize.h"
#include "task/run.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {
namespace {

constexpr const char* kCalibration = "gen_trt_engine.tensorrt.calibration.";

// Scales of every tensor of `graph` by post-training calibration on cal_image_dir.
tensorrt::CalibrationCache CalibrateCache(const spec::Spec& spec, const ir::Graph& graph, const CalibrationImages& make,
                                          const std::map<std::string, std::string>& info) {
  const std::string folder = spec.GetString(std::string(kCalibration) + "cal_image_dir");
  OCTET_REQUIRE(
      !folder.empty(),
      "{}: the network has no Q/DQ nodes and there is no calibration cache, so INT8 needs images to calibrate with; "
      "set gen_trt_engine.tensorrt.calibration.cal_image_dir, or give a QAT export (qdq.onnx, or fp32.onnx with its "
      "cache)",
      spec.file());
  const int64_t batch_size = spec.GetInt(std::string(kCalibration) + "cal_batch_size");
  std::vector<data::ImageFile> files = data::ListImages(folder);
  // Every n-th file, so that few images still come from all class folders.
  const auto wanted = static_cast<size_t>(batch_size * spec.GetInt(std::string(kCalibration) + "cal_batches"));
  if (files.size() > wanted) {
    std::vector<data::ImageFile> spread;
    for (size_t i = 0; i < wanted; ++i) spread.push_back(files[i * files.size() / wanted]);
    files = std::move(spread);
  }
  const ImageSource source = make(files, static_cast<int>(batch_size), info);
  Progress progress("calibrate", static_cast<int64_t>(files.size()), "images");
  CalibrationOptions options;
  options.method = quant::CalibrationMethodFromName(spec.GetString("quant.calibration"));
  options.percentile = spec.GetFloat("quant.percentile");
  options.device = DeviceFromSpec(spec);
  const std::map<std::string, float> amax = Calibrate(
      graph,
      [&](Tensor& out) {
        if (!source(out)) return false;
        progress.Advance(out.dim(0));
        return true;
      },
      options);
  progress.Finish(quant::NameOf(options.method));
  tensorrt::CalibrationCache cache;
  cache.version = tensorrt::VersionInteger(spec.GetString("export.tensorrt_version"));
  for (const std::string& name : CalibratedTensors(graph)) {
    cache.entries.push_back({name, quant::ScaleOfAmax(amax.at(name))});
  }
  return cache;
}

// What TensorRT's implicit mode does with a cache: layers whose tensors all have scales run in INT8.
ir::Graph ApplyCache(const ir::Graph& graph, const tensorrt::CalibrationCache& cache) {
  passes::InsertQdqOptions options;
  options.implicit = true;
  options.observer = "";
  int64_t unknown = 0;
  for (const tensorrt::CacheEntry& entry : cache.entries) {
    if (graph.Find(entry.name) == ir::kNoValue) ++unknown;
    OCTET_REQUIRE(entry.scale > 0, "calibration cache: the scale of '{}' is {}; a scale must be positive", entry.name,
                  entry.scale);
    options.scales[entry.name] = entry.scale;
  }
  if (unknown > 0)
    LogWarning("calibration cache: {} of {} entries name no tensor of the network; they are ignored", unknown,
               cache.entries.size());
  ir::Graph quantized = passes::PrepareForPtq(graph, options);
  OCTET_REQUIRE(
      passes::HasQdq(quantized),
      "calibration cache: no layer of the network has scales for its input and its output; is it the cache of "
      "another network?");
  return quantized;
}

}  // namespace

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
    tensorrt::CalibrationCache cache;
    if (!cache_path.empty() && FileExists(cache_path)) {
      cache = tensorrt::ReadCalibrationCache(cache_path);
      for (const std::string& warning : cache.warnings) LogWarning("{}", warning);
      how = "calibration cache " + cache_path;
    } else {
      cache = CalibrateCache(spec, folded, images, source.info);
      const std::string written = cache_path.empty() ? report.folder() + "/calib.cache" : cache_path;
      tensorrt::WriteCalibrationCache(written, cache);
      how = "post-training calibration (" + spec.GetString("quant.calibration") + "), cache written to " + written;
      report.OutputFile("calibration_cache", written);
    }
    report.Metric("scales", static_cast<double>(cache.entries.size()));
    source.graph = ApplyCache(source.graph, cache);
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
