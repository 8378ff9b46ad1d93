#include "onnx/import_graph.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/strings.h"
#include "ir/op_def.h"
#include "onnx/opset_forms.h"

namespace octet::onnx {
namespace {

using ir::Graph;
using ir::OpDef;
using ir::ValueId;

// Attributes that may be dropped when they have this value: octet's operator has no such attribute because it always
// behaves so. An empty list stands for "all of its elements are the given number".
bool IsHarmless(const std::string& key, const ir::Attr& attr) {
  const auto is_int = [&](int64_t v) {
    if (const auto* i = std::get_if<int64_t>(&attr)) return *i == v;
    if (const auto* list = std::get_if<std::vector<int64_t>>(&attr)) {
      return std::all_of(list->begin(), list->end(), [&](int64_t e) { return e == v; });
    }
    return false;
  };
  const auto is_text = [&](const char* v) {
    const auto* s = std::get_if<std::string>(&attr);
    return s != nullptr && (*s == v || s->empty());
  };
  static const std::set<std::string> kIgnored = {"consumed_inputs", "momentum", "seed",
                                                 "broadcast",       "saturate", "round_mode"};
  if (kIgnored.count(key) != 0) return true;
  if (key == "dilations" || key == "spatial" || key == "is_test" || key == "keepdims") return is_int(1);
  if (key == "auto_pad") return is_text("NOTSET");
  if (key == "keep_aspect_ratio_policy") return is_text("stretch");
  if (key == "extrapolation_value") return std::get_if<float>(&attr) != nullptr && std::get<float>(attr) == 0;
  static const std::set<std::string> kZero = {
      "storage_order",  "ceil_mode",         "count_include_pad", "training_mode",
      "allowzero",      "antialias",         "exclude_outside",   "noop_with_empty_axes",
      "output_padding", "select_last_index", "block_size"};
  return kZero.count(key) != 0 && is_int(0);
}

class Builder {
 public:
  Builder(const RawModel& model, const ImportOptions& options, int64_t batch)
      : model_(model), options_(options), batch_(batch), graph_(model.graph_name) {
    graph_.metadata() = model.metadata;
    for (const RawNode& node : model.nodes) {
      for (const std::string& in : node.inputs) used_.insert(in);
    }
    for (const RawValue& out : model.outputs) used_.insert(out.name);
    context_.opset = model.opset;
    context_.for_training = options.for_training;
    context_.value = [this](const std::string& name) { return &ValueNamed(name); };
    context_.add_constant = [this](const std::string& hint, Tensor tensor) {
      const std::string name = Fresh(hint);
      value_of_[name] = graph_.AddConstant(name, std::move(tensor));
      return name;
    };
    context_.fresh = [this](const std::string& hint) { return Fresh(hint); };
    context_.used = [this](const std::string& name) { return !name.empty() && used_.count(name) != 0; };
    context_.op_exists = [](const std::string& op) { return ir::FindOp(op) != nullptr; };
    context_.op_has_attr = [](const std::string& op, const std::string& key) {
      const OpDef* def = ir::FindOp(op);
      return def != nullptr &&
             std::any_of(def->attrs.begin(), def->attrs.end(), [&](const ir::AttrDef& a) { return a.name == key; });
    };
  }

  Graph Build() {
    ReserveNames();
    AddSources();
    RequireKnownOperators();
    for (const RawNode* node : Sorted()) {
      try {
        for (RawNode& step : ToKnownForm(*node, context_)) Add(std::move(step));
      } catch (const Error&) {
        throw;
      } catch (const std::bad_alloc&) {
        OCTET_FAIL("{}: its result needs more memory than there is", node->where());
      } catch (const std::exception& e) {  // an input that is not there, an attribute of another kind
        OCTET_FAIL("{}: its inputs or attributes are not those of ONNX's {} ({})", node->where(), node->op, e.what());
      }
    }
    MarkOutputs();
    graph_.RemoveUnused();
    return std::move(graph_);
  }

