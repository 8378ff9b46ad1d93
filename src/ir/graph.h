// The network as a value: nodes (ONNX operators), values (tensors between them) and constants. A pass takes a Graph
// and returns a Graph; constants share storage, so a copy is cheap.
//
// Value names are unique, survive passes and exports, and key a calibration cache. Ids are local to one Graph and stay
// valid until the node or value is removed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace octet::ir {

using ValueId = int32_t;
using NodeId = int32_t;
constexpr ValueId kNoValue = -1;  // an optional input or output that is absent
constexpr NodeId kNoNode = -1;
constexpr int64_t kDynamic = -1;  // an unknown size; only the batch is unknown in practice

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;  // kDynamic where unknown
  friend bool operator==(const TensorType& a, const TensorType& b) { return a.dtype == b.dtype && a.shape == b.shape; }
};
std::string ToString(const TensorType& type);  // "f32[N,3,224,224]"

using Attr = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                          std::vector<std::string>, Tensor>;
using Attrs = std::map<std::string, Attr>;

struct Value {
  std::string name;
  TensorType type;
  Tensor constant;                // defined: an initializer
  NodeId producer = kNoNode;      // kNoNode: a graph input or a constant
  std::vector<NodeId> consumers;  // one entry per use, in order of addition; a node that reads it twice stands twice
  bool is_constant() const { return constant.defined(); }
};

struct Node {
  std::string op;    // ONNX operator name
  std::string name;  // unique, for messages and layer lists
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attrs attrs;

  ValueId input(size_t i) const { return i < inputs.size() ? inputs[i] : kNoValue; }
  ValueId output(size_t i = 0) const { return outputs.at(i); }
  bool has_attr(const std::string& key) const { return attrs.count(key) != 0; }
  // The attribute, or `fallback` when it is absent. Throws when it has another kind.
  int64_t attr_int(const std::string& key, int64_t fallback) const;
  float attr_float(const std::string& key, float fallback) const;
  std::string attr_string(const std::string& key, const std::string& fallback) const;
  std::vector<int64_t> attr_ints(const std::string& key, const std::vector<int64_t>& fallback) const;
  std::vector<float> attr_floats(const std::string& key, const std::vector<float>& fallback) const;
};

class Graph {
 public:
  Graph() = default;
  explicit Graph(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  // Free text that travels with the graph: "recipe", "backbone", ...
  std::map<std::string, std::string>& metadata() { return metadata_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // ---- reading
  const Value& value(ValueId id) const;
  const Node& node(NodeId id) const;
  Node& mutable_node(NodeId id);  // for attributes and the name; inputs and outputs change through the calls below
  // Node ids in topological order; among nodes that are ready, the one added first. Throws a user Error on a cycle.
  std::vector<NodeId> Order() const;
  size_t node_count() const;
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  std::vector<ValueId> constants() const;     // in order of addition
  std::vector<ValueId> values() const;        // all live values, in order of addition
  ValueId Find(std::string_view name) const;  // kNoValue when absent
  const Node* producer(ValueId id) const;     // nullptr for inputs and constants
  bool is_output(ValueId id) const;
  bool is_input(ValueId id) const;
  // The only consumer, or kNoNode when there are none, several, or the value is also a graph output.
  NodeId only_consumer(ValueId id) const;

  // ---- building. A name that is taken gets a suffix "_1", "_2", ...
  ValueId AddInput(const std::string& name, TensorType type);
  ValueId AddConstant(const std::string& name, Tensor tensor);
  // Adds a node with fresh outputs of the given names (type unknown until InferTypes).
  NodeId AddNode(const std::string& op, const std::string& name, std::vector<ValueId> inputs,
                 const std::vector<std::string>& output_names, Attrs attrs = {});
  void MarkOutput(ValueId id);
  std::string UniqueName(const std::string& wanted) const;      // among values
  std::string UniqueNodeName(const std::string& wanted) const;  // among nodes

  // ---- editing
  void set_type(ValueId id, TensorType type);
  void set_constant(ValueId id, Tensor tensor);  // replaces an initializer's data (and type)
  void SetInput(NodeId node, size_t index, ValueId value);
  // Every consumer of `from`, except node `except`, reads `to`; graph outputs move as well when `outputs_too`.
  void ReplaceUses(ValueId from, ValueId to, NodeId except = kNoNode, bool outputs_too = true);
  void ReplaceOutput(size_t index, ValueId value);
  void RemoveOutput(size_t index);
  void RenameValue(ValueId id, const std::string& name);  // throws when the name is taken by another
  void SwapNames(ValueId a, ValueId b);
  void RemoveNode(NodeId id);  // its outputs must be unused; they are removed too
  void RemoveUnused();         // dead nodes and constants; graph inputs stay

  // Same structure, names, types, attributes and constants; ids may differ.
  friend bool operator==(const Graph& a, const Graph& b);
  friend bool operator!=(const Graph& a, const Graph& b) { return !(a == b); }

 private:
  ValueId NewValue(const std::string& name, TensorType type);
  void RemoveValue(ValueId id);
  void DropUse(ValueId id, NodeId node);

  std::string name_;
  std::map<std::string, std::string> metadata_;
  std::vector<Value> values_;
  std::vector<bool> value_alive_;
  std::vector<Node> nodes_;
  std::vector<bool> node_alive_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::unordered_map<std::string, ValueId> by_name_;
};

}  // namespace octet::ir
