#include "task/ptq/sensitivity.h"

#include <algorithm>

#include "base/progress.h"
#include "task/ptq/post_training.h"

namespace octet::task {

std::vector<LayerSensitivity> MeasureSensitivity(const ir::Graph& float_graph,
                                                 const std::map<std::string, float>& scales,
                                                 const std::set<std::string>& keep_fp32, SensitivityMode mode,
                                                 const OutputMeter& meter) {
  const std::vector<std::string> layers = QuantizedLayers(QuantizeWithScales(float_graph, scales, keep_fp32));
  std::vector<LayerSensitivity> measured;
  Progress progress("sensitivity", static_cast<int64_t>(layers.size()), "layers");
  for (const std::string& name : layers) {
    std::set<std::string> keep = keep_fp32;
    if (mode == SensitivityMode::kKeepOne) {
      keep.insert(name);
    } else {
      keep.insert(layers.begin(), layers.end());
      keep.erase(name);
    }
    const ir::Graph quantized = QuantizeWithScales(float_graph, scales, keep);
    measured.push_back({name, meter.Measure(quantized)});
    progress.Advance(1);
  }
  progress.Finish();
  const bool lowest_first = mode == SensitivityMode::kQuantizeOne;
  std::stable_sort(measured.begin(), measured.end(), [&](const LayerSensitivity& a, const LayerSensitivity& b) {
    return lowest_first ? a.error.sqnr_db < b.error.sqnr_db : a.error.sqnr_db > b.error.sqnr_db;
  });
  return measured;
}

}  // namespace octet::task
