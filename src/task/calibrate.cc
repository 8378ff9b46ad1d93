#include "task/calibrate.h"

#include "base/error.h"
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

std::map<std::string, float> Calibrate(const ir::Graph& graph, const ImageSource& source,
                                       const CalibrationOptions& options) {
  std::map<std::string, quant::Observer> observers;
  for (const std::string& name : CalibratedTensors(graph)) {
    if (options.tensors.empty() || options.tensors.count(name) != 0) {
      observers.emplace(name, quant::Observer(options.method, options.percentile));
    }
  }
  const auto observe = [&](const std::string& name, const Tensor& value) {
    const auto it = observers.find(name);
    if (it == observers.end()) return;
    try {
      it->second.Add(value.data<float>(), value.size());
    } catch (const Error& e) {
      OCTET_FAIL("tensor '{}': {}", name, e.what());
    }
  };
  train::GraphModule module(graph, options.device);
  const std::string input = graph.value(graph.inputs().at(0)).name;
  Tensor images;
  int64_t batches = 0;
  while (source(images)) {
    observe(input, images);
    module.Evaluate({{input, images}}, {}, [&](const std::string& name, const Tensor& value) {
      observe(name, value);
      return Tensor();
    });
    ++batches;
  }
  OCTET_REQUIRE(batches > 0, "calibration got no images; check the calibration folder");
  std::map<std::string, float> amax;
  for (const auto& [name, observer] : observers) amax[name] = static_cast<float>(observer.Amax());
  return amax;
}

}  // namespace octet::task
