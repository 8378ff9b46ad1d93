// The choice of filters. How it is carried out: apply_pruning.cc.
#include "passes/prune.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/strings.h"
#include "passes/insert_qdq.h"
#include "passes/trace_channels.h"

namespace octet::passes {

using ir::Graph;
using ir::NodeId;

namespace {

std::vector<double> FilterNorms(const Tensor& weight, int axis) {
  const std::vector<double> w = weight.ToVector<double>();
  const int64_t filters = weight.dim(axis);
  int64_t inner = 1;
  for (int i = axis + 1; i < weight.rank(); ++i) inner *= weight.dim(i);
  std::vector<double> norms(static_cast<size_t>(filters), 0.0);
  for (size_t i = 0; i < w.size(); ++i) norms[i / static_cast<size_t>(inner) % norms.size()] += w[i] * w[i];
  for (double& n : norms) n = std::sqrt(n);
  return norms;
}

// A layer of zeros stays zero: only the minimum of its filters is kept.
void Normalize(std::vector<double>& norms, PruneNormalizer normalizer) {
  double divisor = 0;
  for (const double n : norms) divisor = normalizer == PruneNormalizer::kMax ? std::max(divisor, n) : divisor + n * n;
  if (normalizer == PruneNormalizer::kL2) divisor = std::sqrt(divisor) / static_cast<double>(norms.size());
  if (divisor == 0) return;
  for (double& n : norms) n /= divisor;
}

double Equalize(const std::vector<double>& norms, EqualizationCriterion criterion) {
  const auto count = static_cast<double>(norms.size());
  switch (criterion) {
    case EqualizationCriterion::kUnion: return *std::max_element(norms.begin(), norms.end());
    case EqualizationCriterion::kIntersection: return *std::min_element(norms.begin(), norms.end());
    case EqualizationCriterion::kArithmeticMean: return std::accumulate(norms.begin(), norms.end(), 0.0) / count;
    case EqualizationCriterion::kGeometricMean: {
      double logs = 0;
      for (const double n : norms) logs += std::log(n);  // of a zero: -inf, hence a mean of zero
      return std::exp(logs / count);
    }
  }
  OCTET_CHECK(false, "no such criterion");
}

// Which of `norms` stay.
std::vector<bool> Select(const std::vector<double>& norms, const PruneOptions& options) {
  const auto all = static_cast<int64_t>(norms.size());
  int64_t keep = std::count_if(norms.begin(), norms.end(), [&](double n) { return n > options.threshold; });
  keep = std::max(keep, std::min(options.min_num_filters, all));
  keep = std::min((keep + options.granularity - 1) / options.granularity * options.granularity, all);
  std::vector<size_t> order(norms.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return norms[a] > norms[b]; });
  std::vector<bool> stays(norms.size(), false);
  for (int64_t i = 0; i < keep; ++i) stays[order[static_cast<size_t>(i)]] = true;
  return stays;
}

std::set<NodeId> FindExcluded(const Graph& g, const std::vector<std::string>& names) {
  std::map<std::string, NodeId> by_name;
  for (const NodeId id : g.Order()) by_name[g.node(id).name] = id;
  std::set<NodeId> found;
  for (const std::string& name : names) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) {
      std::vector<std::string> known;
      for (const auto& [other, id] : by_name) known.push_back(other);
      const std::string nearest = NearestName(name, known);
      OCTET_FAIL("excluded_layers: the network '{}' has no layer '{}'{}", g.name(), name,
                 nearest.empty() ? std::string("; `octet inspect --graph` lists them")
                                 : fmt::format("; did you mean '{}'?", nearest));
    }
    found.insert(it->second);
  }
  return found;
}

class Analysis {
 public:
  Analysis(const Graph& graph, const PruneOptions& options)
      : graph_(graph), options_(options), trace_(graph, FindExcluded(graph, options.excluded_layers)) {
    ScoreFilters();
    Choose();
  }

  PrunePlan Plan() const {
    PrunePlan plan;
    for (size_t i = 0; i < trace_.layers().size(); ++i) plan.layers.push_back(Describe(i));
    for (const ConstantAxis& c : trace_.constants()) {
      std::vector<int64_t> kept = Kept(c.channels);
      if (kept.size() == c.channels.size()) continue;
      plan.cuts.push_back(
          {graph_.value(c.constant).name, c.axis, static_cast<int64_t>(c.channels.size()), std::move(kept)});
    }
    for (const ChannelCount& c : trace_.counts()) {
      const auto after = static_cast<int64_t>(Kept(c.channels).size());
      const auto before = static_cast<int64_t>(c.channels.size());
      if (after != before) plan.counts.push_back({graph_.node(c.node).name, c.input, before, after});
    }
    return plan;
  }

