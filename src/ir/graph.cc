#include "ir/graph.h"

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_set>

#include "base/error.h"

namespace octet::ir {

std::string ToString(const TensorType& type) {
  return std::string(NameOf(type.dtype)) + octet::ToString(type.shape);
}

namespace {

template <typename T>
T AttrOr(const Node& node, const std::string& key, const T& fallback) {
  const auto it = node.attrs.find(key);
  if (it == node.attrs.end()) return fallback;
  const T* value = std::get_if<T>(&it->second);
  OCTET_REQUIRE(value != nullptr, "node '{}' ({}): attribute '{}' has another kind than {} expects", node.name, node.op,
                key, node.op);
  return *value;
}

}  // namespace

int64_t Node::attr_int(const std::string& key, int64_t fallback) const {
  return AttrOr(*this, key, fallback);
}
float Node::attr_float(const std::string& key, float fallback) const {
  return AttrOr(*this, key, fallback);
}
std::string Node::attr_string(const std::string& key, const std::string& fallback) const {
  return AttrOr(*this, key, fallback);
}
std::vector<int64_t> Node::attr_ints(const std::string& key, const std::vector<int64_t>& fallback) const {
  return AttrOr(*this, key, fallback);
}
std::vector<float> Node::attr_floats(const std::string& key, const std::vector<float>& fallback) const {
  return AttrOr(*this, key, fallback);
}

const Value& Graph::value(ValueId id) const {
  OCTET_CHECK(id >= 0 && id < static_cast<ValueId>(values_.size()) && value_alive_[id], "no value {}", id);
  return values_[id];
}

const Node& Graph::node(NodeId id) const {
  OCTET_CHECK(id >= 0 && id < static_cast<NodeId>(nodes_.size()) && node_alive_[id], "no node {}", id);
  return nodes_[id];
}

Node& Graph::mutable_node(NodeId id) {
  return const_cast<Node&>(node(id));
}

std::vector<NodeId> Graph::Order() const {
  std::vector<int> waiting(nodes_.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  size_t alive = 0;
  for (NodeId id = 0; id < static_cast<NodeId>(nodes_.size()); ++id) {
    if (!node_alive_[id]) continue;
    ++alive;
    for (const ValueId in : nodes_[id].inputs) {
      if (in != kNoValue && values_[in].producer != kNoNode) ++waiting[id];
    }
    if (waiting[id] == 0) ready.push(id);
  }
  std::vector<NodeId> order;
  order.reserve(alive);
  while (!ready.empty()) {
    const NodeId id = ready.top();
    ready.pop();
    order.push_back(id);
    for (const ValueId out : nodes_[id].outputs) {
      if (out == kNoValue) continue;
      for (const NodeId user : values_[out].consumers) {
        if (--waiting[user] == 0) ready.push(user);
      }
    }
  }
  if (order.size() != alive) {
    for (NodeId id = 0; id < static_cast<NodeId>(nodes_.size()); ++id) {
      OCTET_REQUIRE(!node_alive_[id] || waiting[id] == 0, "graph '{}' has a cycle through node '{}' ({})", name_,
                    nodes_[id].name, nodes_[id].op);
    }
  }
  return order;
}

size_t Graph::node_count() const {
  return std::count(node_alive_.begin(), node_alive_.end(), true);
}

std::vector<ValueId> Graph::constants() const {
  std::vector<ValueId> ids;
  for (ValueId id = 0; id < static_cast<ValueId>(values_.size()); ++id) {
    if (value_alive_[id] && values_[id].is_constant()) ids.push_back(id);
  }
  return ids;
}

std::vector<ValueId> Graph::values() const {
  std::vector<ValueId> ids;
  for (ValueId id = 0; id < static_cast<ValueId>(values_.size()); ++id) {
    if (value_alive_[id]) ids.push_back(id);
  }
  return ids;
}

ValueId Graph::Find(std::string_view name) const {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? kNoValue : it->second;
}

const Node* Graph::producer(ValueId id) const {
  const NodeId p = value(id).producer;
  return p == kNoNode ? nullptr : &nodes_[p];
}

bool Graph::is_output(ValueId id) const {
  return std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end();
}
bool Graph::is_input(ValueId id) const {
  return std::find(inputs_.begin(), inputs_.end(), id) != inputs_.end();
}

NodeId Graph::only_consumer(ValueId id) const {
  const Value& v = value(id);
  return v.consumers.size() == 1 && !is_output(id) ? v.consumers[0] : kNoNode;
}

std::string Graph::UniqueName(const std::string& wanted) const {
  if (by_name_.count(wanted) == 0) return wanted;
  for (int i = 1;; ++i) {
    std::string name = wanted + "_" + std::to_string(i);
    if (by_name_.count(name) == 0) return name;
  }
}

std::string Graph::UniqueNodeName(const std::string& wanted) const {
  std::unordered_set<std::string_view> taken;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (node_alive_[i]) taken.insert(nodes_[i].name);
  }
  if (taken.count(wanted) == 0) return wanted;
  for (int i = 1;; ++i) {
    std::string name = wanted + "_" + std::to_string(i);
    if (taken.count(name) == 0) return name;
  }
}

ValueId Graph::NewValue(const std::string& name, TensorType type) {
  Value v;
  v.name = UniqueName(name);
  v.type = std::move(type);
  const auto id = static_cast<ValueId>(values_.size());
  by_name_[v.name] = id;
  values_.push_back(std::move(v));
  value_alive_.push_back(true);
  return id;
}

ValueId Graph::AddInput(const std::string& name, TensorType type) {
  inputs_.push_back(NewValue(name, std::move(type)));
  return inputs_.back();
}

ValueId Graph::AddConstant(const std::string& name, Tensor tensor) {
  OCTET_CHECK(tensor.defined(), "constant '{}' has no data", name);
  const ValueId id = NewValue(name, {tensor.dtype(), tensor.shape()});
  values_[id].constant = std::move(tensor);
  return id;
}

NodeId Graph::AddNode(const std::string& op, const std::string& name, std::vector<ValueId> inputs,
                      const std::vector<std::string>& output_names, Attrs attrs) {
  Node node;
  node.op = op;
  node.name = UniqueNodeName(name);
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  const auto id = static_cast<NodeId>(nodes_.size());
  for (const ValueId in : node.inputs) {
    if (in == kNoValue) continue;
    value(in);  // checks the id
    values_[in].consumers.push_back(id);
  }
  for (const std::string& out : output_names) {
    if (out.empty()) {
      node.outputs.push_back(kNoValue);
      continue;
    }
    const ValueId v = NewValue(out, {});
    values_[v].producer = id;
    node.outputs.push_back(v);
  }
  nodes_.push_back(std::move(node));
  node_alive_.push_back(true);
  return id;
}

void Graph::MarkOutput(ValueId id) {
  value(id);
  outputs_.push_back(id);
}

void Graph::set_type(ValueId id, TensorType type) {
  value(id);
  values_[id].type = std::move(type);
}

void Graph::set_constant(ValueId id, Tensor tensor) {
  OCTET_CHECK(value(id).is_constant(), "'{}' is not a constant", values_[id].name);
  values_[id].type = {tensor.dtype(), tensor.shape()};
  values_[id].constant = std::move(tensor);
}

void Graph::DropUse(ValueId id, NodeId node) {
  auto& users = values_[id].consumers;
  const auto it = std::find(users.begin(), users.end(), node);
  OCTET_CHECK(it != users.end(), "use lists of '{}' are broken", values_[id].name);
  users.erase(it);
}

void Graph::SetInput(NodeId id, size_t index, ValueId to) {
  Node& n = mutable_node(id);
  while (n.inputs.size() <= index) n.inputs.push_back(kNoValue);
  const ValueId from = n.inputs[index];
  if (from == to) return;
  if (from != kNoValue) DropUse(from, id);
  n.inputs[index] = to;
  if (to != kNoValue) values_[to].consumers.push_back(id);
}

void Graph::ReplaceUses(ValueId from, ValueId to, NodeId except, bool outputs_too) {
  const std::vector<NodeId> users = value(from).consumers;
  for (const NodeId user : users) {
    if (user == except) continue;
    for (size_t i = 0; i < nodes_[user].inputs.size(); ++i) {
      if (nodes_[user].inputs[i] == from) SetInput(user, i, to);
    }
  }
  if (!outputs_too) return;
  for (ValueId& out : outputs_) {
    if (out == from) out = to;
  }
}

void Graph::ReplaceOutput(size_t index, ValueId to) {
  value(to);
  outputs_.at(index) = to;
}

void Graph::RemoveOutput(size_t index) {
  OCTET_CHECK(index < outputs_.size(), "output {} of {}", index, outputs_.size());
  outputs_.erase(outputs_.begin() + static_cast<long>(index));
}

void Graph::RenameValue(ValueId id, const std::string& name) {
  const Value& v = value(id);
  if (v.name == name) return;
  OCTET_CHECK(by_name_.count(name) == 0, "name '{}' is taken", name);
  by_name_.erase(v.name);
  values_[id].name = name;
  by_name_[name] = id;
}

void Graph::SwapNames(ValueId a, ValueId b) {
  value(a), value(b);
  std::swap(values_[a].name, values_[b].name);
  by_name_[values_[a].name] = a;
  by_name_[values_[b].name] = b;
}

void Graph::RemoveValue(ValueId id) {
  by_name_.erase(values_[id].name);
  value_alive_[id] = false;
  values_[id] = Value();
}

void Graph::RemoveNode(NodeId id) {
  const Node n = node(id);
  for (const ValueId out : n.outputs) {
    if (out == kNoValue) continue;
    OCTET_CHECK(values_[out].consumers.empty() && !is_output(out), "output '{}' of '{}' is still used",
                values_[out].name, n.name);
  }
  for (const ValueId in : n.inputs) {
    if (in != kNoValue) DropUse(in, id);
  }
  for (const ValueId out : n.outputs) {
    if (out != kNoValue) RemoveValue(out);
  }
  node_alive_[id] = false;
  nodes_[id] = Node();
}

void Graph::RemoveUnused() {
  std::vector<NodeId> order = Order();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = nodes_[*it];
    const bool used = std::any_of(n.outputs.begin(), n.outputs.end(), [&](ValueId out) {
      return out != kNoValue && (!values_[out].consumers.empty() || is_output(out));
    });
    if (!used) RemoveNode(*it);
  }
  for (const ValueId id : constants()) {
    if (values_[id].consumers.empty() && !is_output(id)) RemoveValue(id);
  }
}

