#include "task/ptq/correct_bias.h"

#include <map>
#include <memory>
#include <set>

#include "passes/extract_subgraph.h"
#include "passes/fusion_regions.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "task/ptq/choose_ranges.h"
#include "train/graph_module.h"

namespace octet::task {
namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;

// A layer with rounded weights, to be fed with the rounded tensor.
struct Layer {
  NodeId node = ir::kNoNode;
  std::string input, output;
  float scale = 0;  // of the input
  std::unique_ptr<train::GraphModule> rounded;
  std::vector<double> shift;  // summed over the elements of a channel
  int64_t elements = 0;       // of a channel
};

// The layer's bias can be written: there is none, or a vector of one element a channel that it alone reads.
bool HasOwnBias(const Graph& g, const Node& node, int64_t channels) {
  if (node.op != "Conv" && node.op != "ConvTranspose" && node.op != "Gemm") return false;
  const ir::ValueId bias = node.input(2);
  if (bias == kNoValue) return true;
  const ir::Value& value = g.value(bias);
  return value.is_constant() && value.consumers.size() == 1 && value.type.shape == Shape{channels};
}

// Channels lie along axis 1 of what Conv and Gemm make.
void AddShift(const Tensor& exact, const Tensor& rounded, Layer* layer) {
  const int64_t channels = exact.dim(1);
  const int64_t inner = exact.size() / (exact.dim(0) * channels);
  const float* a = exact.data<float>();
  const float* b = rounded.data<float>();
  for (int64_t i = 0; i < exact.size(); ++i) {
    layer->shift[static_cast<size_t>(i / inner % channels)] += static_cast<double>(a[i]) - b[i];
  }
  layer->elements += exact.dim(0) * inner;
}

std::vector<Layer> QuantizedLayers(const Graph& g, const Graph& quantized, const std::string& device) {
  std::map<std::string, float> scales;
  for (const auto& [name, scale] : passes::CollectScales(quantized)) scales[name] = scale;
  std::set<std::string> quantized_layers;
  for (const NodeId id : quantized.Order()) {
    const Node& node = quantized.node(id);
    if (passes::RuleOf(node).region != ir::RegionRole::kAnchor || node.inputs.size() < 2) continue;
    const Node* weight = quantized.producer(node.input(1));
    if (weight != nullptr && weight->op == "DequantizeLinear") quantized_layers.insert(node.name);
  }
  std::vector<Layer> layers;
  for (const NodeId id : g.Order()) {
    const Node& node = g.node(id);
    if (quantized_layers.count(node.name) == 0) continue;
    const auto scale = scales.find(g.value(node.input(0)).name);
    const Shape& out = g.value(node.output()).type.shape;
    if (scale == scales.end() || out.size() < 2 || !g.value(node.input(1)).is_constant()) continue;
    if (!HasOwnBias(g, node, out[1])) continue;
    Layer layer;
    layer.node = id;
    layer.input = g.value(node.input(0)).name;
    layer.output = g.value(node.output()).name;
    layer.scale = scale->second;
    layer.shift.assign(static_cast<size_t>(out[1]), 0.0);
    Graph part = passes::ExtractSubgraph(g, {id}, {node.output()});
    const ir::ValueId w = part.Find(g.value(node.input(1)).name);
    const int axis = passes::RuleOf(node).weight_axis(node);
    std::vector<float> weight_scales = quant::AmaxPerChannel(part.value(w).constant, axis);
    for (float& s : weight_scales) s = quant::ScaleOfAmax(s);
    const Tensor codes =
        quant::QuantizeWeight(part.value(w).constant, weight_scales, axis, quant::WeightRounding::kTiesUp);
    part.set_constant(w, quant::DequantizeWeight(codes, weight_scales, axis));
    layer.rounded = std::make_unique<train::GraphModule>(part, device);
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace

Graph CorrectBias(Graph g, const Graph& quantized, const std::vector<Tensor>& probes, const std::string& device,
                  int* changed) {
  std::vector<Layer> layers = QuantizedLayers(g, quantized, device);
  std::set<std::string> wanted;
  for (const Layer& layer : layers) wanted.insert({layer.input, layer.output});
  train::GraphModule module(g, device);
  for (const Tensor& images : probes) {
    std::map<std::string, Tensor> values;
    module.Evaluate({{g.value(g.inputs().at(0)).name, images}}, {}, [&](const std::string& name, const Tensor& value) {
      if (wanted.count(name) != 0) values[name] = value;
      return Tensor();
    });
    for (Layer& layer : layers) {
      const Tensor rounded = FakeQuantized(values.at(layer.input), layer.scale);
      AddShift(values.at(layer.output), layer.rounded->Evaluate({{layer.input, rounded}}).at(0), &layer);
    }
  }
  for (const Layer& layer : layers) {
    const auto channels = static_cast<int64_t>(layer.shift.size());
    const ir::ValueId old = g.node(layer.node).input(2);
    Tensor bias = old == kNoValue ? Tensor(DType::kF32, {channels}) : g.value(old).constant;
    auto* data = bias.mutable_data<float>();
    for (int64_t c = 0; c < channels; ++c) {
      data[c] += static_cast<float>(layer.shift[static_cast<size_t>(c)] / static_cast<double>(layer.elements));
    }
    if (old == kNoValue) {
      g.SetInput(layer.node, 2, g.AddConstant(g.node(layer.node).name + ".bias", bias));
    } else {
      g.set_constant(old, bias);
    }
  }
  if (changed != nullptr) *changed = static_cast<int>(layers.size());
  return g;
}

}  // namespace octet::task
