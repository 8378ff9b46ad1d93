#include "task/ptq/range_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "passes/extract_subgraph.h"
#include "passes/fusion_regions.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "train/graph_module.h"

namespace octet::task {
namespace {

using ir::Graph;
using ir::NodeId;

struct Power {
  double signal = 0, noise = 0;
  void Add(const Tensor& got, const Tensor& want) {
    const float* a = got.data<float>();
    const float* b = want.data<float>();
    for (int64_t i = 0; i < want.size(); ++i) {
      const double gap = static_cast<double>(a[i]) - b[i];
      noise += gap * gap;
      signal += static_cast<double>(b[i]) * b[i];
    }
  }
  double sqnr_db() const {
    constexpr double kExact = 200;
    if (noise == 0) return kExact;
    return signal == 0 ? -kExact : std::min(kExact, 10 * std::log10(signal / noise));
  }
};

// Q(x), DQ(Q(x)) of everything that the region reads, and the region itself.
std::vector<NodeId> WithPairs(const Graph& g, const passes::FusionRegion& r) {
  std::set<NodeId> nodes(r.nodes.begin(), r.nodes.end());
  std::vector<NodeId> todo = r.nodes;
  while (!todo.empty()) {
    const NodeId id = todo.back();
    todo.pop_back();
    for (const ir::ValueId in : g.node(id).inputs) {
      const NodeId p = in == ir::kNoValue ? ir::kNoNode : g.value(in).producer;
      if (p == ir::kNoNode) continue;
      const std::string& op = g.node(p).op;
      const bool pair = op == "QuantizeLinear" || op == "DequantizeLinear";
      if (pair && nodes.insert(p).second) todo.push_back(p);
    }
  }
  return {nodes.begin(), nodes.end()};
}

struct Layer {
  LayerFit fit;
  Power whole, own;
  std::unique_ptr<train::GraphModule> module;
  std::vector<std::string> inputs;
};

std::vector<Layer> LayersOf(const Graph& quantized, const Graph& plain, const std::string& device) {
  std::vector<Layer> layers;
  for (const passes::FusionRegion& r : passes::FindFusionRegions(quantized).regions) {
    Layer layer;
    layer.fit.layer = quantized.node(r.anchor).name;
    layer.fit.op = quantized.node(r.anchor).op;
    layer.fit.tensor = quantized.value(r.output).name;
    if (plain.Find(layer.fit.tensor) == ir::kNoValue) continue;
    const ir::Node* weight = quantized.producer(quantized.node(r.anchor).input(1));
    layer.fit.quantized = weight != nullptr && weight->op == "DequantizeLinear";
    const Graph part = passes::ExtractSubgraph(quantized, WithPairs(quantized, r), {r.output});
    layer.module = std::make_unique<train::GraphModule>(part, device);
    bool known = true;
    for (const ir::ValueId in : part.inputs()) {
      layer.inputs.push_back(part.value(in).name);
      known = known && plain.Find(layer.inputs.back()) != ir::kNoValue;
    }
    // Behind an operator that moves codes the tensor has another name in the plain graph.
    if (!known) layer.module.reset();
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::string Number(double v) {
  return fmt::format("{:.5g}", v);
}

}  // namespace

RangeReport ReportRanges(const Graph& given, const ImageSource& images, const std::string& device) {
  const Graph quantized = passes::PrepareForExport(given);
  OCTET_REQUIRE(passes::HasQdq(quantized),
                "the network '{}' is not quantized: it has no ranges to show; octet quantize makes some",
                quantized.name());
  const Graph plain = passes::StripQdq(quantized);
  RangeReport report;
  std::map<std::string, size_t> tensor_of;
  std::vector<std::pair<int64_t, int64_t>> counts;  // saturated, all
  for (const auto& [name, scale] : passes::CollectScales(quantized)) {
    if (plain.Find(name) == ir::kNoValue) continue;
    tensor_of[name] = report.tensors.size();
    TensorFit fit;
    fit.name = name;
    fit.scale = scale;
    report.tensors.push_back(fit);
    counts.emplace_back(0, 0);
  }
  std::vector<Layer> layers = LayersOf(quantized, plain, device);
  std::set<std::string> wanted;
  for (const auto& [name, index] : tensor_of) wanted.insert(name);
  for (const Layer& layer : layers) {
    wanted.insert(layer.fit.tensor);
    wanted.insert(layer.inputs.begin(), layer.inputs.end());
  }
  train::GraphModule exact(plain, device), rounded(quantized, device);
  const std::string input = plain.value(plain.inputs().at(0)).name;
  std::vector<std::string> outputs;
  for (const Layer& layer : layers) outputs.push_back(layer.fit.tensor);
  Tensor batch;
  while (images(batch)) {
    report.images += batch.dim(0);
    std::map<std::string, Tensor> values;
    exact.Evaluate({{input, batch}}, {}, [&](const std::string& name, const Tensor& value) {
      if (wanted.count(name) != 0) values[name] = value;
      return Tensor();
    });
    for (const auto& [name, index] : tensor_of) {
      TensorFit& fit = report.tensors[index];
      const Tensor& x = values.at(name);
      const float* data = x.data<float>();
      for (int64_t i = 0; i < x.size(); ++i) {
        fit.min = std::min(fit.min, data[i]);
        fit.max = std::max(fit.max, data[i]);
        const float q = std::nearbyintf(data[i] / fit.scale);
        counts[index].first += q > 127.0f || q < -128.0f ? 1 : 0;
      }
      counts[index].second += x.size();
    }
    std::map<std::string, Tensor> got;
    rounded.Evaluate({{input, batch}}, {}, [&](const std::string& name, const Tensor& value) {
      if (wanted.count(name) != 0) got[name] = value;
      return Tensor();
    });
    for (Layer& layer : layers) {
      layer.whole.Add(got.at(layer.fit.tensor), values.at(layer.fit.tensor));
      if (layer.module == nullptr) continue;
      std::map<std::string, Tensor> feeds;
      for (const std::string& name : layer.inputs) feeds[name] = values.at(name);
      layer.own.Add(layer.module->Evaluate(feeds).at(0), values.at(layer.fit.tensor));
    }
  }
  OCTET_REQUIRE(report.images > 0, "no images to measure ranges with");
  for (size_t i = 0; i < report.tensors.size(); ++i) {
    TensorFit& fit = report.tensors[i];
    fit.saturated =
        counts[i].second > 0 ? static_cast<double>(counts[i].first) / static_cast<double>(counts[i].second) : 0;
    fit.used = std::max(std::fabs(fit.min), std::fabs(fit.max)) / (fit.scale * 127.0);
  }
  for (Layer& layer : layers) {
    layer.fit.sqnr_db = layer.whole.sqnr_db();
    layer.fit.own_sqnr_db = layer.module == nullptr ? layer.fit.sqnr_db : layer.own.sqnr_db();
    report.layers.push_back(layer.fit);
  }
  std::stable_sort(report.layers.begin(), report.layers.end(),
                   [](const LayerFit& a, const LayerFit& b) { return a.sqnr_db < b.sqnr_db; });
  return report;
}

std::string FormatRanges(const RangeReport& report) {
  size_t width = 6;
  for (const TensorFit& t : report.tensors) width = std::max(width, t.name.size());
  for (const LayerFit& l : report.layers) width = std::max(width, l.layer.size());
  std::string text = fmt::format("{} images\n\n{:<{}}  {:>11}  {:>11}  {:>11}  {:>9}  {:>11}\n", report.images,
                                 "tensor", width, "min", "max", "scale", "filled", "saturated");
  for (const TensorFit& t : report.tensors) {
    text += fmt::format("{:<{}}  {:>11}  {:>11}  {:>11}  {:>7.1f} %  {:>9.4f} %\n", t.name, width, Number(t.min),
                        Number(t.max), Number(t.scale), 100 * std::min(t.used, 1.0), 100 * t.saturated);
  }
  text += fmt::format("\n{:<{}}  {:>9}  {:>9}  result (worst first)\n", "layer", width, "SQNR dB", "own dB");
  for (const LayerFit& l : report.layers) {
    text += fmt::format("{:<{}}  {:>9.2f}  {:>9.2f}  {}{}\n", l.layer, width, l.sqnr_db, l.own_sqnr_db, l.tensor,
                        l.quantized ? "" : "  (FP32)");
  }
  return text;
}

std::string FormatRangesJson(const RangeReport& report) {
  nlohmann::ordered_json j;
  j["images"] = report.images;
  for (const TensorFit& t : report.tensors) {
    j["tensors"].push_back({{"name", t.name},
                            {"min", t.min},
                            {"max", t.max},
                            {"scale", t.scale},
                            {"saturated", t.saturated},
                            {"used", t.used}});
  }
  for (const LayerFit& l : report.layers) {
    j["layers"].push_back({{"layer", l.layer},
                           {"op", l.op},
                           {"tensor", l.tensor},
                           {"sqnr_db", l.sqnr_db},
                           {"own_sqnr_db", l.own_sqnr_db},
                           {"quantized", l.quantized}});
  }
  return j.dump(2) + "\n";
}

}  // namespace octet::task
