#include "cli/inspect.h"

#include <map>

#include "base/error.h"
#include "base/files.h"
#include "engine/plan.h"
#include "ir/model_file.h"
#include "ir/text.h"
#include "onnx/onnx_import.h"
#include "passes/insert_qdq.h"
#include "task/predictor.h"
#include "tensorrt/calibration_cache.h"

namespace octet::cli {
namespace {

std::string Summary(const ir::Graph& graph) {
  std::map<std::string, int> ops;
  for (const ir::NodeId id : graph.Order()) ++ops[graph.node(id).op];
  int64_t elements = 0;
  int64_t bytes = 0;
  for (const ir::ValueId id : graph.constants()) {
    const Tensor& t = graph.value(id).constant;
    elements += t.size();
    bytes += static_cast<int64_t>(t.bytes());
  }
  std::string text = fmt::format("network      {}\n", graph.name());
  for (const auto& [key, value] : graph.metadata()) text += fmt::format("{:<12} {}\n", key, value);
  for (const ir::ValueId id : graph.inputs())
    text += fmt::format("input        {}: {}\n", graph.value(id).name, ToString(graph.value(id).type));
  for (const ir::ValueId id : graph.outputs())
    text += fmt::format("output       {}: {}\n", graph.value(id).name, ToString(graph.value(id).type));
  text += fmt::format("constants    {} elements, {} bytes\nnodes        {}:", elements, bytes, graph.node_count());
  for (const auto& [op, count] : ops) text += fmt::format(" {} {}", count, op);
  const passes::QuantizerCounts counts = passes::CountQuantizers(graph);
  if (counts.activations + counts.weights > 0) {
    text += fmt::format("\nquantizers   {} activations, {} weights", counts.activations, counts.weights);
  }
  return text + "\n";
}

std::string InfoText(const std::map<std::string, std::string>& info) {
  std::string text;
  for (const auto& [key, value] : info) {
    if (key != "spec") text += fmt::format("{:<12} {}\n", key, value);
  }
  return text;
}

std::string InspectCache(const std::string& path) {
  const tensorrt::CalibrationCache cache = tensorrt::ReadCalibrationCache(path);
  std::string text =
      fmt::format("calibration cache, TensorRT {} ({}), {}, {} scales\n", tensorrt::VersionText(cache.version),
                  cache.version, cache.algorithm, cache.entries.size());
  size_t width = 6;
  for (const tensorrt::CacheEntry& e : cache.entries) width = std::max(width, e.name.size());
  text += fmt::format("{:<{}}  {:>14}  {:>12}\n", "tensor", width, "scale", "amax");
  for (const tensorrt::CacheEntry& e : cache.entries) {
    text += fmt::format("{:<{}}  {:>14.8g}  {:>12.7g}\n", e.name, width, e.scale, e.scale * 127.0f);
  }
  for (const std::string& warning : cache.warnings) text += "warning: " + warning + "\n";
  return text;
}

}  // namespace

std::string Inspect(const std::string& path, bool whole_graph) {
  switch (task::KindOfFile(path)) {
    case task::FileKind::kModel: {
      const ir::Model model = ir::ReadModel(path);
      return "octet model\n" + InfoText(model.info) + Summary(model.graph) +
             (model.state.empty() ? std::string()
                                  : fmt::format("state        {} tensors to resume training\n", model.state.size())) +
             (whole_graph ? ir::Print(model.graph) : std::string());
    }
    case task::FileKind::kPlan: {
      const engine::Plan plan = engine::ReadPlan(path);
      return "INT8 plan\n" + InfoText(plan.info) + Summary(plan.graph) +
             (whole_graph ? ir::Print(plan.graph) : std::string());
    }
    case task::FileKind::kOnnx: {
      const ir::Graph graph = onnx::ImportOnnx(path);
      return "ONNX, as octet reads it\n" + Summary(graph) + (whole_graph ? ir::Print(graph) : std::string());
    }
    case task::FileKind::kCache: return InspectCache(path);
    case task::FileKind::kUnknown: break;
  }
  if (path.size() > 6 && path.compare(path.size() - 6, 6, ".cache") == 0)
    return InspectCache(path);  // its parser says what is wrong
  OCTET_FAIL("'{}' is of no kind that octet knows; expected .octet, .onnx, .plan or a calibration cache", path);
}

}  // namespace octet::cli
