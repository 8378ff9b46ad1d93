// octet classification build (TAO's gen_trt_engine): the INT8 plan.
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "ir/model_file.h"
#include "onnx/onnx_import.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "quant/quantize.h"
#include "task/calibrate.h"
#include "task/classification/classification.h"
#include "task/classification/own_network.h"
#include "task/classification/setup.h"
#include "task/predictor.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task::classification {
namespace {

constexpr const char* kCalibration = "gen_trt_engine.tensorrt.calibration.";

struct Source {
  ir::Graph graph;
  std::map<std::string, std::string> info;
};

// Class names for a network that comes without: the class map that the spec names, or the one beside the training.
std::vector<std::string> ClassNames(const spec::Spec& spec) {
  for (const char* key : {"evaluate.classmap", "inference.classmap"}) {
    if (!spec.GetString(key).empty()) return data::ReadClassmap(spec.GetString(key));
  }
  const std::string beside = ResultsFolder(spec, "train") + "/classmap.json";
  if (FileExists(beside)) return data::ReadClassmap(beside);
  return {};
}

Source LoadSource(const spec::Spec& spec, const std::string& path) {
  Source source;
  switch (KindOfFile(path)) {
    case FileKind::kModel: {
      ir::Model model = ir::ReadModel(path);
      source.graph = std::move(model.graph);
      source.info = std::move(model.info);
      source.info.erase("spec");
      break;
    }
    case FileKind::kOnnx:
      source.graph = passes::CompleteClassifier(onnx::ImportOnnx(path));
      source.info = DescribeData(ClassNames(spec), PreprocessFromSpec(WithInputOf(spec, path)));
      break;
    default: OCTET_FAIL("gen_trt_engine.onnx_file '{}' is neither an .onnx nor an .octet file", path);
  }
  RequireInputSize(source.graph, PreprocessOf(source.info, spec, path), path);
  return source;
}

// Scales of every tensor of `graph` by post-training calibration on cal_image_dir.
tensorrt::CalibrationCache CalibrateImages(const spec::Spec& spec, const ir::Graph& graph,
                                           const data::PreprocessOptions& preprocess) {
  const std::string folder = spec.GetString(std::string(kCalibration) + "cal_image_dir");
  OCTET_REQUIRE(
      !folder.empty(),
      "{}: the network has no Q/DQ nodes and there is no calibration cache, so INT8 needs images to calibrate with; "
      "set "
      "gen_trt_engine.tensorrt.calibration.cal_image_dir, or give a QAT export (qdq.onnx, or fp32.onnx with its cache)",
      spec.file());
  const int64_t batch_size = spec.GetInt(std::string(kCalibration) + "cal_batch_size");
  const int64_t batches = spec.GetInt(std::string(kCalibration) + "cal_batches");
  std::vector<data::ImageFile> files = data::ListImages(folder);
  // Every n-th file, so that few images still come from all class folders.
  const auto wanted = static_cast<size_t>(batch_size * batches);
  if (files.size() > wanted) {
    std::vector<data::ImageFile> spread;
    for (size_t i = 0; i < wanted; ++i) spread.push_back(files[i * files.size() / wanted]);
    files = std::move(spread);
  }
  data::ImageSetOptions set_options;
  set_options.decode.channels = preprocess.channels;
  set_options.decode.depth = preprocess.depth;
  set_options.threads = HardwareThreads();
  set_options.what = "calibration images";
  const auto images = std::make_shared<data::ImageSet>(files, set_options);
  data::LoaderOptions options;
  options.batch_size = static_cast<int>(batch_size);
  options.workers = HardwareThreads();
  data::DataLoader loader(images, preprocess, options);
  loader.StartEpoch(0);
  Progress progress("calibrate", images->size(), "images");
  CalibrationOptions calibration;
  calibration.method = quant::CalibrationMethodFromName(spec.GetString("quant.calibration"));
  calibration.percentile = spec.GetFloat("quant.percentile");
  calibration.device = DeviceFromSpec(spec);
  const std::map<std::string, float> amax = Calibrate(
      graph,
      [&](Tensor& out) {
        data::Batch batch;
        if (!loader.Next(&batch)) return false;
        out = batch.images;
        progress.Advance(out.dim(0));
        return true;
      },
      calibration);
  progress.Finish(quant::NameOf(calibration.method));
  tensorrt::CalibrationCache cache;
  cache.version = tensorrt::VersionInteger(spec.GetString("export.tensorrt_version"));
  for (const std::string& name : CalibratedTensors(graph))
    cache.entries.push_back({name, quant::ScaleOfAmax(amax.at(name))});
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

void Build(const spec::Spec& spec) {
  WithReport(spec, "build", [&](report::RunReport& report) {
    const std::string type = spec.GetString("gen_trt_engine.tensorrt.data_type");
    OCTET_REQUIRE(type == "int8" || !spec.IsSet("gen_trt_engine.tensorrt.data_type"),
                  "{}: gen_trt_engine.tensorrt.data_type is '{}'; octet builds INT8 plans only: set int8",
                  spec.Where("gen_trt_engine.tensorrt.data_type"), type);
    const std::string path = spec.RequireFile("gen_trt_engine.onnx_file");
    const std::string plan_path = spec.GetString("gen_trt_engine.trt_engine").empty()
                                      ? report.folder() + "/model.plan"
                                      : spec.GetString("gen_trt_engine.trt_engine");
    Source source = LoadSource(spec, path);
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
        cache = CalibrateImages(spec, folded, PreprocessOf(source.info, spec, path));
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
  });
}

}  // namespace octet::task::classification
