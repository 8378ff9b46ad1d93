#include "task/calibrate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "task/run.h"
#include "train/graph_module.h"

namespace octet::task {

std::vector<std::string> CalibratedTensors(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::ValueId in : graph.inputs()) names.push_back(graph.value(in).name);
  for (const ir::NodeId id : graph.Order()) {
    for (const ir::ValueId out : graph.node(id).outputs) {
      if (out != ir::kNoValue && graph.value(out).type.dtype == DType::kF32) names.push_back(graph.value(out).name);
    }
  }
  return names;
}

namespace {

// The largest magnitude of each channel, merged into `amax`.
void MergeChannels(const Tensor& value, std::vector<float>* amax) {
  if (value.rank() < 2) return;
  const auto channels = static_cast<size_t>(value.dim(1));
  amax->resize(channels, 0.0f);
  const int64_t inner = value.size() / std::max<int64_t>(1, value.dim(0) * value.dim(1));
  const float* x = value.data<float>();
  for (int64_t i = 0; i < value.size(); ++i) {
    float& a = (*amax)[static_cast<size_t>(i / inner) % channels];
    const float magnitude = std::fabs(x[i]);
    a = magnitude > a ? magnitude : a;
  }
}

}  // namespace

Observations Observe(const ir::Graph& graph, const ImageSource& source, const CalibrationOptions& options,
                     const std::set<std::string>& channels, const std::function<void(const Tensor& images)>& each) {
  Observations seen;
  for (const std::string& name : CalibratedTensors(graph)) {
    if (options.tensors.empty() || options.tensors.count(name) != 0) {
      seen.tensors.emplace(name, quant::Observer(options.method, options.percentile));
    }
  }
  const auto observe = [&](const std::string& name, const Tensor& value) {
    if (channels.count(name) != 0) MergeChannels(value, &seen.channel_amax[name]);
    const auto it = seen.tensors.find(name);
    if (it == seen.tensors.end()) return;
    try {
      it->second.Add(value.data<float>(), value.size());
    } catch (const Error& e) {
      OCTET_FAIL("tensor '{}': {}", name, e.what());
    }
  };
  train::GraphModule module(graph, options.device);
  const std::string input = graph.value(graph.inputs().at(0)).name;
  Tensor images;
  while (source(images)) {
    observe(input, images);
    module.Evaluate({{input, images}}, {}, [&](const std::string& name, const Tensor& value) {
      if (name != input) observe(name, value);
      return Tensor();
    });
    seen.images += images.dim(0);
    if (each) each(images);
  }
  OCTET_REQUIRE(seen.images > 0, "calibration got no images; check the calibration folder");
  return seen;
}

std::map<std::string, float> Calibrate(const ir::Graph& graph, const ImageSource& source,
                                       const CalibrationOptions& options) {
  std::map<std::string, float> amax;
  for (const auto& [name, observer] : Observe(graph, source, options).tensors) {
    amax[name] = static_cast<float>(observer.Amax());
  }
  return amax;
}

namespace {

// `source`'s first `batches`, with a progress bar.
ImageSource Some(const ImageSource& source, int64_t batches, Progress& progress) {
  return [=, &progress, done = int64_t{0}](Tensor& images) mutable {
    if (done == batches || !source(images)) return false;
    ++done;
    progress.Advance(1);
    return true;
  };
}

// Running means and variances become the means of those of the batches.
void EstimateStatistics(ir::Graph& graph, const std::string& device, const ImageSource& source) {
  ir::Graph single = passes::StripQdq(graph);
  std::map<std::string, std::vector<double>> sums;
  for (const ir::NodeId id : single.Order()) {
    ir::Node& node = single.mutable_node(id);
    if (node.op != "BatchNormalization") continue;
    node.attrs["momentum"] = 0.0f;  // running statistics are those of the last batch
    for (const size_t i : {3, 4}) sums[single.value(node.input(i)).name];
  }
  train::GraphModule module(single, device);
  const std::string input = graph.value(graph.inputs().at(0)).name;
  Tensor images;
  int64_t batches = 0;
  for (; source(images); ++batches) {
    module.UpdateStatistics({{input, images}});
    const ir::Graph seen = module.WriteBack();
    for (auto& [name, sum] : sums) {
      const std::vector<double> values = seen.value(seen.Find(name)).constant.ToVector<double>();
      sum.resize(values.size());
      for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
    }
  }
  if (batches == 0) return;
  for (const auto& [name, sum] : sums) {
    std::vector<float> mean;
    for (const double v : sum) mean.push_back(static_cast<float>(v / static_cast<double>(batches)));
    const ir::ValueId id = graph.Find(name);
    graph.set_constant(id, Tensor::From<float>(graph.value(id).type.shape, mean));
  }
}

}  // namespace

void CalibrateQuantizers(const spec::Spec& spec, StartingPoint& start, int64_t batches,
                         const std::function<ImageSource()>& images) {
  batches = std::min(spec.GetInt("quant.calibration_batches"), batches);
  ir::Graph& graph = start.graph;
  CalibrationOptions options;
  options.method = quant::CalibrationMethodFromName(spec.GetString("quant.qat_calibration"));
  options.percentile = spec.GetFloat("quant.percentile");
  options.device = DeviceFromSpec(spec);
  if (start.new_functions > 0 && !spec.GetBool("model.freeze_bn")) {
    LogInfo("{} activations became ReLU6: batch norms get the statistics of {} batches", start.new_functions, batches);
    Progress progress("statistics", batches, "batches");
    EstimateStatistics(graph, options.device, Some(images(), batches, progress));
    progress.Finish();
  }
  for (const auto& [name, scale] : passes::CollectScales(graph)) options.tensors.insert(name);
  Progress progress("calibrate", batches, "batches");
  const std::map<std::string, float> amax =
      Calibrate(passes::StripQdq(graph), Some(images(), batches, progress), options);
  progress.Finish();
  for (const ir::NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "QuantizeLinear" || node.attr_string("observer", "") != "moving_average") continue;
    const float range = amax.at(graph.value(node.input(0)).name);
    graph.set_constant(node.input(1), Tensor::Scalar(quant::ScaleOfAmax(range)));
    const std::string key = "observer/" + graph.value(node.input(1)).name;
    // It counts as a hundred steps: it holds against the first batches of a short training, and is forgotten in a long
    // one.
    const auto average = quant::MovingAverage::After(range, 100);
    start.state[key + "/mean"] = Tensor::Scalar(average.raw());
    start.state[key + "/count"] = Tensor::Scalar(average.steps());
  }
}

}  // namespace octet::task
