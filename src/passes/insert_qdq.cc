#include "passes/insert_qdq.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "passes/fusion_regions.h"
#include "passes/qdq_pair.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

class Inserter {
 public:
  Inserter(Graph graph, const InsertQdqOptions& options) : g_(std::move(graph)), options_(options) {}

  Graph Run() {
    const FusionRegions found = FindFusionRegions(g_);
    const std::set<NodeId> output_layers = FindOutputLayers(g_);
    for (const FusionRegion& r : found.regions) {
      const Node& anchor = g_.node(r.anchor);
      if (output_layers.count(r.anchor) != 0 || options_.keep_fp32.count(anchor.name) != 0) continue;
      if (!HasConstantWeight(anchor)) continue;  // a product of two activations
      if (options_.implicit &&
          !(Listed(anchor.input(0)) && Listed(r.output) && (r.residual == kNoValue || Listed(r.residual)))) {
        continue;
      }
      EnsureQuantized(g_.node(r.anchor).input(0));
      if (r.residual != kNoValue) EnsureQuantized(r.residual);
      QuantizeWeight(r.anchor);
      QuantizeTensor(r.output);
    }
    return std::move(g_);
  }

 private:
  // The tensor at which the range of `v` is decided: back through operators that commute with quantization.
  ValueId Origin(ValueId v) const {
    while (const Node* p = g_.producer(v)) {
      if (!RuleOf(*p).Commutes(*p)) break;
      v = p->input(0);
    }
    return v;
  }
  bool Listed(ValueId v) const {
    const Node* p = g_.producer(v);
    if (p != nullptr && p->op == "DequantizeLinear") return true;
    if (options_.scales.count(g_.value(v).name) != 0) return true;
    const ValueId origin = Origin(v);
    if (origin == v) return false;
    const Node* q = g_.producer(origin);
    return (q != nullptr && q->op == "DequantizeLinear") || options_.scales.count(g_.value(origin).name) != 0;
  }
  void EnsureQuantized(ValueId v) {
    const ValueId origin = Origin(v);
    const Node* p = g_.producer(origin);
    if (p == nullptr || p->op != "DequantizeLinear") QuantizeTensor(origin);
  }
  // A weight that several layers share has its pair after the first of them.
  bool HasConstantWeight(const Node& anchor) const {
    const ValueId w = anchor.input(1);
    if (g_.value(w).is_constant()) return true;
    const Node* dq = g_.producer(w);
    const Node* q = dq != nullptr && dq->op == "DequantizeLinear" ? g_.producer(dq->input(0)) : nullptr;
    return q != nullptr && g_.value(q->input(0)).is_constant();
  }
  static bool IsQuantize(const Node& node) { return node.op == "QuantizeLinear"; }

  void QuantizeTensor(ValueId v) {
    for (const NodeId user : g_.value(v).consumers) {
      if (IsQuantize(g_.node(user))) return;
    }
    const std::string name = g_.value(v).name;
    const auto listed = options_.scales.find(name);
    const float scale = listed == options_.scales.end() ? kInitialScale : listed->second;
    Redirect(v, AddActivationPair(g_, v, scale, options_.observer));
  }

  void QuantizeWeight(NodeId anchor) {
    const ValueId w = g_.node(anchor).input(1);
    if (!g_.value(w).is_constant()) return;  // shared, and done
    const int axis = RuleOf(g_.node(anchor)).weight_axis(g_.node(anchor));
    const std::vector<NodeId> users = g_.value(w).consumers;
    if (std::any_of(users.begin(), users.end(), [&](NodeId u) { return IsQuantize(g_.node(u)); })) return;
    const QdqPair pair = AddWeightPair(g_, w, axis, !options_.observer.empty());
    if (options_.implicit) {
      const std::vector<float> scales = g_.value(g_.node(pair.quantize).input(1)).constant.ToVector<float>();
      const Tensor codes = quant::QuantizeWeight(g_.value(w).constant, scales, axis, quant::WeightRounding::kTiesUp);
      g_.set_constant(w, quant::DequantizeWeight(codes, scales, axis));
    }
    Redirect(w, pair);
  }

  // Everyone who read v reads the pair.
  void Redirect(ValueId v, const QdqPair& pair) { g_.ReplaceUses(v, pair.real, pair.quantize, /*outputs_too=*/false); }

  Graph g_;
  const InsertQdqOptions& options_;
};

}  // namespace

Graph InsertQdq(Graph graph, const InsertQdqOptions& options) {
  return Inserter(std::move(graph), options).Run();
}

void RequireLayers(const Graph& g, const std::set<std::string>& names) {
  std::set<std::string> layers;
  for (const NodeId id : g.Order()) {
    if (RuleOf(g.node(id)).region == ir::RegionRole::kAnchor) layers.insert(g.node(id).name);
  }
  for (const std::string& name : names) {
    if (layers.count(name) != 0) continue;
    const std::string nearest = NearestName(name, {layers.begin(), layers.end()});
    OCTET_FAIL("keep_fp32: the network has no layer '{}' (Conv, ConvTranspose, Gemm or MatMul){}", name,
               nearest.empty() ? std::string("; octet inspect --graph lists them") : "; nearest: '" + nearest + "'");
  }
}

QuantizerCounts CountQuantizers(const Graph& g) {
  QuantizerCounts counts;
  for (const NodeId id : g.Order()) {
    if (g.node(id).op != "QuantizeLinear") continue;
    ++(g.value(g.node(id).input(0)).is_constant() ? counts.weights : counts.activations);
  }
  return counts;
}

bool HasQdq(const Graph& g) {
  const QuantizerCounts counts = CountQuantizers(g);
  return counts.activations + counts.weights > 0;
}

}  // namespace octet::passes
