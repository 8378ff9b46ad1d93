// Pruning under test: small networks with filters of very different norms, and the meaning of a plan: the network whose
// filters are zero, batch norm included, where the plan removes them.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "ir/op_def.h"
#include "passes/prune.h"

namespace octet::passes {

class PruneNet {
 public:
  explicit PruneNet(uint32_t seed = 1) : graph_("net"), rng_(seed) {}

  ir::Graph& graph() { return graph_; }
  ir::ValueId Input(const std::string& name, int64_t channels, int64_t size) {
    return graph_.AddInput(name, {DType::kF32, {ir::kDynamic, channels, size, size}});
  }
  Tensor Random(const Shape& shape, float low, float high) {
    Tensor t(DType::kF32, shape);
    std::uniform_real_distribution<float> uniform(low, high);
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = uniform(rng_);
    return t;
  }
  // Filters with norms that differ by up to a factor of ten.
  Tensor Filters(const Shape& shape) {
    Tensor t = Random(shape, -1, 1);
    const Tensor scale = Random({shape[0]}, 0.1f, 1);
    const int64_t inner = t.size() / shape[0];
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] *= scale.data<float>()[i / inner];
    return t;
  }
  ir::ValueId Op(const std::string& op, const std::string& name, std::vector<ir::ValueId> inputs,
                 ir::Attrs attrs = {}) {
    const ir::NodeId id = graph_.AddNode(op, name, std::move(inputs), {name}, std::move(attrs));
    ir::InferTypes(graph_);
    return graph_.node(id).output();
  }
  int64_t Channels(ir::ValueId x) const { return graph_.value(x).type.shape.at(1); }
  ir::ValueId Constant(const std::string& name, Tensor t) { return graph_.AddConstant(name, std::move(t)); }
  ir::ValueId Conv(const std::string& name, ir::ValueId x, int64_t filters, int64_t kernel = 1, int64_t group = 1) {
    const ir::ValueId w = Constant(name + ".weight", Filters({filters, Channels(x) / group, kernel, kernel}));
    const ir::ValueId b = Constant(name + ".bias", Random({filters}, -0.5f, 0.5f));
    return Op("Conv", name, {x, w, b}, {{"pads", std::vector<int64_t>(4, kernel / 2)}, {"group", group}});
  }
  ir::ValueId Bn(const std::string& name, ir::ValueId x) {
    const int64_t c = Channels(x);
    return Op(
        "BatchNormalization", name,
        {x, Constant(name + ".scale", Random({c}, 0.5f, 1.5f)), Constant(name + ".bias", Random({c}, -0.5f, 0.5f)),
         Constant(name + ".mean", Random({c}, -0.5f, 0.5f)), Constant(name + ".var", Random({c}, 0.5f, 1.5f))});
  }
  ir::ValueId ConvBnRelu(const std::string& name, ir::ValueId x, int64_t filters, int64_t kernel = 1,
                         int64_t group = 1) {
    return Op("Relu", name + "_relu", {Bn(name + "_bn", Conv(name, x, filters, kernel, group))});
  }
  ir::ValueId Dense(const std::string& name, ir::ValueId x, int64_t outputs) {
    const ir::ValueId w = Constant(name + ".weight", Filters({outputs, Channels(x)}));
    const ir::ValueId b = Constant(name + ".bias", Random({outputs}, -0.5f, 0.5f));
    return Op("Gemm", name, {x, w, b}, {{"transB", int64_t{1}}});
  }
  // Average over space, a dense layer, softmax, output.
  void Head(ir::ValueId x) {
    const ir::ValueId flat = Op("Flatten", "flat", {Op("GlobalAveragePool", "gap", {x})});
    graph_.MarkOutput(Op("Softmax", "predictions", {Dense("logits", flat, 5)}));
  }

 private:
  ir::Graph graph_;
  std::mt19937 rng_;
};

inline void ZeroSlices(ir::Graph& g, ir::ValueId constant, int axis, const std::vector<bool>& zero) {
  Tensor t = g.value(constant).constant;
  int64_t inner = 1;
  for (int i = axis + 1; i < t.rank(); ++i) inner *= t.dim(i);
  for (int64_t i = 0; i < t.size(); ++i) {
    if (zero[static_cast<size_t>(i / inner % t.dim(axis))]) t.mutable_data<float>()[i] = 0;
  }
  g.set_constant(constant, t);
}

// The full-size network in which the removed channels are zero after every layer and batch norm. Reads only the plan's
// list of layers, not its cuts, so that a wrong cut shows.
inline ir::Graph ZeroPrunedFilters(ir::Graph g, const PrunePlan& plan) {
  for (const PrunedLayer& layer : plan.layers) {
    std::vector<bool> gone(static_cast<size_t>(layer.filters), true);
    for (const int64_t k : layer.kept) gone[static_cast<size_t>(k)] = false;
    for (const ir::NodeId id : g.Order()) {
      if (g.node(id).name != layer.name) continue;
      const ir::Node node = g.node(id);
      ZeroSlices(g, node.input(1), ir::GetOp(node).quant.weight_axis(node), gone);
      if (node.input(2) != ir::kNoValue) ZeroSlices(g, node.input(2), 0, gone);
      for (const ir::NodeId user : g.value(node.output()).consumers) {
        const ir::Node bn = g.node(user);
        if (bn.op != "BatchNormalization") continue;
        ZeroSlices(g, bn.input(1), 0, gone);
        ZeroSlices(g, bn.input(2), 0, gone);
      }
    }
  }
  return g;
}

}  // namespace octet::passes