 private:
  ValueId Lookup(const std::string& name) const {
    if (name.empty()) return ir::kNoValue;
    const auto it = value_of_.find(name);
    OCTET_CHECK(it != value_of_.end(), "'{}' is not built yet", name);
    return it->second;
  }

  const ir::Value& ValueNamed(const std::string& name) const {
    const ValueId id = Lookup(name);
    OCTET_REQUIRE(id != ir::kNoValue, "an input is missing");
    return graph_.value(id);
  }

  // All names of the file are taken from the start, so that a helper value never steals one.
  void ReserveNames() {
    for (const RawNode& node : model_.nodes) {
      for (const std::string& out : node.outputs) {
        if (out.empty()) continue;
        OCTET_REQUIRE(reserved_.insert(out).second, "two nodes write '{}'", out);
      }
    }
    // An input may be an initializer too; nothing of both may be written again.
    std::set<std::string> given;
    for (const auto& [name, tensor] : model_.initializers) given.insert(name);
    for (const RawValue& in : model_.inputs) given.insert(in.name);
    for (const std::string& name : given) {
      OCTET_REQUIRE(reserved_.insert(name).second, "a node writes '{}', which is an input or initializer", name);
    }
  }

  std::string Fresh(const std::string& hint) {
    std::string name = hint;
    for (int i = 1; !reserved_.insert(name).second; ++i) name = fmt::format("{}_{}", hint, i);
    return name;
  }

  void AddSources() {
    for (const RawValue& in : DataInputs(model_, options_)) {
      Shape shape = InputShape(model_, in, options_);
      if (!shape.empty() && shape[0] < 0) {
        shape[0] = batch_;
        if (in.typed && !in.type.shape.empty() && in.type.shape[0] > 0) declared_batch_ = in.type.shape[0];
      }
      OCTET_REQUIRE(value_of_.count(in.name) == 0, "two inputs are named '{}'", in.name);
      NumElements(shape);
      value_of_[in.name] = graph_.AddInput(in.name, {in.type.dtype, shape});
    }
    for (const auto& [name, tensor] : options_.constant_inputs) {
      if (reserved_.count(name) != 0) value_of_[name] = graph_.AddConstant(name, tensor);
    }
    for (const auto& [name, tensor] : model_.initializers) {
      if (options_.constant_inputs.count(name) != 0) continue;
      OCTET_REQUIRE(value_of_.count(name) == 0, "two initializers are named '{}'", name);
      value_of_[name] = graph_.AddConstant(name, tensor);
    }
  }

  void RequireKnownOperators() const {
    std::map<std::string, std::pair<const RawNode*, int>> unknown;
    for (const RawNode& node : model_.nodes) {
      const bool known = ir::FindOp(node.op) != nullptr || IsReplacedOnImport(node.op);
      if (known && node.graph_attrs.empty()) continue;
      auto& entry = unknown[node.op];
      if (entry.second++ == 0) entry.first = &node;
    }
    if (unknown.empty()) return;
    std::vector<std::string> parts;
    for (const auto& [op, entry] : unknown) {
      std::string part = fmt::format("{} (opset {}), first in {}", op, model_.opset, entry.first->where());
      if (entry.second > 1) part += fmt::format(", {} nodes", entry.second);
      const std::string nearest = NearestName(op, ir::OpNames());
      if (!nearest.empty()) part += fmt::format(", nearest known: {}", nearest);
      parts.push_back(part);
    }
    OCTET_FAIL(
        "{} operator{} not supported: {}. octet reads convolutional networks in ONNX's own operators; export the model "
        "without {} (for example cut pre- and post-processing off, or use plain layers)",
        parts.size(), parts.size() == 1 ? " is" : "s are", Join(parts, "; "), parts.size() == 1 ? "it" : "them");
  }

