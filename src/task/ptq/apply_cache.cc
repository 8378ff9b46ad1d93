#include "task/ptq/apply_cache.h"

#include <map>

#include "base/error.h"
#include "base/log.h"
#include "onnx/onnx_export.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "task/ptq/post_training.h"

namespace octet::task {

ir::Graph ApplyCache(const ir::Graph& given, const tensorrt::CalibrationCache& cache,
                     const std::set<std::string>& keep_fp32) {
  const ir::Graph graph = passes::PrepareForExport(given);
  // The cache has the names of the ONNX file; a model file's tensors may have others.
  std::map<std::string, std::string> name_of;
  for (const auto& [name, exported] : onnx::ExportNames(graph)) name_of[exported] = name;
  std::map<std::string, float> scales;
  int64_t unknown = 0;
  std::string first;
  for (const tensorrt::CacheEntry& entry : cache.entries) {
    OCTET_REQUIRE(entry.scale > 0, "calibration cache: the scale of '{}' is {}; a scale must be positive", entry.name,
                  entry.scale);
    const auto found = name_of.find(entry.name);
    if (found != name_of.end()) {
      scales[found->second] = entry.scale;
    } else if (unknown++ == 0) {
      first = entry.name;
    }
  }
  if (unknown > 0) {
    LogWarning("calibration cache: {} of {} entries name no tensor of the network (first: '{}'); they are ignored",
               unknown, cache.entries.size(), first);
  }
  ir::Graph quantized = QuantizeWithScales(graph, scales, keep_fp32);
  OCTET_REQUIRE(
      passes::HasQdq(quantized),
      "calibration cache: no layer of the network has scales for its input and its output; is it the cache of "
      "another network?");
  return quantized;
}

}  // namespace octet::task
