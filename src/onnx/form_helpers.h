// How the rules of opset_forms.cc read a node of a file and make others. Every error names the node.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "onnx/opset_forms.h"

namespace octet::onnx {

using Ints = std::vector<int64_t>;

// The attribute, or nullptr when it is absent; an error when it has another kind.
template <typename T>
const T* AttrPtr(const RawNode& node, const std::string& key) {
  const auto it = node.attrs.find(key);
  if (it == node.attrs.end()) return nullptr;
  const T* value = std::get_if<T>(&it->second);
  OCTET_REQUIRE(value != nullptr, "{}: attribute '{}' has the wrong kind", node.where(), key);
  return value;
}
int64_t IntAttr(const RawNode& node, const std::string& key, int64_t fallback);
float FloatAttr(const RawNode& node, const std::string& key, float fallback);
std::string StringAttr(const RawNode& node, const std::string& key, const std::string& fallback);
bool HasInput(const RawNode& node, size_t i);
void SetInput(RawNode* node, size_t i, const std::string& name);
const ir::Value& ValueOf(const RawNode& node, size_t i, const FormContext& c);
const Shape& ShapeOf(const RawNode& node, size_t i, const FormContext& c);
// The constant integers of an input that must be constant for octet; `what` names them.
Ints ConstInts(const RawNode& node, size_t i, const char* what, const FormContext& c);
Tensor IntsTensor(const Ints& values);
// A name for a value made beside the node's output.
std::string OutputHint(const RawNode& node, const char* suffix);
// 0 to rank - 1.
int64_t NormalAxis(const RawNode& node, int64_t axis, size_t rank);
RawNode Renamed(RawNode node, const std::string& op);
// An operator with one data input and one output beside `node`'s.
RawNode Step(const RawNode& node, const std::string& op, std::vector<std::string> inputs, const std::string& output,
             ir::Attrs attrs = {});

}  // namespace octet::onnx
