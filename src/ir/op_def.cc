// The operator table and the walks that need nothing but it: type inference and the reference interpreter.
#include "ir/op_def.h"

#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "base/strings.h"

namespace octet::ir {
namespace {

struct Registry {
  std::deque<OpDef> defs;  // addresses stay valid
  std::unordered_map<std::string, const OpDef*> by_name;
};

Registry& Table() {
  static auto* registry = new Registry;
  return *registry;
}

}  // namespace

void RegisterOp(OpDef def) {
  Registry& table = Table();
  OCTET_CHECK(table.by_name.count(def.name) == 0, "operator {} is registered twice", def.name);
  table.defs.push_back(std::move(def));
  table.by_name[table.defs.back().name] = &table.defs.back();
}

const OpDef* FindOp(const std::string& name) {
  const auto it = Table().by_name.find(name);
  return it == Table().by_name.end() ? nullptr : it->second;
}

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  for (const OpDef& def : Table().defs) names.push_back(def.name);
  std::sort(names.begin(), names.end());
  return names;
}

const OpDef& GetOp(const Node& node) {
  const OpDef* def = FindOp(node.op);
  if (def == nullptr) {
    const std::string nearest = NearestName(node.op, OpNames());
    OCTET_FAIL("node '{}' uses operator '{}', which octet does not know{}", node.name, node.op,
               nearest.empty() ? std::string("") : fmt::format("; did you mean '{}'?", nearest));
  }
  return *def;
}

void InferTypes(Graph& graph) {
  for (const NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    const OpDef& def = GetOp(node);
    std::vector<const Value*> inputs;
    for (const ValueId in : node.inputs) inputs.push_back(in == kNoValue ? nullptr : &graph.value(in));
    std::vector<TensorType> types = def.infer(node, inputs);
    OCTET_CHECK(types.size() >= node.outputs.size(), "{} inferred {} types for {} outputs", node.op, types.size(),
                node.outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      NumElements(types[i].shape);  // a user error for sizes, which come from files, beyond what can be counted
      graph.set_type(node.outputs[i], std::move(types[i]));
    }
  }
}

std::vector<Tensor> RunReference(const Graph& graph, const std::map<std::string, Tensor>& feeds,
                                 const std::vector<ValueId>& wanted) {
  const std::vector<ValueId>& results = wanted.empty() ? graph.outputs() : wanted;
  std::unordered_map<ValueId, Tensor> live;
  std::unordered_map<ValueId, int> uses;
  for (const ValueId id : results) ++uses[id];
  for (const ValueId in : graph.inputs()) {
    const auto feed = feeds.find(graph.value(in).name);
    OCTET_REQUIRE(feed != feeds.end(), "graph '{}': input '{}' was not given", graph.name(), graph.value(in).name);
    live[in] = feed->second;
  }
  const auto get = [&](ValueId id) -> Tensor {
    if (id == kNoValue) return {};
    if (graph.value(id).is_constant()) return graph.value(id).constant;
    const auto it = live.find(id);
    OCTET_CHECK(it != live.end(), "'{}' was not computed", graph.value(id).name);
    return it->second;
  };
  const std::vector<NodeId> order = graph.Order();
  for (const NodeId id : order) {
    for (const ValueId in : graph.node(id).inputs) ++uses[in];
  }
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    const OpDef& def = GetOp(node);
    OCTET_REQUIRE(def.reference != nullptr, "node '{}': operator {} has no reference kernel", node.name, node.op);
    std::vector<Tensor> inputs;
    for (const ValueId in : node.inputs) inputs.push_back(get(in));
    std::vector<Tensor> outputs = def.reference(node, inputs);
    OCTET_CHECK(outputs.size() >= node.outputs.size(), "{} gave {} outputs", node.op, outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != kNoValue) live[node.outputs[i]] = std::move(outputs[i]);
    }
    inputs.clear();
    for (const ValueId in : node.inputs) {
      if (in != kNoValue && --uses[in] == 0) live.erase(in);
    }
  }
  std::vector<Tensor> out;
  for (const ValueId id : results) out.push_back(get(id));
  return out;
}

}  // namespace octet::ir
