// Channel pruning: filters with a small norm go, with everything that reads or accompanies them. Runs on a float
// network, before QAT; the result must be trained again. Rules as in TAO:
//   - a filter's norm is the L2 norm of its weights (bias and batch norm do not count), divided by the layer's largest
//   norm
//     (`max`), or by the L2 norm of the layer's norms and multiplied by their number (`l2`);
//   - layers whose channels meet element by element make one choice, by their norms merged with `criterion`;
//   - a filter stays when its norm is above `threshold`; at least `min_num_filters` stay; their number is rounded up to
//   a
//     multiple of `granularity`; of equal norms the earlier filter stays;
//   - a depthwise layer follows its producer;
//   - kept whole: layers that make a network output, `excluded_layers` and what is coupled with them, and channels that
//   meet an
//     operator which does not say how it carries channels (ir::PruneRule).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::passes {

enum class PruneNormalizer { kMax, kL2 };
enum class EqualizationCriterion { kUnion, kIntersection, kArithmeticMean, kGeometricMean };

struct PruneOptions {
  PruneNormalizer normalizer = PruneNormalizer::kMax;
  EqualizationCriterion criterion = EqualizationCriterion::kUnion;  // element-wise max, min, and means
  double threshold = 0.1;
  int64_t granularity = 8;
  int64_t min_num_filters = 16;
  std::vector<std::string> excluded_layers;  // node names
};
// "max", "L2"; "union", "intersection", "arithmetic_mean", "geometric_mean". Throw a user Error on other names.
PruneNormalizer PruneNormalizerFromName(const std::string& name);
EqualizationCriterion EqualizationCriterionFromName(const std::string& name);

struct PrunedLayer {
  std::string name;
  std::string op;
  int64_t filters = 0;
  std::vector<int64_t> kept;         // indices, ascending
  std::vector<std::string> coupled;  // other layers that share the choice, in topological order
  bool depthwise = false;            // follows its producer
  std::string whole;                 // why some or all channels cannot go; "" when all can
};

struct PrunePlan {
  std::vector<PrunedLayer> layers;  // in topological order

  struct Cut {  // a constant keeps these indices of an axis of `size` elements
    std::string constant;
    int axis = 0;
    int64_t size = 0;
    std::vector<int64_t> kept;
  };
  std::vector<Cut> cuts;

  struct Count {  // a number of channels that a node spells out
    std::string node;
    int input = -1;  // -1: attribute `group`; else element 1 of this input, a shape
    int64_t before = 0;
    int64_t after = 0;
  };
  std::vector<Count> counts;
};

// Throws a user Error for a quantized network, an unknown excluded layer, and options outside their range.
PrunePlan AnalyzePruning(const ir::Graph& graph, const PruneOptions& options);

// The smaller network, types inferred. Throws a user Error when the plan is of another network.
ir::Graph ApplyPruning(ir::Graph graph, const PrunePlan& plan);

// A table, one line a layer; `indices` adds the kept filters as ranges.
std::string ToString(const PrunePlan& plan, bool indices = false);

}  // namespace octet::passes
