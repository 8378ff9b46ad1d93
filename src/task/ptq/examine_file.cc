#include "task/ptq/examine_file.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "task/ptq/apply_cache.h"
#include "task/ptq/range_report.h"
#include "tensorrt/calibration_cache.h"

namespace octet::task {
namespace {

struct Examined {
  ir::Graph graph;  // quantized where a cache or the file says how
  OpenImages images;
};

Examined Open(const QuantizeFileOptions& given, const std::string& cache_path) {
  QuantizeFileOptions o = given;
  std::map<std::string, std::string> info;
  Examined e;
  e.graph = LoadFloatNetwork(o.path, o.input_shapes, &info);
  UsePreprocessingOf(info, &o);
  e.images = OpenCalibrationImages(e.graph, o.images);
  if (cache_path.empty()) return e;
  OCTET_REQUIRE(!passes::HasQdq(e.graph), "'{}' has Q/DQ nodes; it needs no calibration cache", o.path);
  const tensorrt::CalibrationCache cache = tensorrt::ReadCalibrationCache(cache_path);
  for (const std::string& warning : cache.warnings) LogWarning("{}", warning);
  e.graph = ApplyCache(e.graph, cache, o.ptq.keep_fp32);
  return e;
}

// At most `count` images of a source, as they come.
std::vector<Tensor> FirstImages(const ImageSource& source, int64_t count) {
  std::vector<Tensor> batches;
  Tensor batch;
  for (int64_t have = 0; have < count && source(batch); have += batch.dim(0)) batches.push_back(batch);
  OCTET_REQUIRE(!batches.empty(), "no images to measure with");
  return batches;
}

}  // namespace

std::string ExamineRanges(const QuantizeFileOptions& options, const std::string& cache, bool json) {
  const Examined e = Open(options, cache);
  const RangeReport report = ReportRanges(e.graph, e.images(), options.ptq.device);
  return json ? FormatRangesJson(report) : FormatRanges(report);
}

std::string ExamineSensitivity(const QuantizeFileOptions& given, const std::string& cache, SensitivityMode mode,
                               bool json) {
  QuantizeFileOptions options = given;
  options.images.max_images =
      passes::HasQdq(LoadFloatNetwork(given.path, given.input_shapes, nullptr)) || !cache.empty()
          ? options.ptq.probe_images  // evenly spread
          : options.images.max_images;
  const Examined e = Open(options, cache);
  ir::Graph float_graph, reference;
  std::map<std::string, float> scales;
  if (passes::HasQdq(e.graph)) {
    const ir::Graph folded = passes::PrepareForExport(e.graph);
    reference = float_graph = passes::StripQdq(folded);
    for (const auto& [name, scale] : passes::CollectScales(folded)) scales[name] = scale;
  } else {
    const PtqResult result = QuantizeAfterTraining(e.graph, e.images, options.ptq);
    // Bias correction made another network of it, which in floating point is the worse one.
    float_graph = result.float_graph;
    reference = passes::PrepareForExport(e.graph);
    scales.insert(result.scales.begin(), result.scales.end());
  }
  const OutputMeter meter(reference, FirstImages(e.images(), options.ptq.probe_images), options.ptq.device,
                          options.ptq.threads);
  const OutputError all = meter.Measure(QuantizeWithScales(float_graph, scales, options.ptq.keep_fp32));
  const std::vector<LayerSensitivity> layers =
      MeasureSensitivity(float_graph, scales, options.ptq.keep_fp32, mode, meter);
  if (json) {
    nlohmann::ordered_json j;
    j["mode"] = mode == SensitivityMode::kQuantizeOne ? "quantize-one" : "keep-one";
    j["all_quantized"] = {{"sqnr_db", all.sqnr_db}};
    if (all.classifies) j["all_quantized"]["top1_agreement"] = all.agreement;
    for (const LayerSensitivity& layer : layers) {
      nlohmann::ordered_json row = {{"layer", layer.name}, {"sqnr_db", layer.error.sqnr_db}};
      if (all.classifies) row["top1_agreement"] = layer.error.agreement;
      j["layers"].push_back(row);
    }
    return j.dump(2) + "\n";
  }
  size_t width = 5;
  for (const LayerSensitivity& layer : layers) width = std::max(width, layer.name.size());
  std::string text = fmt::format(
      "outputs against FP32 when {}, the most sensitive layer first; all in INT8: {:.2f} dB\n{:<{}}  {:>9}{}\n",
      mode == SensitivityMode::kQuantizeOne ? "one layer alone runs in INT8" : "one layer alone stays in FP32",
      all.sqnr_db, "layer", width, "SQNR dB", all.classifies ? "  same class" : "");
  for (const LayerSensitivity& layer : layers) {
    text += fmt::format("{:<{}}  {:>9.2f}{}\n", layer.name, width, layer.error.sqnr_db,
                        all.classifies ? fmt::format("  {:>8.1f} %", 100 * layer.error.agreement) : "");
  }
  return text;
}

}  // namespace octet::task