bool operator==(const Graph& a, const Graph& b) {
  const auto names = [](const Graph& g, const std::vector<ValueId>& ids) {
    std::vector<std::string> out;
    out.reserve(ids.size());
    for (const ValueId id : ids) out.push_back(id == kNoValue ? "" : g.values_[id].name);
    return out;
  };
  if (a.name_ != b.name_ || a.metadata_ != b.metadata_) return false;
  if (names(a, a.inputs_) != names(b, b.inputs_) || names(a, a.outputs_) != names(b, b.outputs_)) return false;
  if (a.by_name_.size() != b.by_name_.size()) return false;
  for (const auto& [name, id] : a.by_name_) {
    const ValueId other = b.Find(name);
    if (other == kNoValue) return false;
    const Value& va = a.values_[id];
    const Value& vb = b.values_[other];
    if (!(va.type == vb.type) || va.constant != vb.constant) return false;
  }
  const std::vector<NodeId> order_a = a.Order();
  const std::vector<NodeId> order_b = b.Order();
  if (order_a.size() != order_b.size()) return false;
  for (size_t i = 0; i < order_a.size(); ++i) {
    const Node& na = a.nodes_[order_a[i]];
    const Node& nb = b.nodes_[order_b[i]];
    if (na.op != nb.op || na.name != nb.name || na.attrs != nb.attrs) return false;
    if (names(a, na.inputs) != names(b, nb.inputs) || names(a, na.outputs) != names(b, nb.outputs)) return false;
  }
  return true;
}

}  // namespace octet::ir
