#include "onnx/onnx_export.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "ir/op_def.h"
#include "onnx/raw_model.h"

namespace octet::onnx {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;

// Attributes that only training reads.
constexpr const char* kTrainingOnly[] = {"observer"};

// The first opset that knows an operator (attr "") or one of its attributes, where that is after 13.
struct Since {
  const char* op;
  const char* attr;
  int opset;
};
constexpr Since kSince[] = {
    {"HardSwish", "", 14},
    {"Mish", "", 18},
    {"Gelu", "", 20},
    {"Reshape", "allowzero", 14},
    {"Resize", "antialias", 18},
    {"Resize", "axes", 18},
    {"Resize", "keep_aspect_ratio_policy", 18},
    {"AveragePool", "dilations", 19},
    {"BatchNormalization", "training_mode", 14},
    {"Split", "num_outputs", 18},
    {"QuantizeLinear", "saturate", 19},
    {"QuantizeLinear", "block_size", 21},
    {"QuantizeLinear", "output_dtype", 21},
    {"DequantizeLinear", "block_size", 21},
};

// The attribute says what its absence says.
bool IsDefault(const std::string& key, const ir::Attr& attr) {
  if (const auto* i = std::get_if<int64_t>(&attr)) return key != "num_outputs" && *i == (key == "saturate" ? 1 : 0);
  if (const auto* s = std::get_if<std::string>(&attr)) return *s == "stretch";
  if (const auto* list = std::get_if<std::vector<int64_t>>(&attr)) {
    return key == "dilations" && std::all_of(list->begin(), list->end(), [](int64_t d) { return d == 1; });
  }
  return false;
}

bool IsLowered(const std::string& op) {
  return op.size() > 1 && op[0] == 'Q' && std::isupper(static_cast<unsigned char>(op[1])) &&
         op.rfind("QLinear", 0) != 0;
}

std::string CleanName(std::string name) {
  for (char& c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u >= 0x7f || c == ':') c = '_';
  }
  if (name.empty()) return "value";
  if (name.front() == ' ') name.front() = '_';
  if (name.back() == ' ') name.back() = '_';
  return name;
}

class Writer {
 public:
  Writer(const Graph& graph, const std::string& path, const ExportOptions& options)
      : graph_(graph), options_(options), names_(ExportNames(graph)) {
    for (const auto& [from, to] : names_) taken_.insert(to);
    OCTET_REQUIRE(options.opset >= 13 && options.opset <= 21, "ONNX opset {} cannot be written; choose 13 to 21",
                  options.opset);
    model_.path = path;
    model_.graph_name = graph.name().empty() ? "octet" : graph.name();
    model_.metadata = graph.metadata();
    model_.opset = options.opset;
  }

  std::string Write() {
    const std::vector<ir::NodeId> order = graph_.Order();
    for (const ir::NodeId id : order) Inspect(graph_.node(id));
    // ONNX releases: opset 15 came with IR version 8, 19 with 9, 21 with 10; readers of opset 13 take 8 as well.
    model_.ir_version = model_.opset >= 21 ? 10 : model_.opset >= 19 ? 9 : 8;
    FindBatch();
    for (const ValueId id : graph_.constants()) model_.initializers.emplace_back(Name(id), graph_.value(id).constant);
    for (const ValueId id : graph_.inputs()) model_.inputs.push_back(Described(id));
    for (const ValueId id : graph_.outputs()) model_.outputs.push_back(Described(id));
    for (const ir::NodeId id : order) AddNode(graph_.node(id));
    for (const ValueId id : graph_.values()) {
      const ir::Value& v = graph_.value(id);
      if (!v.is_constant() && !graph_.is_input(id) && !graph_.is_output(id)) infos_.push_back(Described(id));
    }
    return SerializeRawModel(model_, infos_, options_.producer, options_.producer_version);
  }

 private:
  std::string Name(ValueId id) const { return id == ir::kNoValue ? "" : names_.at(graph_.value(id).name); }

