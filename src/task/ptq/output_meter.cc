#include "task/ptq/output_meter.h"

#include <algorithm>
#include <cmath>

#include "engine/engine.h"
#include "passes/pipelines.h"
#include "train/graph_module.h"

namespace octet::task {
namespace {

// The tensor whose error says most about output `i`.
std::string PointOf(const ir::Graph& g, size_t i) {
  const ir::ValueId out = g.outputs()[i];
  const ir::Node* p = g.producer(out);
  const bool hides = p != nullptr && (p->op == "Softmax" || p->op == "LogSoftmax" || p->op == "Sigmoid");
  if (!hides || g.value(p->input(0)).is_constant() || g.producer(p->input(0)) == nullptr) return g.value(out).name;
  return g.value(p->input(0)).name;
}

int64_t LargestOf(const float* row, int64_t count) {
  return std::max_element(row, row + count) - row;
}

}  // namespace

OutputMeter::OutputMeter(const ir::Graph& g, std::vector<Tensor> probes, const std::string& device, int threads)
    : probes_(std::move(probes)), threads_(threads) {
  std::vector<std::string> wanted;
  for (size_t i = 0; i < g.outputs().size(); ++i) {
    if (g.value(g.outputs()[i]).type.dtype != DType::kF32) continue;
    const std::string point = PointOf(g, i);
    if (std::find(points_.begin(), points_.end(), point) == points_.end()) points_.push_back(point);
  }
  train::GraphModule module(g, device);
  for (const Tensor& images : probes_) {
    expected_.push_back(module.Evaluate({{g.value(g.inputs().at(0)).name, images}}, points_));
  }
}

OutputError OutputMeter::Measure(const ir::Graph& quantized) const {
  ir::Graph g = quantized;
  while (!g.outputs().empty()) g.RemoveOutput(g.outputs().size() - 1);
  for (const std::string& point : points_) {
    const ir::ValueId id = g.Find(point);
    OCTET_CHECK(id != ir::kNoValue, "the quantized network has no '{}'", point);
    g.MarkOutput(id);
  }
  g.RemoveUnused();
  const engine::Engine engine = engine::Engine::FromGraph(passes::PrepareForEngine(g));
  std::unique_ptr<engine::Context> context;
  std::vector<double> error(points_.size()), power(points_.size());
  OutputError result;
  int64_t rows = 0, same = 0;
  for (size_t k = 0; k < probes_.size(); ++k) {
    if (!context || context->batch() != probes_[k].dim(0)) {
      context = engine.NewContext({probes_[k].dim(0), threads_, false});
    }
    const std::vector<Tensor> got = context->Run({{engine.inputs().at(0).name, probes_[k]}});
    for (size_t i = 0; i < points_.size(); ++i) {
      const Tensor& want = expected_[k][i];
      const float* a = got[i].data<float>();
      const float* b = want.data<float>();
      for (int64_t e = 0; e < want.size(); ++e) {
        const double gap = static_cast<double>(a[e]) - b[e];
        error[i] += gap * gap;
        power[i] += static_cast<double>(b[e]) * b[e];
      }
      if (points_.size() != 1 || want.rank() != 2 || want.dim(1) < 2) continue;
      for (int64_t row = 0; row < want.dim(0); ++row, ++rows) {
        same += LargestOf(a + row * want.dim(1), want.dim(1)) == LargestOf(b + row * want.dim(1), want.dim(1)) ? 1 : 0;
      }
    }
  }
  double relative = 0;
  for (size_t i = 0; i < points_.size(); ++i) relative += power[i] > 0 ? error[i] / power[i] : error[i];
  relative /= static_cast<double>(std::max<size_t>(1, points_.size()));
  constexpr double kExact = 200;  // dB; no error at all
  result.sqnr_db = relative > 0 ? std::min(kExact, -10 * std::log10(relative)) : kExact;
  result.classifies = rows > 0;
  if (rows > 0) result.agreement = static_cast<double>(same) / static_cast<double>(rows);
  return result;
}

}  // namespace octet::task
