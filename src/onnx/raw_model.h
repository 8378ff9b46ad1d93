// An ONNX file taken out of protobuf and nothing more: names, attributes and tensors as they stand, of any operator
// set. The importer (onnx_import.cc) turns it into a graph. No protobuf here, so that only *_pb.cc files include it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace octet::onnx {

struct RawNode {
  std::string op;                   // with its domain when that is not ONNX's own: "com.microsoft.QLinearAdd"
  std::string name;                 // "" is common
  std::vector<std::string> inputs;  // "" = absent
  std::vector<std::string> outputs;
  ir::Attrs attrs;
  std::vector<std::string> graph_attrs;  // names of attributes that hold graphs (If, Loop): never supported
  std::string where() const;             // "node 'conv1' (Conv)" for messages
};

struct RawValue {
  std::string name;
  bool typed = false;  // a tensor type with a shape is given
  ir::TensorType type;
  std::vector<std::string> dim_names;  // per dimension: the dim_param, "" when it has a number or nothing
};

struct RawModel {
  std::string path;  // for messages
  std::string graph_name;
  std::map<std::string, std::string> metadata;
  int64_t ir_version = 0;
  int64_t opset = 0;
  bool has_half = false;  // some tensor is float16, in the file or after a Cast
  std::vector<RawValue> inputs;
  std::vector<RawValue> outputs;
  std::vector<std::pair<std::string, Tensor>> initializers;
  std::vector<RawNode> nodes;
};

// Parses the protobuf. Half and bfloat16 tensors become f32. Throws a user Error that starts with the path on broken
// bytes, unsupported element types and missing external data (looked up beside `path`).
RawModel ParseRawModel(const std::string& bytes, const std::string& path);

// One TensorProto in a file of its own (ONNX test data).
Tensor ReadTensorProto(const std::string& path);

// Writes the protobuf: the inverse of ParseRawModel. `values` are value_info entries.
std::string SerializeRawModel(const RawModel& model, const std::vector<RawValue>& values, const std::string& producer,
                              const std::string& producer_version);

// ONNX's code of an element type (TensorProto.DataType) and back; DTypeOfCode throws on what octet has no type for.
// float16 and bfloat16 read as f32.
int64_t CodeOf(DType dtype);
DType DTypeOfCode(int64_t code, const std::string& where);

}  // namespace octet::onnx