  void Inspect(const Node& node) {
    OCTET_CHECK(!IsLowered(node.op), "node '{}': {} is an operator of the engine and has no ONNX form", node.name,
                node.op);
    for (const Since& since : kSince) {
      if (node.op != since.op) continue;
      const auto attr = node.attrs.find(since.attr);
      const bool needed = *since.attr == '\0' || (attr != node.attrs.end() && !IsDefault(attr->first, attr->second));
      if (needed) model_.opset = std::max<int64_t>(model_.opset, since.opset);
    }
  }

  // Which dynamic sizes are the batch itself: those that come out as the batch when it is set.
  void FindBatch() {
    constexpr int64_t kProbe = 7;
    Graph probe = graph_;
    bool dynamic = false;
    for (const ValueId id : probe.inputs()) {
      ir::TensorType type = probe.value(id).type;
      if (type.shape.empty() || type.shape[0] >= 0) continue;
      type.shape[0] = kProbe;
      probe.set_type(id, type);
      dynamic = true;
    }
    if (!dynamic) return;
    ir::InferTypes(probe);
    for (const ValueId id : probe.values()) {
      const Shape& shape = probe.value(id).type.shape;
      for (size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == kProbe) batch_dims_.insert({probe.value(id).name, i});
      }
    }
  }

  RawValue Described(ValueId id) const {
    const ir::Value& v = graph_.value(id);
    RawValue value;
    value.name = Name(id);
    value.typed = true;
    value.type = v.type;
    for (size_t i = 0; i < v.type.shape.size(); ++i) {
      const bool batch = v.type.shape[i] < 0 && batch_dims_.count({v.name, i}) != 0;
      value.dim_names.push_back(batch ? "N" : "");
    }
    return value;
  }

  std::string FreshName(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 1; !taken_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
    return name;
  }

  std::string NodeName(const Node& node) {
    const std::string wanted = CleanName(node.name);
    std::string name = wanted;
    for (int i = 1; !taken_nodes_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
    return name;
  }

  std::string AddConstant(const std::string& wanted, const Tensor& tensor) {
    model_.initializers.emplace_back(FreshName(wanted), tensor);
    return model_.initializers.back().first;
  }

  // ONNX has Swish from opset 24 on: x * Sigmoid(x).
  void AddSwish(const Node& node) {
    OCTET_REQUIRE(node.attr_float("alpha", 1.0f) == 1.0f, "node '{}': Swish with alpha {} has no form in ONNX opset {}",
                  node.name, node.attr_float("alpha", 1.0f), model_.opset);
    RawNode gate;
    gate.op = "Sigmoid";
    gate.name = NodeName(node) + ".sigmoid";
    gate.inputs = {Name(node.inputs.at(0))};
    gate.outputs = {FreshName(Name(node.output()) + ".sigmoid")};
    RawNode product;
    product.op = "Mul";
    product.name = CleanName(node.name);
    product.inputs = {gate.inputs[0], gate.outputs[0]};
    product.outputs = {Name(node.output())};
    infos_.push_back(Described(node.output()));
    infos_.back().name = gate.outputs[0];
    model_.nodes.push_back(std::move(gate));
    model_.nodes.push_back(std::move(product));
  }

  void AddNode(const Node& node) {
    if (node.op == "Swish") return AddSwish(node);
    RawNode raw;
    raw.op = node.op;
    raw.name = NodeName(node);
    for (const ValueId in : node.inputs) raw.inputs.push_back(Name(in));
    for (const ValueId out : node.outputs) raw.outputs.push_back(Name(out));
    raw.attrs = node.attrs;
    for (const char* key : kTrainingOnly) raw.attrs.erase(key);
    for (const Since& since : kSince) {
      if (node.op == since.op && *since.attr != '\0' && model_.opset < since.opset) raw.attrs.erase(since.attr);
    }
    if (node.op == "QuantizeLinear" || node.op == "DequantizeLinear") FixQuantization(node, &raw);
    if (node.op.rfind("Reduce", 0) == 0) FixReduce(node, &raw);
    if (node.op == "Split" && model_.opset >= 18 && raw.inputs.size() < 2 && raw.attrs.count("num_outputs") == 0) {
      raw.attrs["num_outputs"] = static_cast<int64_t>(raw.outputs.size());
    }
    model_.nodes.push_back(std::move(raw));
  }

  // TensorRT reads a vector scale without axis as axis 0, ONNX as axis 1; a missing zero point as int8, ONNX as uint8.
  void FixQuantization(const Node& node, RawNode* raw) {
    const ir::Value& scale = graph_.value(node.inputs.at(1));
    const DType dtype = node.op == "QuantizeLinear" ? graph_.value(node.output()).type.dtype
                                                    : graph_.value(node.inputs.at(0)).type.dtype;
    if (scale.type.shape.empty()) {
      raw->attrs.erase("axis");
    } else {
      raw->attrs["axis"] = node.attr_int("axis", 1);
    }
    const ValueId zero = node.input(2);
    if (zero == ir::kNoValue) {
      raw->inputs.resize(3);
      raw->inputs[2] = AddConstant(Name(node.inputs[1]) + ".zero_point", Tensor(dtype, scale.type.shape));
      return;
    }
    const ir::Value& point = graph_.value(zero);
    if (point.type.shape == scale.type.shape || !point.is_constant()) return;
    const std::vector<int64_t> values = point.constant.ToVector<int64_t>();
    OCTET_REQUIRE(std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 0; }),
                  "node '{}': zero point {} does not fit the scale {}", node.name, ToString(point.type.shape),
                  ToString(scale.type.shape));
    raw->inputs[2] = AddConstant(Name(zero), Tensor(dtype, scale.type.shape));
  }

  // Axes are an input of ReduceSum, and of the others from opset 18 on.
  void FixReduce(const Node& node, RawNode* raw) {
    const bool as_input = node.op == "ReduceSum" || model_.opset >= 18;
    const auto axes = raw->attrs.find("axes");
    if (as_input && axes != raw->attrs.end()) {
      const auto& values = std::get<std::vector<int64_t>>(axes->second);
      if (!values.empty()) {
        raw->inputs.resize(2);
        raw->inputs[1] = AddConstant(raw->outputs.at(0) + ".axes",
                                     Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
      }
      raw->attrs.erase("axes");
    } else if (!as_input && node.input(1) != ir::kNoValue) {
      const ir::Value& value = graph_.value(node.inputs[1]);
      OCTET_REQUIRE(value.is_constant(), "node '{}': its axes are computed; ONNX before opset 18 needs them constant",
                    node.name);
      raw->attrs["axes"] = value.constant.ToVector<int64_t>();
      raw->inputs.resize(1);
    }
  }

  const Graph& graph_;
  const ExportOptions& options_;
  std::map<std::string, std::string> names_;
  std::unordered_set<std::string> taken_;
  std::unordered_set<std::string> taken_nodes_;
  std::set<std::pair<std::string, size_t>> batch_dims_;
  RawModel model_;
  std::vector<RawValue> infos_;
};

}  // namespace

std::map<std::string, std::string> ExportNames(const Graph& graph) {
  std::map<std::string, std::string> names;
  std::unordered_set<std::string> taken;
  const std::vector<ValueId> values = graph.values();
  for (const ValueId id : values) {
    const std::string& name = graph.value(id).name;
    if (CleanName(name) == name) taken.insert(names[name] = name);
  }
  for (const ValueId id : values) {
    const std::string& name = graph.value(id).name;
    if (names.count(name) != 0) continue;
    const std::string wanted = CleanName(name);
    std::string free = wanted;
    for (int i = 1; !taken.insert(free).second; ++i) free = fmt::format("{}_{}", wanted, i);
    names[name] = free;
  }
  return names;
}

std::string ExportOnnxBytes(const Graph& graph, const std::string& path_for_messages, const ExportOptions& options) {
  return Writer(graph, path_for_messages, options).Write();
}

void ExportOnnx(const Graph& graph, const std::string& path, const ExportOptions& options) {
  WriteFileAtomic(path, ExportOnnxBytes(graph, path, options));
}

}  // namespace octet::onnx
