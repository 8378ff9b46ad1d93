// Carrying out a plan: constants lose slices, counts follow. And the plan as text.
#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/strings.h"
#include "ir/op_def.h"
#include "passes/prune.h"

namespace octet::passes {

using ir::Graph;
using ir::NodeId;
using ir::ValueId;

namespace {

Tensor TakeSlices(const Tensor& from, int axis, const std::vector<int64_t>& kept) {
  Shape shape = from.shape();
  shape[static_cast<size_t>(axis)] = static_cast<int64_t>(kept.size());
  Tensor out(from.dtype(), shape);
  size_t outer = 1;
  size_t inner = SizeOf(from.dtype());
  for (int i = 0; i < axis; ++i) outer *= static_cast<size_t>(from.dim(i));
  for (int i = axis + 1; i < from.rank(); ++i) inner *= static_cast<size_t>(from.dim(i));
  const auto* source = static_cast<const char*>(from.raw());
  auto* target = static_cast<char*>(out.mutable_raw());
  for (size_t o = 0; o < outer; ++o) {
    for (const int64_t k : kept) {
      std::memcpy(target, source + (o * static_cast<size_t>(from.dim(axis)) + static_cast<size_t>(k)) * inner, inner);
      target += inner;
    }
  }
  return out;
}

void RequireFits(bool fits, const Graph& g, const std::string& what) {
  OCTET_REQUIRE(fits, "the pruning plan does not fit the network '{}' ({}); make the plan from this network", g.name(),
                what);
}

// A shape that says the number of channels says the new one; -1 and 0 follow by themselves.
void UpdateShape(Graph& g, NodeId id, const PrunePlan::Count& count) {
  const ValueId shape = g.node(id).input(static_cast<size_t>(count.input));
  RequireFits(shape != ir::kNoValue && g.value(shape).is_constant(), g, count.node);
  std::vector<int64_t> sizes = g.value(shape).constant.ToVector<int64_t>();
  if (sizes.size() < 2 || sizes[1] <= 0) return;
  RequireFits(sizes[1] == count.before, g, count.node);
  sizes[1] = count.after;
  const Tensor updated = Tensor::From<int64_t>({static_cast<int64_t>(sizes.size())}, sizes);
  if (g.value(shape).consumers.size() == 1) {
    g.set_constant(shape, updated);
  } else {
    g.SetInput(id, static_cast<size_t>(count.input), g.AddConstant(g.value(shape).name, updated));
  }
}

std::string Ranges(const std::vector<int64_t>& kept) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < kept.size();) {
    size_t end = i + 1;
    while (end < kept.size() && kept[end] == kept[end - 1] + 1) ++end;
    parts.push_back(end - i == 1 ? std::to_string(kept[i]) : fmt::format("{}-{}", kept[i], kept[end - 1]));
    i = end;
  }
  return Join(parts, ",");
}

// A reason, or the group: its first layer lists the others, they name the first.
std::string Note(const PrunePlan& plan, const PrunedLayer& layer) {
  std::vector<std::string> notes;
  if (!layer.whole.empty()) notes.push_back("whole: " + layer.whole);
  if (layer.depthwise) notes.push_back("depthwise");
  if (!layer.coupled.empty()) {
    for (const PrunedLayer& other : plan.layers) {
      if (other.name == layer.name) {
        notes.push_back("with " + Join(layer.coupled, ", "));
        break;
      }
      if (other.name == layer.coupled.front()) {
        notes.push_back("as " + other.name);
        break;
      }
    }
  }
  return Join(notes, "; ");
}

}  // namespace

Graph ApplyPruning(Graph g, const PrunePlan& plan) {
  for (const PrunePlan::Cut& cut : plan.cuts) {
    const ValueId id = g.Find(cut.constant);
    RequireFits(id != ir::kNoValue && g.value(id).is_constant() && cut.axis < g.value(id).constant.rank() &&
                    g.value(id).constant.dim(cut.axis) == cut.size && !cut.kept.empty() && cut.kept.back() < cut.size,
                g, cut.constant);
    g.set_constant(id, TakeSlices(g.value(id).constant, cut.axis, cut.kept));
  }
  std::map<std::string, NodeId> by_name;
  for (const NodeId id : g.Order()) by_name[g.node(id).name] = id;
  for (const PrunePlan::Count& count : plan.counts) {
    const auto it = by_name.find(count.node);
    RequireFits(it != by_name.end(), g, count.node);
    if (count.input >= 0) {
      UpdateShape(g, it->second, count);
      continue;
    }
    RequireFits(g.node(it->second).attr_int("group", 1) == count.before, g, count.node);
    g.mutable_node(it->second).attrs["group"] = count.after;
  }
  ir::InferTypes(g);
  ir::Verify(g);
  return g;
}

std::string ToString(const PrunePlan& plan, bool indices) {
  size_t width = 5;
  for (const PrunedLayer& layer : plan.layers) width = std::max(width, layer.name.size());
  std::string text = fmt::format("{:<{}}  {:<13}  {:>7}  {:>5}\n", "layer", width, "operator", "filters", "kept");
  for (const PrunedLayer& layer : plan.layers) {
    std::string line =
        fmt::format("{:<{}}  {:<13}  {:>7}  {:>5}", layer.name, width, layer.op, layer.filters, layer.kept.size());
    if (indices) line += "  [" + Ranges(layer.kept) + "]";
    const std::string note = Note(plan, layer);
    text += line + (note.empty() ? "" : "  " + note) + "\n";
  }
  return text;
}

}  // namespace octet::passes
