#include "task/ptq/post_training.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "passes/equalize_layers.h"
#include "passes/fusion_regions.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "task/ptq/correct_bias.h"
#include "task/ptq/sensitivity.h"

namespace octet::task {
namespace {

using ir::Graph;

// A random sample of the batches, of bounded size (reservoir sampling).
class ProbeSample {
 public:
  ProbeSample(int64_t images, uint64_t seed) : wanted_(images), random_(seed) {}
  void Add(const Tensor& batch) {
    ++seen_;
    const auto room = static_cast<size_t>(std::max<int64_t>(1, wanted_ / std::max<int64_t>(1, batch.dim(0))));
    if (batches_.size() < room) {
      batches_.push_back(batch);
      return;
    }
    const uint64_t place = random_() % static_cast<uint64_t>(seen_);
    if (place < batches_.size()) batches_[place] = batch;
  }
  const std::vector<Tensor>& batches() const { return batches_; }

 private:
  int64_t wanted_;
  int64_t seen_ = 0;
  std::mt19937_64 random_;
  std::vector<Tensor> batches_;
};

// One version of the network on the way.
struct Version {
  Graph float_graph;
  std::map<std::string, ChosenRange> ranges;
  std::vector<std::pair<std::string, float>> scales;
  Graph quantized;
  OutputError error;
};

std::map<std::string, float> AsMap(const std::vector<std::pair<std::string, float>>& scales) {
  return {scales.begin(), scales.end()};
}

class Quantizer {
 public:
  Quantizer(const OpenImages& open, const PtqOptions& options)
      : open_(open), options_(options), sample_(options.probe_images, options.seed) {}

  PtqResult Run(const Graph& network) {
    const Graph folded = passes::PrepareForExport(network);
    RequireFloatNetwork(folded);
    Version best;
    Observations seen = FirstPass(folded);
    WarnOfDeadTensors(seen);
    const OutputMeter meter(folded, sample_.batches(), options_.device, options_.threads);
    meter_ = &meter;
    best = MakeVersion(folded, seen);
    Note("ranges: " + quant::NameOf(options_.method), best, true);
    if (options_.equalize != Apply::kNo) TryEqualization(&best, &seen);
    if (options_.correct_bias != Apply::kNo) TryCorrection(&best);
    KeepLayers(&best);

    result_.float_graph = std::move(best.float_graph);
    result_.quantized = std::move(best.quantized);
    result_.scales = std::move(best.scales);
    result_.ranges = std::move(best.ranges);
    result_.error = best.error;
    result_.kept_fp32.assign(kept_.begin(), kept_.end());
    for (const auto& [name, observer] : seen.tensors) result_.extremes[name] = {observer.min(), observer.max()};
    return std::move(result_);
  }

 private:
  void RequireFloatNetwork(const Graph& g) {
    OCTET_REQUIRE(!passes::HasQdq(g),
                  "the network '{}' is quantized already (it has Q/DQ nodes); post-training quantization needs the "
                  "float network",
                  g.name());
    OCTET_REQUIRE(g.inputs().size() == 1, "the network '{}' has {} inputs; calibration feeds one image input", g.name(),
                  g.inputs().size());
    passes::RequireLayers(g, options_.keep_fp32);
    kept_ = options_.keep_fp32;
    for (const ir::ValueId id : g.constants()) {
      const Tensor& t = g.value(id).constant;
      if (t.dtype() != DType::kF32 || g.value(id).consumers.empty()) continue;
      const ir::Node& reader = g.node(g.value(id).consumers[0]);
      if (passes::RuleOf(reader).region != ir::RegionRole::kAnchor) continue;  // Clip's bounds may be infinite
      OCTET_REQUIRE(
          std::all_of(t.data<float>(), t.data<float>() + t.size(), [](float v) { return std::isfinite(v); }),
          "weight '{}' of layer '{}' holds a value that is infinite or NaN; the training diverged or the file "
          "is damaged",
          g.value(id).name, reader.name);
    }
  }

  Observations FirstPass(const Graph& g) {
    CalibrationOptions calibration = Calibration();
    std::set<std::string> channels;
    if (options_.equalize != Apply::kNo) {
      for (const auto& pair : passes::FindEqualizablePairs(g)) channels.insert(g.value(pair.between).name);
    }
    Observations seen = Observe(g, open_(), calibration, channels, [&](const Tensor& images) { sample_.Add(images); });
    result_.images = seen.images;
    for (const Tensor& batch : sample_.batches()) result_.probe_images += batch.dim(0);
    return seen;
  }

