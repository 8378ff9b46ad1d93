// ModelProto <-> RawModel.
#include <onnx/onnx_pb.h>

#include <filesystem>

#include "base/error.h"
#include "onnx/raw_model.h"
#include "onnx/tensor_pb.h"

namespace octet::onnx {
namespace {

using ::onnx::AttributeProto;
using ::onnx::GraphProto;
using ::onnx::ModelProto;
using ::onnx::NodeProto;
using ::onnx::ValueInfoProto;

// Files before IR version 2 have no attribute types.
AttributeProto::AttributeType TypeOf(const AttributeProto& attr) {
  if (attr.type() != AttributeProto::UNDEFINED) return attr.type();
  if (attr.has_f()) return AttributeProto::FLOAT;
  if (attr.has_i()) return AttributeProto::INT;
  if (attr.has_s()) return AttributeProto::STRING;
  if (attr.has_t()) return AttributeProto::TENSOR;
  if (attr.has_g()) return AttributeProto::GRAPH;
  if (attr.floats_size() > 0) return AttributeProto::FLOATS;
  if (attr.ints_size() > 0) return AttributeProto::INTS;
  if (attr.strings_size() > 0) return AttributeProto::STRINGS;
  return AttributeProto::UNDEFINED;
}

void ParseAttr(const AttributeProto& attr, const std::string& path, const std::string& folder, RawNode* node) {
  ir::Attr value;
  switch (TypeOf(attr)) {
    case AttributeProto::INT: value = static_cast<int64_t>(attr.i()); break;
    case AttributeProto::FLOAT: value = attr.f(); break;
    case AttributeProto::STRING: value = attr.s(); break;
    case AttributeProto::INTS: value = std::vector<int64_t>(attr.ints().begin(), attr.ints().end()); break;
    case AttributeProto::FLOATS: value = std::vector<float>(attr.floats().begin(), attr.floats().end()); break;
    case AttributeProto::STRINGS: value = std::vector<std::string>(attr.strings().begin(), attr.strings().end()); break;
    case AttributeProto::TENSOR:
      value =
          TensorFromProto(attr.t(), fmt::format("'{}': {}, attribute '{}'", path, node->where(), attr.name()), folder);
      break;
    case AttributeProto::GRAPH:
    case AttributeProto::GRAPHS: node->graph_attrs.push_back(attr.name()); return;
    case AttributeProto::UNDEFINED: return;  // an empty list without a type: as if absent
    default:
      OCTET_FAIL("'{}': {}: attribute '{}' has a kind that is not supported ({})", path, node->where(), attr.name(),
                 AttributeProto::AttributeType_Name(TypeOf(attr)));
  }
  node->attrs[attr.name()] = std::move(value);
}

RawNode ParseNode(const NodeProto& proto, const std::string& path, const std::string& folder) {
  RawNode node;
  // ONNX Runtime's own Q and DQ are ONNX's for the 8-bit types, from before ONNX had them in full.
  const bool pair = proto.op_type() == "QuantizeLinear" || proto.op_type() == "DequantizeLinear";
  const bool own = proto.domain().empty() || proto.domain() == "ai.onnx" || (pair && proto.domain() == "com.microsoft");
  node.op = own ? proto.op_type() : proto.domain() + "." + proto.op_type();
  node.name = proto.name();
  node.inputs.assign(proto.input().begin(), proto.input().end());
  node.outputs.assign(proto.output().begin(), proto.output().end());
  for (const AttributeProto& attr : proto.attribute()) ParseAttr(attr, path, folder, &node);
  return node;
}

RawValue ParseValue(const ValueInfoProto& proto, const std::string& path) {
  RawValue value;
  value.name = proto.name();
  if (!proto.has_type() || !proto.type().has_tensor_type()) return value;
  const auto& type = proto.type().tensor_type();
  value.type.dtype = DTypeOfCode(type.elem_type(), fmt::format("'{}': '{}'", path, value.name));
  value.typed = type.has_shape();
  for (const auto& dim : type.shape().dim()) {
    value.type.shape.push_back(dim.has_dim_value() && dim.dim_value() >= 0 ? dim.dim_value() : ir::kDynamic);
    value.dim_names.push_back(dim.has_dim_param() ? dim.dim_param() : "");
  }
  return value;
}

void WriteAttr(const std::string& name, const ir::Attr& attr, AttributeProto* proto) {
  proto->set_name(name);
  if (const auto* i = std::get_if<int64_t>(&attr)) {
    proto->set_type(AttributeProto::INT);
    proto->set_i(*i);
  } else if (const auto* f = std::get_if<float>(&attr)) {
    proto->set_type(AttributeProto::FLOAT);
    proto->set_f(*f);
  } else if (const auto* s = std::get_if<std::string>(&attr)) {
    proto->set_type(AttributeProto::STRING);
    proto->set_s(*s);
  } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&attr)) {
    proto->set_type(AttributeProto::INTS);
    for (const int64_t v : *ints) proto->add_ints(v);
  } else if (const auto* floats = std::get_if<std::vector<float>>(&attr)) {
    proto->set_type(AttributeProto::FLOATS);
    for (const float v : *floats) proto->add_floats(v);
  } else if (const auto* strings = std::get_if<std::vector<std::string>>(&attr)) {
    proto->set_type(AttributeProto::STRINGS);
    for (const std::string& v : *strings) proto->add_strings(v);
  } else {
    proto->set_type(AttributeProto::TENSOR);
    TensorToProto(std::get<Tensor>(attr), name, proto->mutable_t());
  }
}

