#include "passes/gather_channels.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "ir/op_def.h"

namespace octet::passes {
namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

constexpr int64_t kMostElements = int64_t{1} << 26;
constexpr size_t kLongest = 12;

// A node that only moves the elements of input 0, in a way known now.
bool Moves(const Graph& g, const Node* node) {
  if (node == nullptr || !ir::GetOp(*node).quant.moves) return false;
  for (size_t i = 1; i < node->inputs.size(); ++i) {
    if (node->inputs[i] != kNoValue && !g.value(node->inputs[i]).is_constant()) return false;
  }
  return true;
}

// Images of channels, of which at most the batch is unknown. Two images stand for that: one would hide what moves
// between images.
std::optional<Shape> Images(const Graph& g, ValueId v) {
  const ir::TensorType& type = g.value(v).type;
  if (type.dtype != DType::kF32 || type.shape.size() != 4) return {};
  Shape shape = type.shape;
  if (shape[0] < 0) shape[0] = 2;
  if (std::any_of(shape.begin(), shape.end(), [](int64_t d) { return d <= 0; })) return {};
  return NumElements(shape) <= kMostElements ? std::optional<Shape>(shape) : std::nullopt;
}

// The channel of `x` that each channel of v is, where v comes from x by `chain` (from x's reader on); empty: more than
// channels moves.
std::vector<int64_t> ChannelsOf(const Graph& g, ValueId v, const Shape& x, const std::vector<const Node*>& chain) {
  Tensor numbers(DType::kS32, x);
  std::iota(numbers.mutable_data<int32_t>(), numbers.mutable_data<int32_t>() + numbers.size(), 0);
  for (size_t i = 0; i < chain.size(); ++i) {
    const Node& node = *chain[i];
    std::vector<Tensor> inputs = {numbers};
    for (size_t k = 1; k < node.inputs.size(); ++k) {
      inputs.push_back(node.inputs[k] == kNoValue ? Tensor() : g.value(node.inputs[k]).constant);
    }
    const ValueId wanted = i + 1 == chain.size() ? v : chain[i + 1]->input(0);
    const auto at = std::find(node.outputs.begin(), node.outputs.end(), wanted) - node.outputs.begin();
    numbers = ir::GetOp(node).reference(node, inputs).at(static_cast<size_t>(at));
  }
  const Shape& y = numbers.shape();
  if (y.size() != 4 || y[0] != x[0] || y[2] != x[2] || y[3] != x[3]) return {};
  const int32_t* from = numbers.data<int32_t>();
  const int64_t plane = x[2] * x[3];
  std::vector<int64_t> channels;
  for (int64_t c = 0; c < y[1]; ++c) channels.push_back(from[c * plane] / plane);
  for (int64_t n = 0; n < y[0]; ++n) {
    for (int64_t c = 0; c < y[1]; ++c) {
      for (int64_t i = 0; i < plane; ++i) {
        if (*from++ != (n * x[1] + channels[static_cast<size_t>(c)]) * plane + i) return {};
      }
    }
  }
  return channels;
}

void Rewrite(Graph& g, ValueId v) {
  if (!Images(g, v) || g.is_output(v)) return;
  std::vector<const Node*> back;  // from v's producer on
  ValueId x = v, source = kNoValue;
  std::vector<int64_t> channels;
  while (back.size() < kLongest && Moves(g, g.producer(x))) {
    back.push_back(g.producer(x));
    x = back.back()->input(0);
    const std::optional<Shape> images = Images(g, x);
    if (!images) continue;
    const std::vector<int64_t> found = ChannelsOf(g, v, *images, {back.rbegin(), back.rend()});
    if (found.empty()) continue;
    channels = found;
    source = x;
  }
  if (source == kNoValue || (back.size() == 1 && back[0]->op == "Gather")) return;
  std::vector<int64_t> all(static_cast<size_t>(g.value(source).type.shape[1]));
  std::iota(all.begin(), all.end(), 0);
  if (channels == all) return;
  const std::string name = g.value(v).name;
  const auto count = static_cast<int64_t>(channels.size());
  const ValueId indices = g.AddConstant(g.UniqueName(name + ".channels"), Tensor::From<int64_t>({count}, channels));
  const NodeId made = g.AddNode("Gather", g.UniqueNodeName(g.node(g.value(v).producer).name + ".channels"),
                                {source, indices}, {g.UniqueName(name + ".gathered")}, {{"axis", int64_t{1}}});
  const ValueId gathered = g.node(made).output();
  g.set_type(gathered, g.value(v).type);
  g.ReplaceUses(v, gathered);
  g.SwapNames(v, gathered);
}

}  // namespace

Graph GatherChannels(Graph g) {
  for (const NodeId id : g.Order()) {
    if (!Moves(g, &g.node(id))) continue;
    const std::vector<ValueId> outputs = g.node(id).outputs;
    for (const ValueId v : outputs) {
      if (v != kNoValue) Rewrite(g, v);
    }
  }
  g.RemoveUnused();
  return g;
}

}  // namespace octet::passes
