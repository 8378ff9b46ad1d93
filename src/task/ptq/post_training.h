// Post-training quantization of a float network: ranges of every tensor from images, and around it what makes the
// result better. Each optional step is tried and kept when the INT8 engine's outputs come nearer to the float
// network's.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "quant/observer.h"
#include "task/calibrate.h"
#include "task/ptq/choose_ranges.h"
#include "task/ptq/output_meter.h"

namespace octet::task {

enum class Apply { kNo, kYes, kAuto };         // kAuto: where it helps by measurement
Apply ApplyFromName(const std::string& name);  // "off", "on", "auto"

struct PtqOptions {
  quant::CalibrationMethod method = quant::CalibrationMethod::kAuto;
  double percentile = 99.99;
  Apply equalize = Apply::kAuto;      // passes/equalize_layers.h
  Apply correct_bias = Apply::kAuto;  // task/ptq/correct_bias.h
  std::set<std::string> keep_fp32;    // node names
  // Layers are kept in FP32, the most harmful first, until both hold. Negative: not asked for.
  double max_drop = -1;       // percent of the images whose largest class score may move
  double min_sqnr_db = -1;    // of the outputs
  int64_t probe_images = 32;  // of the calibration images, for everything that is measured
  uint64_t seed = 1;          // which images are probes
  std::string device = "cpu";
  int threads = 1;
};

struct PtqStep {
  std::string what;  // "ranges: auto", "cross-layer equalization of 7 tensors", ...
  OutputError error;
  bool kept = true;
};

struct PtqResult {
  ir::Graph float_graph;  // batch norm folded; equalized and corrected if that was kept
  ir::Graph quantized;    // with Q/DQ pairs, as TensorRT's implicit mode places them (passes/insert_qdq.h)
  std::vector<std::pair<std::string, float>> scales;  // of every float tensor, in topological order
  std::map<std::string, ChosenRange> ranges;
  std::map<std::string, std::pair<float, float>> extremes;  // smallest and largest value
  std::vector<PtqStep> steps;
  OutputError error;
  std::vector<std::string> kept_fp32;  // options.keep_fp32 and what max_drop and min_sqnr_db added
  int64_t images = 0;
  int64_t probe_images = 0;
};

// A new pass over the images each time.
using OpenImages = std::function<ImageSource()>;

// Throws a user Error for a network that is quantized already or has another number of inputs than one, for weights and
// activations that are not finite, for keep_fp32 names that are no layer, and when there are no images.
PtqResult QuantizeAfterTraining(const ir::Graph& network, const OpenImages& open, const PtqOptions& options);

// The graph with Q/DQ pairs for these scales (amax / 127, by tensor name).
ir::Graph QuantizeWithScales(const ir::Graph& float_graph, const std::map<std::string, float>& scales,
                             const std::set<std::string>& keep_fp32);

// Names of the layers that have quantized weights.
std::vector<std::string> QuantizedLayers(const ir::Graph& quantized);

// Scales of `amax`; the outputs of operators that only move values (MaxPool, Reshape, ...) get their input's, as
// TensorRT has it.
std::vector<std::pair<std::string, float>> ScalesOf(const ir::Graph& graph, const std::map<std::string, float>& amax);

}  // namespace octet::task
