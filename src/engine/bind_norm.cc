// Steps of the FP32 operators of a layer norm, in one node or in those that exporters write: ReduceMean, Pow, Sqrt; and
// ReduceSum. All in double, as the reference kernels do: what follows may round.
#include <algorithm>
#include <cmath>

#include "engine/bind.h"
#include "ops/reduce/reduce.h"

namespace octet::engine {
namespace {

using ir::kNoValue;
using ir::Node;

float* F32(const Place& p) {
  return reinterpret_cast<float*>(p.dense);
}

bool IsConstant(const ir::Graph& graph, ir::ValueId v) {
  return v == kNoValue || graph.value(v).is_constant();
}

// A mean or sum over neighbouring axes.
bool BindReduce(const ir::Graph& graph, const Node& node, const Place& x, const Place& y, Step& step) {
  if (!IsConstant(graph, node.input(1))) return false;
  const std::vector<int64_t> given =
      node.input(1) == kNoValue ? std::vector<int64_t>() : graph.value(node.input(1)).constant.ToVector<int64_t>();
  const std::vector<int64_t> axes = ops::ReducedAxes(node, x.type.shape.size(), given);
  if (axes.empty() || axes.back() - axes.front() + 1 != static_cast<int64_t>(axes.size())) return false;
  int64_t outer = 1, count = 1, inner = 1;
  for (int64_t i = 0; i < static_cast<int64_t>(x.type.shape.size()); ++i) {
    (i < axes.front() ? outer : i > axes.back() ? inner : count) *= x.type.shape[static_cast<size_t>(i)];
  }
  if (count == 0) return false;
  const double divisor = node.op == "ReduceMean" ? static_cast<double>(count) : 1.0;
  step.run = [=, &x, &y](int part, int parts) {
    const Range range = Share(outer * inner, part, parts);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const float* from = F32(x) + i / inner * count * inner + i % inner;
      double sum = 0;
      for (int64_t k = 0; k < count; ++k) sum += from[k * inner];
      F32(y)[i] = static_cast<float>(sum / divisor);
    }
  };
  return true;
}

bool BindLayerNorm(const ir::Graph& graph, const Node& node, const Place& x, const Place& y, Step& step) {
  if (!IsConstant(graph, node.input(1)) || !IsConstant(graph, node.input(2)) || node.outputs.size() != 1) return false;
  const std::vector<double> scale = graph.value(node.input(1)).constant.ToVector<double>();
  std::vector<double> bias(scale.size(), 0.0);
  if (node.input(2) != kNoValue) bias = graph.value(node.input(2)).constant.ToVector<double>();
  const double epsilon = node.attr_float("epsilon", 1e-5f);
  const auto inner = static_cast<int64_t>(scale.size());
  if (inner == 0) return false;
  step.run = [=, &x, &y](int part, int parts) {
    const Range range = Share(NumElements(x.type.shape) / inner, part, parts);
    for (int64_t r = range.begin; r < range.end; ++r) {
      const float* from = F32(x) + r * inner;
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < inner; ++i) sum += from[i];
      const double mean = sum / static_cast<double>(inner);
      for (int64_t i = 0; i < inner; ++i) squares += (from[i] - mean) * (from[i] - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(inner) + epsilon);
      for (int64_t i = 0; i < inner; ++i) {
        const auto c = static_cast<size_t>(i);
        F32(y)[r * inner + i] = static_cast<float>((from[i] - mean) / deviation * scale[c] + bias[c]);
      }
    }
  };
  return true;
}

template <typename F>
void BindEach(const Place& x, const Place& y, Step& step, F f) {
  step.run = [=, &x, &y](int part, int parts) {
    const Range range = Share(NumElements(y.type.shape), part, parts);
    for (int64_t i = range.begin; i < range.end; ++i) F32(y)[i] = static_cast<float>(f(static_cast<double>(F32(x)[i])));
  };
}

}  // namespace

bool BindNorm(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const ir::Graph& graph = session.graph();
  const bool one = node.op == "Sqrt" || node.op == "Pow";
  const bool reduce = node.op == "ReduceMean" || node.op == "ReduceSum";
  if (!one && !reduce && node.op != "LayerNormalization") return false;
  if (graph.value(node.input(0)).is_constant()) return false;
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  if (x.type.dtype != DType::kF32 || y.type.dtype != DType::kF32) return false;
  if (reduce) return BindReduce(graph, node, x, y, step);
  if (node.op == "LayerNormalization") return BindLayerNorm(graph, node, x, y, step);
  if (x.type.shape != y.type.shape) return false;
  if (node.op == "Sqrt") {
    BindEach(x, y, step, [](double v) { return std::sqrt(v); });
    return true;
  }
  const ir::Value& exponent = graph.value(node.input(1));
  if (!exponent.is_constant() || exponent.constant.size() != 1 || exponent.constant.ToVector<double>()[0] != 2.0) {
    return false;
  }
  BindEach(x, y, step, [](double v) { return v * v; });
  return true;
}

}  // namespace octet::engine
