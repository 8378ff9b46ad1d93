// Shape arithmetic in exported networks mentions the batch ("view(x.size(0), -1)"). Instead of symbols, the importer
// builds the graph for two batch sizes and compares: a number that differs is the batch's doing.
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "ir/op_def.h"
#include "onnx/import_graph.h"

namespace octet::onnx {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using Ints = std::vector<int64_t>;

// The two builds of the values around one use of a constant.
struct Use {
  const Node& node;
  Ints a, b;           // the constant, for the two batch sizes
  Shape x_a, x_b;      // the node's first input
  Shape out_a, out_b;  // its output
};

std::optional<Tensor> IntsTensor(const Ints& values) {
  return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values);
}

// 0 where the input's own size passes through, -1 for one other size that follows the batch.
std::optional<Tensor> JoinReshape(const Use& use) {
  Ints sizes = use.a;
  int open = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool differs = use.out_a.at(i) != use.out_b.at(i);
    if (!differs) {
      sizes[i] = use.out_a[i];
    } else if (i < use.x_a.size() && use.x_a[i] == use.out_a[i] && use.x_b[i] == use.out_b[i]) {
      sizes[i] = 0;
    } else {
      sizes[i] = -1;
      ++open;
    }
  }
  if (open > 1) return {};
  return IntsTensor(sizes);
}

// 1 where the input already has the size.
std::optional<Tensor> JoinExpand(const Use& use) {
  Ints sizes = use.a;
  const size_t offset = use.out_a.size() - use.x_a.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (use.a[i] == use.b[i]) continue;
    const size_t o = use.out_a.size() - sizes.size() + i;
    if (o < offset || use.x_a[o - offset] != use.out_a[o] || use.x_b[o - offset] != use.out_b[o]) return {};
    sizes[i] = 1;
  }
  return IntsTensor(sizes);
}

// Bounds that are the whole size become "to the end".
std::optional<Tensor> JoinSlice(const Use& use, size_t input) {
  if (input != 2) return {};
  Ints ends = use.a;
  for (size_t i = 0; i < ends.size(); ++i) {
    if (use.a[i] == use.b[i]) continue;
    bool whole = false;
    for (size_t d = 0; d < use.x_a.size(); ++d) whole = whole || (use.x_a[d] == use.a[i] && use.x_b[d] == use.b[i]);
    if (!whole) return {};
    ends[i] = std::numeric_limits<int64_t>::max();
  }
  return IntsTensor(ends);
}

}  // namespace

Graph JoinBatches(const Graph& a, const Graph& b, const std::vector<std::string>& dynamic_inputs) {
  Graph graph = a;
  for (const std::string& name : dynamic_inputs) {
    const ValueId id = graph.Find(name);
    ir::TensorType type = graph.value(id).type;
    type.shape[0] = ir::kDynamic;
    graph.set_type(id, type);
  }
  for (const ValueId constant : a.constants()) {
    const ir::Value& in_a = a.value(constant);
    const ValueId other = b.Find(in_a.name);
    OCTET_CHECK(other != ir::kNoValue && b.value(other).is_constant(), "'{}' differs in kind", in_a.name);
    const Tensor& in_b = b.value(other).constant;
    if (in_a.constant == in_b) continue;
    const std::set<NodeId> users(in_a.consumers.begin(), in_a.consumers.end());
    for (const NodeId user : users) {
      const Node node = graph.node(user);
      const auto fail = [&] {
        OCTET_FAIL(
            "node '{}' ({}) depends on the batch size through '{}'; import the model with a fixed batch, for example "
            "{}={}",
            node.name, node.op, in_a.name, dynamic_inputs.at(0), ToString([&] {
              Shape s = a.value(a.Find(dynamic_inputs[0])).type.shape;
              s[0] = 1;
              return s;
            }()));
      };
      if (in_a.type.dtype != DType::kS64 || in_a.constant.shape() != in_b.shape()) fail();
      const ValueId out_b = b.Find(a.value(node.outputs[0]).name);
      const ValueId x_b = node.inputs[0] == constant ? other : b.Find(a.value(node.inputs[0]).name);
      const Use use{node,
                    in_a.constant.ToVector<int64_t>(),
                    in_b.ToVector<int64_t>(),
                    a.value(node.inputs[0]).type.shape,
                    b.value(x_b).type.shape,
                    a.value(node.outputs[0]).type.shape,
                    b.value(out_b).type.shape};
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] != constant) continue;
        std::optional<Tensor> joined;
        if (node.op == "Reshape" && i == 1) joined = JoinReshape(use);
        if (node.op == "Expand" && i == 1) joined = JoinExpand(use);
        if (node.op == "Slice") joined = JoinSlice(use, i);
        if (node.op == "Resize" && i == 3) {
          std::vector<float> scales;
          for (size_t d = 0; d < use.x_a.size(); ++d) {
            if (use.out_a[d] != use.out_b[d] && use.out_a[d] != use.x_a[d]) fail();
            scales.push_back(static_cast<float>(use.out_a[d]) / static_cast<float>(use.x_a[d]));
          }
          const auto count = static_cast<int64_t>(scales.size());
          graph.SetInput(user, 3, ir::kNoValue);
          graph.SetInput(user, 2, graph.AddConstant(node.name + ".scales", Tensor::From<float>({count}, scales)));
          continue;
        }
        if (!joined.has_value()) fail();
        graph.SetInput(user, i, graph.AddConstant(in_a.name, *joined));
      }
    }
  }
  graph.RemoveUnused();
  return graph;
}

}  // namespace octet::onnx