void WriteValue(const RawValue& value, ValueInfoProto* proto) {
  proto->set_name(value.name);
  auto* type = proto->mutable_type()->mutable_tensor_type();
  type->set_elem_type(static_cast<int>(CodeOf(value.type.dtype)));
  auto* shape = type->mutable_shape();
  for (size_t i = 0; i < value.type.shape.size(); ++i) {
    auto* dim = shape->add_dim();
    if (value.type.shape[i] >= 0) {
      dim->set_dim_value(value.type.shape[i]);
    } else if (i < value.dim_names.size() && !value.dim_names[i].empty()) {
      dim->set_dim_param(value.dim_names[i]);
    }
  }
}

}  // namespace

std::string RawNode::where() const {
  if (!name.empty()) return fmt::format("node '{}' ({})", name, op);
  return fmt::format("the {} node that makes '{}'", op, outputs.empty() ? "" : outputs[0]);
}

RawModel ParseRawModel(const std::string& bytes, const std::string& path) {
  ModelProto proto;
  OCTET_REQUIRE(!bytes.empty(), "'{}' is empty; expected an ONNX model", path);
  // ParseFromArray counts in int; a file beyond protobuf's own limit cannot be a valid model without external data.
  OCTET_REQUIRE(bytes.size() < (size_t{1} << 31) && proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
                "'{}' is no ONNX model, or it is cut off or damaged (its protobuf cannot be parsed)", path);
  OCTET_REQUIRE(proto.has_graph(), "'{}' is no ONNX model, or it is cut off: it holds no graph", path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  RawModel model;
  model.path = path;
  model.ir_version = proto.ir_version();
  for (const auto& opset : proto.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") model.opset = opset.version();
  }
  for (const auto& entry : proto.metadata_props()) model.metadata[entry.key()] = entry.value();
  const GraphProto& graph = proto.graph();
  model.graph_name = graph.name();
  OCTET_REQUIRE(graph.sparse_initializer_size() == 0, "'{}': sparse initializers are not supported; store them dense",
                path);
  for (const auto& tensor : graph.initializer()) {
    model.has_half = model.has_half || tensor.data_type() == ::onnx::TensorProto::FLOAT16;
    model.initializers.emplace_back(
        tensor.name(), TensorFromProto(tensor, fmt::format("'{}': initializer '{}'", path, tensor.name()), folder));
  }
  for (const auto& value : graph.input()) model.inputs.push_back(ParseValue(value, path));
  for (const auto& value : graph.output()) model.outputs.push_back(ParseValue(value, path));
  for (const NodeProto& node : graph.node()) {
    model.nodes.push_back(ParseNode(node, path, folder));
    for (const auto& attribute : node.attribute()) {
      const bool cast = node.op_type() == "Cast" && attribute.name() == "to";
      model.has_half = model.has_half || (cast && attribute.i() == ::onnx::TensorProto::FLOAT16);
    }
  }
  return model;
}

std::string SerializeRawModel(const RawModel& model, const std::vector<RawValue>& values, const std::string& producer,
                              const std::string& producer_version) {
  ModelProto proto;
  proto.set_ir_version(model.ir_version);
  proto.set_producer_name(producer);
  proto.set_producer_version(producer_version);
  auto* opset = proto.add_opset_import();
  opset->set_domain("");
  opset->set_version(model.opset);
  for (const auto& [key, value] : model.metadata) {
    auto* entry = proto.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  GraphProto* graph = proto.mutable_graph();
  graph->set_name(model.graph_name);
  for (const RawNode& node : model.nodes) {
    NodeProto* to = graph->add_node();
    to->set_op_type(node.op);
    to->set_name(node.name);
    for (const std::string& in : node.inputs) to->add_input(in);
    for (const std::string& out : node.outputs) to->add_output(out);
    for (const auto& [key, attr] : node.attrs) WriteAttr(key, attr, to->add_attribute());
  }
  for (const auto& [name, tensor] : model.initializers) TensorToProto(tensor, name, graph->add_initializer());
  for (const RawValue& value : model.inputs) WriteValue(value, graph->add_input());
  for (const RawValue& value : model.outputs) WriteValue(value, graph->add_output());
  for (const RawValue& value : values) WriteValue(value, graph->add_value_info());
  OCTET_REQUIRE(proto.ByteSizeLong() < (size_t{1} << 31),
                "'{}': the model is larger than 2 GiB, which ONNX cannot hold in one file", model.path);
  std::string bytes;
  OCTET_CHECK(proto.SerializeToString(&bytes), "cannot serialize '{}'", model.path);
  return bytes;
}

}  // namespace octet::onnx
