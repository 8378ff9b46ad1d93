#include "passes/equalize_layers.h"

#include <algorithm>
#include <cmath>

#include "passes/fusion_regions.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

constexpr float kLargestFactor = 256;

// A constant that this node alone reads, once.
bool IsOwn(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).is_constant() && g.value(v).consumers.size() == 1;
}

bool IsDepthwise(const Graph& g, const Node& conv) {
  const Shape& w = g.value(conv.input(1)).type.shape;
  const Shape& x = g.value(conv.input(0)).type.shape;
  return w.size() > 1 && w[1] == 1 && x.size() > 1 && conv.attr_int("group", 1) == x[1];
}

bool IsFirst(const Graph& g, const Node& node) {
  return node.op == "Conv" && IsOwn(g, node.input(1)) && (node.input(2) == kNoValue || IsOwn(g, node.input(2)));
}

bool IsSecond(const Graph& g, const Node& node) {
  return node.op == "Conv" && IsOwn(g, node.input(1)) && (node.attr_int("group", 1) == 1 || IsDepthwise(g, node));
}

// f(s x) = s f(x) for s > 0.
bool KeepsFactors(const Node& node) {
  return node.op == "Relu" || node.op == "LeakyRelu";
}

// Multiplies slice c along `axis` by factor(c).
template <typename F>
void ScaleSlices(Graph& g, ValueId constant, int axis, const F& factor) {
  Tensor t = g.value(constant).constant;
  int64_t inner = 1;
  for (int i = axis + 1; i < t.rank(); ++i) inner *= t.dim(i);
  const int64_t slices = t.dim(axis);
  auto* data = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) data[i] *= factor(i / inner % slices);
  g.set_constant(constant, t);
}

// Largest magnitude of the second layer's weights for every input channel.
std::vector<float> AmaxOfInputs(const Tensor& w) {
  std::vector<float> amax(static_cast<size_t>(w.dim(1)), 0.0f);
  const int64_t inner = w.size() / (w.dim(0) * w.dim(1));
  const float* data = w.data<float>();
  for (int64_t i = 0; i < w.size(); ++i) {
    float& a = amax[static_cast<size_t>(i / inner % w.dim(1))];
    a = std::max(a, std::fabs(data[i]));
  }
  return amax;
}

std::vector<float> Factors(const Graph& g, const Node& second, const std::vector<float>& activation) {
  const bool depthwise = IsDepthwise(g, second);
  const std::vector<float> weight = depthwise ? std::vector<float>() : AmaxOfInputs(g.value(second.input(1)).constant);
  std::vector<float> s(activation.size(), 0.0f);
  float before = 0, after = 0;  // range of the tensor
  for (size_t c = 0; c < s.size(); ++c) {
    if (!(activation[c] > 0) || (!depthwise && !(weight[c] > 0))) continue;  // a dead channel
    s[c] = depthwise ? activation[c] : std::sqrt(activation[c] / weight[c]);
    before = std::max(before, activation[c]);
    after = std::max(after, activation[c] / s[c]);
  }
  for (float& f : s) {
    f = f > 0 ? std::clamp(f * after / before, 1 / kLargestFactor, kLargestFactor) : 1.0f;
  }
  return s;
}

}  // namespace

std::vector<EqualizablePair> FindEqualizablePairs(const Graph& g) {
  std::vector<EqualizablePair> pairs;
  for (const NodeId id : g.Order()) {
    if (!IsFirst(g, g.node(id))) continue;
    ValueId out = g.node(id).output();
    NodeId next = g.only_consumer(out);
    if (next != kNoNode && KeepsFactors(g.node(next))) {
      out = g.node(next).output();
      next = g.only_consumer(out);
    }
    if (next == kNoNode || g.is_output(out) || !IsSecond(g, g.node(next)) || g.node(next).input(0) != out) continue;
    pairs.push_back({id, next, out});
  }
  return pairs;
}

Graph EqualizeLayers(Graph g, const std::map<std::string, std::vector<float>>& channel_amax,
                     std::vector<std::string>* changed) {
  for (const EqualizablePair& pair : FindEqualizablePairs(g)) {
    const auto amax = channel_amax.find(g.value(pair.between).name);
    const Shape& shape = g.value(pair.between).type.shape;
    if (amax == channel_amax.end() || shape.size() < 2 || static_cast<int64_t>(amax->second.size()) != shape[1]) {
      continue;
    }
    const Node& second = g.node(pair.second);
    const std::vector<float> s = Factors(g, second, amax->second);
    const auto inverse = [&](int64_t c) { return 1.0f / s[static_cast<size_t>(c)]; };
    ScaleSlices(g, g.node(pair.first).input(1), 0, inverse);
    if (g.node(pair.first).input(2) != kNoValue) ScaleSlices(g, g.node(pair.first).input(2), 0, inverse);
    if (IsDepthwise(g, second)) {
      const int64_t multiplier = g.value(second.input(1)).type.shape[0] / shape[1];
      ScaleSlices(g, second.input(1), 0, [&](int64_t o) { return s[static_cast<size_t>(o / multiplier)]; });
    } else {
      ScaleSlices(g, second.input(1), 1, [&](int64_t c) { return s[static_cast<size_t>(c)]; });
    }
    if (changed != nullptr) changed->push_back(g.value(pair.between).name);
  }
  return g;
}

}  // namespace octet::passes