  // Nodes in an order in which every input is known; ONNX asks files for that, and not all keep to it.
  std::vector<const RawNode*> Sorted() const {
    std::unordered_set<std::string> known;
    for (const auto& [name, id] : value_of_) known.insert(name);
    std::unordered_map<std::string, std::vector<size_t>> waiting_for;
    std::vector<int> missing(model_.nodes.size(), 0);
    std::set<size_t> ready;
    for (size_t i = 0; i < model_.nodes.size(); ++i) {
      for (const std::string& in : model_.nodes[i].inputs) {
        if (in.empty() || known.count(in) != 0) continue;
        OCTET_REQUIRE(
            reserved_.count(in) != 0,
            "{} reads '{}', which is no input, no initializer and no output of a node; the file is incomplete",
            model_.nodes[i].where(), in);
        waiting_for[in].push_back(i);
        ++missing[i];
      }
      if (missing[i] == 0) ready.insert(i);
    }
    std::vector<const RawNode*> order;
    while (!ready.empty()) {
      const size_t i = *ready.begin();
      ready.erase(ready.begin());
      order.push_back(&model_.nodes[i]);
      for (const std::string& out : model_.nodes[i].outputs) {
        for (const size_t user : waiting_for[out]) {
          if (--missing[user] == 0) ready.insert(user);
        }
      }
    }
    for (size_t i = 0; i < missing.size(); ++i) {
      OCTET_REQUIRE(missing[i] == 0, "the graph has a cycle through {}", model_.nodes[i].where());
    }
    return order;
  }

  void Alias(const RawNode& node) {
    OCTET_REQUIRE(!node.inputs.empty() && !node.outputs.empty(), "{}: no input or no output", node.where());
    const ValueId source = Lookup(node.inputs[0]);
    OCTET_REQUIRE(source != ir::kNoValue, "{}: its input is missing", node.where());
    if (options_.for_training && source != ir::kNoValue && graph_.value(source).is_constant()) {
      AddResult(node.outputs[0], graph_.value(source).constant);
    } else {
      value_of_[node.outputs[0]] = source;
    }
  }

  void AddResult(const std::string& name, Tensor tensor) {
    value_of_[name] = graph_.AddConstant(name, std::move(tensor));
  }

  // Small files can ask for any amount of constants (ConstantOfShape, Expand, Tile): an error instead of all the
  // memory.
  void Account(const RawNode& node, const std::vector<ir::TensorType>& types) {
    for (const ir::TensorType& type : types) {
      computed_bytes_ += static_cast<double>(NumElements(type.shape)) * static_cast<double>(SizeOf(type.dtype));
      OCTET_REQUIRE(computed_bytes_ <= 0x1p31, "{}: with its result {} the computed constants exceed 2 GiB",
                    node.where(), ToString(type));
    }
  }

  // The data-free operators that exist only to make constants. False when `node` is none of them.
  bool AddReplaced(const RawNode& node) {
    if (node.op == "Identity") {
      Alias(node);
    } else if (node.op == "Constant") {
      AddConstantNode(node);
    } else if (node.op == "Shape" || node.op == "Size") {
      AddShape(node);
    } else if (node.op == "ConstantOfShape") {
      const ir::Value& shape = ValueNamed(node.inputs.at(0));
      OCTET_REQUIRE(shape.is_constant(), "{}: its shape '{}' is computed while the network runs", node.where(),
                    shape.name);
      Tensor value = Tensor::From<float>({1}, {0});
      if (const auto it = node.attrs.find("value"); it != node.attrs.end()) value = std::get<Tensor>(it->second);
      OCTET_REQUIRE(value.size() == 1, "{}: attribute 'value' has {} elements; expected one", node.where(),
                    value.size());
      const Shape sizes = shape.constant.ToVector<int64_t>();
      OCTET_REQUIRE(std::all_of(sizes.begin(), sizes.end(), [](int64_t d) { return d >= 0; }),
                    "{}: the shape {} has a negative size", node.where(), ToString(sizes));
      Account(node, {{value.dtype(), sizes}});
      AddResult(node.outputs.at(0), Filled(value, sizes));
    } else if (node.op == "Range") {
      AddRange(node);
    } else {
      return false;
    }
    return true;
  }

