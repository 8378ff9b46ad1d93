#include "passes/insert_qdq_inputs.h"

#include <algorithm>

#include "base/strings.h"
#include "passes/fusion_regions.h"
#include "passes/qdq_pair.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

bool IsFloatTensor(const Graph& g, ValueId v) {
  return v != kNoValue && !g.value(v).is_constant() && g.value(v).type.dtype == DType::kF32;
}

bool ReadsTwoTensors(const Graph& g, const Node& node) {
  return node.inputs.size() == 2 && IsFloatTensor(g, node.input(0)) && IsFloatTensor(g, node.input(1));
}

bool IsOp(const Graph& g, ValueId v, const char* op) {
  const Node* p = g.producer(v);
  return p != nullptr && p->op == op;
}

// x * sigmoid(x): for Keras an activation, not a Multiply. Returns x, else kNoValue.
ValueId SwishInput(const Graph& g, const Node& mul) {
  if (mul.op != "Mul") return kNoValue;
  for (size_t i = 0; i < 2; ++i) {
    const ValueId x = mul.input(1 - i);
    if (IsOp(g, mul.input(i), "Sigmoid") && g.producer(mul.input(i))->input(0) == x) return x;
  }
  return kNoValue;
}

bool IsConvolution(const Graph& g, ValueId v) {
  const Node* p = g.producer(v);
  return p != nullptr && RuleOf(*p).region == ir::RegionRole::kAnchor && StartsWith(p->op, "Conv");
}

bool IsNormalizedConvolution(const Graph& g, ValueId v) {
  const Node* p = g.producer(v);
  return p != nullptr && RuleOf(*p).region == ir::RegionRole::kScaleShift && IsConvolution(g, p->input(0));
}

bool IsActivatedConvolution(const Graph& g, ValueId v) {
  const Node* p = g.producer(v);
  if (p == nullptr) return false;
  const ValueId swish = SwishInput(g, *p);
  if (swish != kNoValue) return IsNormalizedConvolution(g, swish);
  return RuleOf(*p).region == ir::RegionRole::kActivation && IsNormalizedConvolution(g, p->input(0));
}

// Whether TensorRT could fuse the Add that reads `v` with the convolution behind it.
bool IsFusableBranch(const Graph& g, ValueId v) {
  if (g.only_consumer(v) == ir::kNoNode) return false;
  if (IsConvolution(g, v) || IsNormalizedConvolution(g, v) || IsActivatedConvolution(g, v)) return true;
  return IsOp(g, v, "Dropout") && IsActivatedConvolution(g, g.producer(v)->input(0));
}

class Inserter {
 public:
  Inserter(Graph graph, const std::string& observer, const std::set<std::string>& keep_fp32)
      : g_(std::move(graph)), observer_(observer), keep_fp32_(keep_fp32) {}

  Graph Run() {
    for (const NodeId id : g_.Order()) {
      if (keep_fp32_.count(g_.node(id).name) == 0) Visit(id);
    }
    return std::move(g_);
  }

 private:
  void Visit(NodeId id) {
    const Node& node = g_.node(id);
    const ir::RegionRole role = RuleOf(node).region;
    if (role == ir::RegionRole::kAnchor) {
      // A transposed convolution has no wrapper in the toolkit.
      if (node.op == "ConvTranspose" || !g_.value(node.input(1)).is_constant()) return;
      QuantizeWeight(id);
      QuantizeInput(id, 0);
    } else if (node.op == "AveragePool" || node.op == "GlobalAveragePool") {
      QuantizeInput(id, 0);
    } else if (node.op == "Mul" && ReadsTwoTensors(g_, node) && SwishInput(g_, node) == kNoValue) {
      QuantizeInput(id, 0);
      QuantizeInput(id, 1);
    } else if (role == ir::RegionRole::kJoin && ReadsTwoTensors(g_, node) &&
               g_.value(node.input(0)).type.shape == g_.value(node.input(1)).type.shape) {
      QuantizeResidual(id);
    }
  }

  void QuantizeResidual(NodeId add) {
    size_t fused = 2;
    for (size_t i = 2; i-- > 0;) {
      if (IsFusableBranch(g_, g_.node(add).input(i))) fused = i;
    }
    for (size_t i = 0; i < 2; ++i) {
      if (i != fused) QuantizeInput(add, i);
    }
  }

  void QuantizeInput(NodeId node, size_t index) {
    const ValueId x = g_.node(node).input(index);
    if (!IsFloatTensor(g_, x)) return;
    g_.SetInput(node, index, AddActivationPair(g_, x, kInitialScale, observer_).real);
  }

  void QuantizeWeight(NodeId node) {
    const int axis = RuleOf(g_.node(node)).weight_axis(g_.node(node));
    const ValueId w = g_.node(node).input(1);
    g_.SetInput(node, 1, AddWeightPair(g_, w, axis, !observer_.empty()).real);
  }

  Graph g_;
  const std::string observer_;
  const std::set<std::string>& keep_fp32_;
};

bool SameConstant(const Graph& g, ValueId a, ValueId b) {
  if (a == b) return true;
  if (a == kNoValue || b == kNoValue) return false;
  const Tensor& x = g.value(a).constant;
  const Tensor& y = g.value(b).constant;
  return x.defined() && y.defined() && x == y;
}

// Of the nodes `op` that read `v`, those that do the same as an earlier one go.
void MergeReaders(Graph& g, ValueId v, const char* op) {
  std::vector<NodeId> kept;
  const std::vector<NodeId> readers = g.value(v).consumers;
  for (const NodeId id : readers) {
    const Node& node = g.node(id);
    if (node.op != op || node.input(0) != v) continue;
    bool found = false;
    for (const NodeId other : kept) {
      const Node& first = g.node(other);
      if (other == id || !SameConstant(g, first.input(1), node.input(1)) ||
          !SameConstant(g, first.input(2), node.input(2)) || first.attr_int("axis", 1) != node.attr_int("axis", 1)) {
        continue;
      }
      g.ReplaceUses(node.output(), first.output());
      g.RemoveNode(id);
      found = true;
      break;
    }
    if (!found) kept.push_back(id);
  }
}

}  // namespace

Graph InsertQdqInputs(Graph graph, const std::string& observer, const std::set<std::string>& keep_fp32) {
  return Inserter(std::move(graph), observer, keep_fp32).Run();
}

Graph MergeEqualQdq(Graph g) {
  // Quantizers first: then equal dequantizers read one tensor.
  for (const auto& [dtype, op] :
       {std::pair(DType::kF32, "QuantizeLinear"), std::pair(DType::kS8, "DequantizeLinear")}) {
    std::vector<ValueId> values = g.values();
    values.erase(std::remove_if(values.begin(), values.end(),
                                [&, type = dtype](ValueId v) { return g.value(v).type.dtype != type; }),
                 values.end());
    for (const ValueId v : values) MergeReaders(g, v, op);
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