  CalibrationOptions Calibration() const {
    CalibrationOptions calibration;
    calibration.method = options_.method;
    calibration.percentile = options_.percentile;
    calibration.device = options_.device;
    return calibration;
  }

  static void WarnOfDeadTensors(const Observations& seen) {
    std::vector<std::string> dead;
    for (const auto& [name, observer] : seen.tensors) {
      if (observer.largest() == 0) dead.push_back(name);
    }
    if (dead.empty()) return;
    LogWarning("{} tensor{} zero on all {} images (first: '{}'); such a tensor gets the scale of range 1", dead.size(),
               dead.size() == 1 ? " is" : "s are", seen.images, dead[0]);
  }

  Version MakeVersion(const Graph& float_graph, const Observations& seen) {
    Version v;
    v.float_graph = float_graph;
    // Any scales tell which tensors get a pair.
    std::map<std::string, float> any;
    for (const auto& [name, observer] : seen.tensors) any[name] = 1;
    std::vector<std::string> measured;
    for (const auto& [name, scale] : passes::CollectScales(QuantizeWithScales(float_graph, any, kept_))) {
      measured.push_back(name);
    }
    v.ranges = ChooseRanges(float_graph, seen, options_.method, measured, sample_.batches(), options_.device);
    std::map<std::string, float> amax;
    for (const auto& [name, range] : v.ranges) amax[name] = range.amax;
    v.scales = ScalesOf(float_graph, amax);
    Quantize(&v);
    return v;
  }

  void Quantize(Version* v) const {
    v->quantized = QuantizeWithScales(v->float_graph, AsMap(v->scales), kept_);
    OCTET_REQUIRE(passes::HasQdq(v->quantized),
                  "the network '{}' has no layer that can run in INT8: its only layers make the outputs, or all were "
                  "kept in FP32",
                  v->float_graph.name());
    v->error = meter_->Measure(v->quantized);
  }

  void Note(const std::string& what, const Version& v, bool kept) {
    result_.steps.push_back({what, v.error, kept});
    LogInfo("{}: SQNR {:.2f} dB{}{}", what, v.error.sqnr_db,
            v.error.classifies ? fmt::format(", same class for {:.1f} % of the probes", 100 * v.error.agreement) : "",
            kept ? "" : " (not kept)");
  }

  bool Better(const OutputError& now, const OutputError& before, Apply apply) const {
    return apply == Apply::kYes || now.sqnr_db > before.sqnr_db;
  }

  void TryEqualization(Version* best, Observations* seen) {
    std::vector<std::string> changed;
    const Graph equalized = passes::EqualizeLayers(best->float_graph, seen->channel_amax, &changed);
    if (changed.empty()) return;
    // Only the tensors between the layers have other ranges now.
    CalibrationOptions calibration = Calibration();
    calibration.tensors.insert(changed.begin(), changed.end());
    const std::vector<std::string>& affected = AffectedTensors(equalized, &calibration.tensors);
    Observations again = Observe(equalized, open_(), calibration);
    Observations merged = *seen;
    for (const std::string& name : affected) merged.tensors.insert_or_assign(name, again.tensors.at(name));
    Version tried = MakeVersion(equalized, merged);
    const bool keep = Better(tried.error, best->error, options_.equalize);
    Note(fmt::format("cross-layer equalization of {} tensors", changed.size()), tried, keep);
    if (!keep) return;
    *best = std::move(tried);
    *seen = std::move(merged);
  }

  // Scaled channels are also seen inside the fusion region: by the convolution's own output.
  static std::vector<std::string> AffectedTensors(const Graph& g, std::set<std::string>* names) {
    for (const auto& pair : passes::FindEqualizablePairs(g)) {
      if (names->count(g.value(pair.between).name) != 0) names->insert(g.value(g.node(pair.first).output()).name);
    }
    return {names->begin(), names->end()};
  }

  void TryCorrection(Version* best) {
    Version tried = *best;
    int layers = 0;
    tried.float_graph = CorrectBias(best->float_graph, best->quantized, sample_.batches(), options_.device, &layers);
    if (layers == 0) return;
    Quantize(&tried);
    const bool keep = Better(tried.error, best->error, options_.correct_bias);
    Note(fmt::format("bias correction of {} layers", layers), tried, keep);
    if (keep) *best = std::move(tried);
  }