  // start, limit, delta: integers of shape arithmetic.
  void AddRange(const RawNode& node) {
    int64_t v[3] = {0, 0, 1};
    for (size_t i = 0; i < 3; ++i) {
      const ir::Value& value = ValueNamed(node.inputs.at(i));
      OCTET_REQUIRE(value.is_constant() && value.constant.size() == 1 &&
                        (value.constant.dtype() == DType::kS64 || value.constant.dtype() == DType::kS32),
                    "{}: its input '{}' is no integer constant", node.where(), value.name);
      v[i] = value.constant.ToVector<int64_t>()[0];
    }
    OCTET_REQUIRE(v[2] != 0, "{}: a step of 0", node.where());
    const double count = std::ceil((static_cast<double>(v[1]) - static_cast<double>(v[0])) / static_cast<double>(v[2]));
    OCTET_REQUIRE(count < (1 << 28), "{}: {} to {} by {} are too many numbers", node.where(), v[0], v[1], v[2]);
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) numbers.push_back(v[0] + i * v[2]);
    Account(node, {{DType::kS64, {static_cast<int64_t>(numbers.size())}}});
    AddResult(node.outputs.at(0), Tensor::From<int64_t>({static_cast<int64_t>(numbers.size())}, numbers));
  }

  static Tensor Filled(const Tensor& value, const Shape& shape) {
    Tensor out(value.dtype(), shape);
    const size_t item = SizeOf(value.dtype());
    auto* to = static_cast<char*>(out.mutable_raw());
    const auto* from = static_cast<const char*>(value.raw());
    for (int64_t i = 0; i < out.size(); ++i) std::copy(from, from + item, to + i * item);
    return out;
  }

