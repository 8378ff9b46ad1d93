// Structural checks after a pass or a read. A message names the node, as a user of an imported file needs it.
#include <set>

#include "base/error.h"
#include "base/strings.h"
#include "ir/op_def.h"

namespace octet::ir {
namespace {

std::string KindName(const Attr& attr) {
  static const char* const kNames[] = {"int", "float", "string", "ints", "floats", "strings", "tensor"};
  return kNames[attr.index()];
}

void VerifyAttrs(const Node& node, const OpDef& def) {
  for (const auto& [key, attr] : node.attrs) {
    const AttrDef* found = nullptr;
    std::vector<std::string> names;
    for (const AttrDef& a : def.attrs) {
      names.push_back(a.name);
      if (a.name == key) found = &a;
    }
    if (found == nullptr) {
      const std::string nearest = NearestName(key, names);
      OCTET_FAIL("node '{}' ({}): unknown attribute '{}'{}", node.name, node.op, key,
                 nearest.empty() ? std::string("") : fmt::format("; did you mean '{}'?", nearest));
    }
    OCTET_REQUIRE(found->default_value.index() == attr.index(), "node '{}' ({}): attribute '{}' is {}; expected {}",
                  node.name, node.op, key, KindName(attr), KindName(found->default_value));
  }
  for (const AttrDef& a : def.attrs) {
    OCTET_REQUIRE(!a.required || node.has_attr(a.name), "node '{}' ({}): attribute '{}' is missing", node.name, node.op,
                  a.name);
  }
}

void VerifyInputs(const Node& node, const OpDef& def) {
  const auto count = static_cast<int>(node.inputs.size());
  OCTET_REQUIRE(count >= def.min_inputs && (def.max_inputs < 0 || count <= def.max_inputs),
                "node '{}' ({}): {} inputs; expected {} to {}", node.name, node.op, count, def.min_inputs,
                def.max_inputs < 0 ? std::string("any number") : std::to_string(def.max_inputs));
  for (int i = 0; i < def.min_inputs; ++i) {
    OCTET_REQUIRE(node.inputs[i] != kNoValue, "node '{}' ({}): input {} is missing", node.name, node.op, i);
  }
}

void VerifyUses(const Graph& graph) {
  std::map<ValueId, std::multiset<NodeId>> uses;
  for (const NodeId id : graph.Order()) {
    for (const ValueId in : graph.node(id).inputs) {
      if (in != kNoValue) uses[in].insert(id);
    }
    for (const ValueId out : graph.node(id).outputs) {
      OCTET_CHECK(out == kNoValue || graph.value(out).producer == id, "'{}' has the wrong producer",
                  graph.value(out).name);
    }
  }
  for (const ValueId id : graph.values()) {
    const Value& v = graph.value(id);
    OCTET_CHECK(uses[id] == std::multiset<NodeId>(v.consumers.begin(), v.consumers.end()), "use list of '{}' is broken",
                v.name);
    OCTET_CHECK(graph.Find(v.name) == id, "name '{}' leads elsewhere", v.name);
    const bool has_source = v.producer != kNoNode || v.is_constant() || graph.is_input(id);
    OCTET_REQUIRE(has_source, "graph '{}': value '{}' has no producer and is no input", graph.name(), v.name);
  }
}

}  // namespace

void Verify(const Graph& graph) {
  std::set<std::string> names;
  for (const NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    OCTET_REQUIRE(names.insert(node.name).second, "graph '{}': two nodes are named '{}'", graph.name(), node.name);
    const OpDef& def = GetOp(node);
    VerifyInputs(node, def);
    VerifyAttrs(node, def);
  }
  VerifyUses(graph);
  OCTET_REQUIRE(!graph.outputs().empty(), "graph '{}' has no outputs", graph.name());
  Graph inferred = graph;
  InferTypes(inferred);
  for (const ValueId id : graph.values()) {
    OCTET_REQUIRE(graph.value(id).type == inferred.value(id).type, "graph '{}': '{}' is {}, but its node makes {}",
                  graph.name(), graph.value(id).name, ToString(graph.value(id).type),
                  ToString(inferred.value(id).type));
  }
}

}  // namespace octet::ir