  bool GoodEnough(const OutputError& error) const {
    if (options_.max_drop >= 0 && 100 * (1 - error.agreement) > options_.max_drop) return false;
    return options_.min_sqnr_db < 0 || error.sqnr_db >= options_.min_sqnr_db;
  }

  void KeepLayers(Version* best) {
    if (options_.max_drop < 0 && options_.min_sqnr_db < 0) return;
    OCTET_REQUIRE(options_.max_drop < 0 || best->error.classifies,
                  "max_drop counts images whose class changes, and the network's output is no vector of class scores; "
                  "use min_sqnr");
    if (GoodEnough(best->error)) return;
    const std::vector<LayerSensitivity> layers =
        MeasureSensitivity(best->float_graph, AsMap(best->scales), kept_, SensitivityMode::kQuantizeOne, *meter_);
    std::vector<std::string> added;
    for (const LayerSensitivity& layer : layers) {
      if (GoodEnough(best->error) || added.size() + 1 == layers.size()) break;
      added.push_back(layer.name);
      kept_.insert(layer.name);
      Quantize(best);
      Note("'" + layer.name + "' stays in FP32", *best, true);
    }
    // A tensor between two layers is rounded until both are in FP32, so the first of them may have helped nobody.
    for (const std::string& name : added) {
      if (!GoodEnough(best->error)) break;
      Version tried = *best;
      kept_.erase(name);
      Quantize(&tried);
      const bool enough = GoodEnough(tried.error);
      if (enough) {
        *best = std::move(tried);
        Note("'" + name + "' in INT8 again", *best, true);
      } else {
        kept_.insert(name);
      }
    }
    if (!GoodEnough(best->error)) {
      LogWarning("with {} layers in FP32 the outputs still are {:.2f} dB from the float network's; train it with QAT",
                 kept_.size(), best->error.sqnr_db);
    }
  }

  const OpenImages& open_;
  const PtqOptions& options_;
  ProbeSample sample_;
  const OutputMeter* meter_ = nullptr;
  std::set<std::string> kept_;
  PtqResult result_;
};

}  // namespace

Apply ApplyFromName(const std::string& name) {
  if (name == "off") return Apply::kNo;
  if (name == "on") return Apply::kYes;
  if (name == "auto") return Apply::kAuto;
  OCTET_FAIL("'{}' is neither auto, on nor off", name);
}

PtqResult QuantizeAfterTraining(const Graph& network, const OpenImages& open, const PtqOptions& options) {
  return Quantizer(open, options).Run(network);
}

Graph QuantizeWithScales(const Graph& float_graph, const std::map<std::string, float>& scales,
                         const std::set<std::string>& keep_fp32) {
  passes::InsertQdqOptions options;
  options.scales = scales;
  options.observer = "";
  options.implicit = true;
  options.keep_fp32 = keep_fp32;
  return passes::PrepareForPtq(float_graph, options);
}

std::vector<std::string> QuantizedLayers(const Graph& quantized) {
  std::vector<std::string> layers;
  for (const ir::NodeId id : quantized.Order()) {
    const ir::Node& node = quantized.node(id);
    if (passes::RuleOf(node).region != ir::RegionRole::kAnchor || node.inputs.size() < 2) continue;
    const ir::Node* weight = quantized.producer(node.input(1));
    const ir::Node* data = quantized.producer(node.input(0));
    if (weight != nullptr && weight->op == "DequantizeLinear" && data != nullptr) layers.push_back(node.name);
  }
  return layers;
}

std::vector<std::pair<std::string, float>> ScalesOf(const Graph& g, const std::map<std::string, float>& amax) {
  std::map<std::string, float> scales;
  for (const auto& [name, range] : amax) scales[name] = quant::ScaleOfAmax(range);
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (!passes::RuleOf(node).Commutes(node) || node.input(0) == ir::kNoValue) continue;
    const auto in = scales.find(g.value(node.input(0)).name);
    if (in == scales.end()) continue;
    for (const ir::ValueId out : node.outputs) {
      if (out == ir::kNoValue) continue;
      const auto it = scales.find(g.value(out).name);
      if (it != scales.end()) it->second = in->second;
    }
  }
  std::vector<std::pair<std::string, float>> ordered;
  for (const std::string& name : CalibratedTensors(g)) {
    const auto it = scales.find(name);
    if (it != scales.end()) ordered.emplace_back(name, it->second);
  }
  return ordered;
}

}  // namespace octet::task