  void AddConstantNode(const RawNode& node) {
    OCTET_REQUIRE(node.attrs.size() == 1 && node.outputs.size() == 1, "{}: expected one value attribute", node.where());
    const auto& [key, attr] = *node.attrs.begin();
    Tensor tensor;
    if (const auto* t = std::get_if<Tensor>(&attr)) {
      tensor = *t;
    } else if (const auto* i = std::get_if<int64_t>(&attr)) {
      tensor = Tensor::Scalar<int64_t>(*i);
    } else if (const auto* f = std::get_if<float>(&attr)) {
      tensor = Tensor::Scalar<float>(*f);
    } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&attr)) {
      tensor = Tensor::From<int64_t>({static_cast<int64_t>(ints->size())}, *ints);
    } else if (const auto* floats = std::get_if<std::vector<float>>(&attr)) {
      tensor = Tensor::From<float>({static_cast<int64_t>(floats->size())}, *floats);
    } else {
      OCTET_FAIL("{}: a constant given by '{}' is not supported", node.where(), key);
    }
    AddResult(node.outputs[0], tensor);
  }

  void AddShape(const RawNode& node) {
    const ir::Value& x = ValueNamed(node.inputs.at(0));
    const Shape& shape = x.type.shape;
    for (const int64_t d : shape) {
      OCTET_CHECK(d >= 0, "{}: shape {} is open", node.where(), ToString(shape));
    }
    if (node.op == "Size") {
      AddResult(node.outputs.at(0), Tensor::Scalar<int64_t>(NumElements(shape)));
      return;
    }
    const auto rank = static_cast<int64_t>(shape.size());
    const auto bound = [&](const char* key, int64_t fallback) {
      const auto it = node.attrs.find(key);
      int64_t v = it == node.attrs.end() ? fallback : std::get<int64_t>(it->second);
      return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank);
    };
    const int64_t start = bound("start", 0);
    const int64_t end = std::max(start, bound("end", rank));
    AddResult(node.outputs.at(0),
              Tensor::From<int64_t>({end - start}, Shape(shape.begin() + start, shape.begin() + end)));
  }

  // Kernels, strides, pads, groups, axes: products of these with sizes count in 64 bits.
  static bool IsSmall(const ir::Attr& attr) {
    const auto small = [](int64_t v) { return v >= -(1 << 20) && v <= (1 << 20); };
    if (const auto* i = std::get_if<int64_t>(&attr)) return small(*i);
    const auto* list = std::get_if<std::vector<int64_t>>(&attr);
    return list == nullptr || std::all_of(list->begin(), list->end(), small);
  }

  // Drops what octet's operator does not need to be told, and fails on what it cannot do.
  static void FitAttributes(RawNode* node, const OpDef& def) {
    for (auto it = node->attrs.begin(); it != node->attrs.end();) {
      const auto found =
          std::find_if(def.attrs.begin(), def.attrs.end(), [&](const ir::AttrDef& a) { return a.name == it->first; });
      if (found == def.attrs.end()) {
        OCTET_REQUIRE(IsHarmless(it->first, it->second), "{}: attribute '{}' is not supported with this value",
                      node->where(), it->first);
        it = node->attrs.erase(it);
        continue;
      }
      OCTET_REQUIRE(IsSmall(it->second), "{}: attribute '{}' holds a number beyond 2^20", node->where(), it->first);
      if (found->default_value.index() != it->second.index()) {
        const auto* i = std::get_if<int64_t>(&it->second);
        if (i != nullptr && std::holds_alternative<float>(found->default_value)) {
          it->second = static_cast<float>(*i);
        } else {
          OCTET_FAIL("{}: attribute '{}' has the wrong kind", node->where(), it->first);
        }
      }
      ++it;
    }
  }

  // A fixed batch that the user made dynamic also stands at the head of Reshape targets.
  void FreeReshapeBatch(RawNode* node) {
    if (node->op != "Reshape" || declared_batch_ < 0 || node->inputs.size() < 2) return;
    const ir::Value& shape = ValueNamed(node->inputs[1]);
    const ir::Value& x = ValueNamed(node->inputs[0]);
    if (!shape.is_constant() || shape.constant.size() < 1 || x.type.shape.empty()) return;
    std::vector<int64_t> sizes = shape.constant.ToVector<int64_t>();
    if (sizes[0] != declared_batch_ || x.type.shape[0] != batch_ || batch_ == declared_batch_) return;
    sizes[0] = 0;
    node->inputs[1] = context_.add_constant(node->outputs.at(0) + ".shape",
                                            Tensor::From<int64_t>({static_cast<int64_t>(sizes.size())}, sizes));
  }

  void Add(RawNode node) {
    while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
    while (node.outputs.size() > 1 && !context_.used(node.outputs.back())) node.outputs.pop_back();
    OCTET_REQUIRE(!node.outputs.empty(), "{}: it has no output", node.where());
    if (AddReplaced(node)) return;
    const OpDef* def = ir::FindOp(node.op);
    OCTET_REQUIRE(def != nullptr, "{}: operator {} (opset {}) is not supported", node.where(), node.op, model_.opset);
    FitAttributes(&node, *def);
    FreeReshapeBatch(&node);
    const auto count = static_cast<int>(node.inputs.size());
    OCTET_REQUIRE(count >= def->min_inputs && (def->max_inputs < 0 || count <= def->max_inputs),
                  "{}: {} inputs; expected {} to {}", node.where(), count, def->min_inputs, def->max_inputs);

    std::vector<ValueId> ids;
    for (const std::string& in : node.inputs) ids.push_back(Lookup(in));
    const std::string name = node.name.empty() ? node.outputs[0] : node.name;
    for (int i = 0; i < def->min_inputs; ++i) {
      OCTET_REQUIRE(ids[i] != ir::kNoValue, "{}: input {} is missing", node.where(), i);
    }
    if (TryFold(node, name, *def, ids)) return;
    const ir::NodeId id = graph_.AddNode(node.op, name, ids, node.outputs, node.attrs);
    std::vector<const ir::Value*> inputs;
    for (const ValueId in : ids) inputs.push_back(in == ir::kNoValue ? nullptr : &graph_.value(in));
    std::vector<ir::TensorType> types = def->infer(graph_.node(id), inputs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) continue;
      OCTET_REQUIRE(i < types.size(), "{}: {} outputs; octet's {} has {}", node.where(), node.outputs.size(), node.op,
                    types.size());
      const ValueId out = graph_.node(id).outputs[i];
      NumElements(types[i].shape);  // a user error beyond what can be counted
      graph_.set_type(out, std::move(types[i]));
      value_of_[node.outputs[i]] = out;
    }
  }

  // Quantization pairs on constant weights stay: they are the network's record of how it is quantized.
  static bool Quantizes(const OpDef& def) {
    return std::find(def.roles.begin(), def.roles.end(), ir::InputRole::kScale) != def.roles.end();
  }

  bool TryFold(const RawNode& raw, const std::string& name, const OpDef& def, const std::vector<ValueId>& ids) {
    if (ids.empty() || !def.reference || Quantizes(def)) return false;
    std::vector<Tensor> inputs;
    std::vector<const ir::Value*> values;
    for (const ValueId id : ids) {
      if (id == ir::kNoValue) {
        inputs.emplace_back();
        values.push_back(nullptr);
        continue;
      }
      if (!graph_.value(id).is_constant()) return false;
      inputs.push_back(graph_.value(id).constant);
      values.push_back(&graph_.value(id));
    }
    ir::Node node;
    node.op = raw.op;
    node.name = name;
    node.inputs = ids;
    node.outputs.assign(raw.outputs.size(), 0);
    node.attrs = raw.attrs;
    Account(raw, def.infer(node, values));  // its checks are better than the kernel's
    std::vector<Tensor> results = def.reference(node, inputs);
    for (size_t i = 0; i < raw.outputs.size(); ++i) {
      if (!raw.outputs[i].empty()) AddResult(raw.outputs[i], results.at(i));
    }
    return true;
  }

  void MarkOutputs() {
    OCTET_REQUIRE(!model_.outputs.empty(), "the graph has no outputs");
    for (const RawValue& out : model_.outputs) {
      const auto it = value_of_.find(out.name);
      OCTET_REQUIRE(it != value_of_.end(), "output '{}' is made by no node", out.name);
      ValueId id = it->second;
      if (graph_.value(id).name != out.name) id = NamedOutput(id, out.name);
      graph_.MarkOutput(id);
    }
  }

  // An output behind a removed Identity keeps its name: the value in front of it takes it where it may.
  ValueId NamedOutput(ValueId id, const std::string& name) {
    if (!graph_.is_input(id) && !graph_.is_output(id) && !graph_.value(id).is_constant()) {
      graph_.RenameValue(id, name);
      return id;
    }
    OCTET_REQUIRE(ir::FindOp("Identity") != nullptr, "output '{}' only repeats '{}', which is not supported", name,
                  graph_.value(id).name);
    const ir::NodeId node = graph_.AddNode("Identity", name, {id}, {name});
    const ValueId out = graph_.node(node).output();
    graph_.set_type(out, graph_.value(id).type);
    return out;
  }

  const RawModel& model_;
  const ImportOptions& options_;
  int64_t batch_;
  double computed_bytes_ = 0;    // of constants that nodes make
  int64_t declared_batch_ = -1;  // the batch that the file fixes and the user freed
  Graph graph_;
  FormContext context_;
  std::unordered_map<std::string, ValueId> value_of_;
  std::unordered_set<std::string> reserved_;
  std::unordered_set<std::string> used_;
};

}  // namespace

Graph BuildGraph(const RawModel& model, const ImportOptions& options, int64_t batch) {
  return Builder(model, options, batch).Build();
}

}  // namespace octet::onnx