 private:
  // The norms that each class of channels has in the layers that make it. A weight that several nodes share counts
  // once.
  void ScoreFilters() {
    std::set<ir::ValueId> seen;
    for (size_t i = 0; i < trace_.layers().size(); ++i) {
      const ChannelLayer& layer = trace_.layers()[i];
      for (const int c : layer.channels) users_[trace_.Class(c)].insert(i);
      if (layer.follows || !seen.insert(layer.weight).second) continue;
      std::vector<double> norms = FilterNorms(graph_.value(layer.weight).constant, layer.weight_axis);
      Normalize(norms, options_.normalizer);
      for (size_t k = 0; k < norms.size(); ++k) {
        const int c = trace_.Class(layer.channels[k]);
        norms_[c].push_back(norms[k]);
        makers_[c].insert(i);
      }
    }
  }

  // One choice for all classes that the same layers make: one layer's filters, those of layers that are added, or the
  // part of a layer that meets one input of a Concat.
  void Choose() {
    std::map<std::set<size_t>, std::vector<int>> choices;
    for (const auto& [c, makers] : makers_) {
      if (trace_.pinned(c).empty()) choices[makers].push_back(c);
    }
    for (const auto& [makers, classes] : choices) {
      std::vector<double> norms;
      for (const int c : classes) norms.push_back(Equalize(norms_.at(c), options_.criterion));
      const std::vector<bool> stays = Select(norms, options_);
      for (size_t i = 0; i < classes.size(); ++i) {
        if (!stays[i]) gone_.insert(classes[i]);
      }
    }
  }

  std::vector<int64_t> Kept(const Channels& channels) const {
    std::vector<int64_t> kept;
    for (size_t i = 0; i < channels.size(); ++i) {
      if (gone_.count(trace_.Class(channels[i])) == 0) kept.push_back(static_cast<int64_t>(i));
    }
    return kept;
  }

  PrunedLayer Describe(size_t index) const {
    const ChannelLayer& layer = trace_.layers()[index];
    PrunedLayer out;
    out.name = graph_.node(layer.node).name;
    out.op = graph_.node(layer.node).op;
    out.filters = static_cast<int64_t>(layer.channels.size());
    out.kept = Kept(layer.channels);
    out.depthwise = layer.follows;
    std::set<size_t> coupled;
    for (const int c : layer.channels) {
      const std::set<size_t>& users = users_.at(trace_.Class(c));
      coupled.insert(users.begin(), users.end());
      if (out.whole.empty()) out.whole = trace_.pinned(c);
    }
    for (const size_t other : coupled) {
      if (other != index) out.coupled.push_back(graph_.node(trace_.layers()[other].node).name);
    }
    return out;
  }

  const Graph& graph_;
  const PruneOptions& options_;
  ChannelTrace trace_;
  std::map<int, std::vector<double>> norms_;  // by class
  std::map<int, std::set<size_t>> makers_;    // by class: layers whose filters make it
  std::map<int, std::set<size_t>> users_;     // by class: makers and followers
  std::set<int> gone_;                        // classes
};

}  // namespace

PruneNormalizer PruneNormalizerFromName(const std::string& name) {
  if (name == "max") return PruneNormalizer::kMax;
  if (name == "L2") return PruneNormalizer::kL2;
  OCTET_FAIL("unknown normalizer '{}'; expected max or L2", name);
}

EqualizationCriterion EqualizationCriterionFromName(const std::string& name) {
  if (name == "union") return EqualizationCriterion::kUnion;
  if (name == "intersection") return EqualizationCriterion::kIntersection;
  if (name == "arithmetic_mean") return EqualizationCriterion::kArithmeticMean;
  if (name == "geometric_mean") return EqualizationCriterion::kGeometricMean;
  OCTET_FAIL("unknown equalization criterion '{}'; expected union, intersection, arithmetic_mean or geometric_mean",
             name);
}

PrunePlan AnalyzePruning(const Graph& graph, const PruneOptions& options) {
  OCTET_REQUIRE(!HasQdq(graph),
                "the network '{}' is quantized: prune the float network that its QAT started from, then repeat "
                "QAT from the pruned one",
                graph.name());
  OCTET_REQUIRE(options.granularity >= 1, "granularity is {}; expected at least 1", options.granularity);
  OCTET_REQUIRE(options.min_num_filters >= 1, "min_num_filters is {}; expected at least 1", options.min_num_filters);
  OCTET_REQUIRE(options.threshold >= 0, "threshold is {}; expected at least 0", options.threshold);
  return Analysis(graph, options).Plan();
}

}  // namespace octet::passes
