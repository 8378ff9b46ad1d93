// Brings a node of any operator set from 6 to 25 into the form that octet's operators have: ONNX opset 13, with the
// differences in what is an attribute and what is an input read off the operator's own definition (ir::OpDef).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "onnx/raw_model.h"

namespace octet::onnx {

// What a rule may ask of the importer, which builds the graph node by node: types of all earlier values are known.
struct FormContext {
  int64_t opset = 13;
  bool for_training = false;  // ImportOptions::for_training
  // Type and data of a value; nullptr for "".
  std::function<const ir::Value*(const std::string& name)> value;
  // Adds a constant whose name starts with `hint` and returns its name.
  std::function<std::string(const std::string& hint, Tensor tensor)> add_constant;
  // A name for a new intermediate value.
  std::function<std::string(const std::string& hint)> fresh;
  // Is output `i` of the node read by anybody?
  std::function<bool(const std::string& name)> used;
  std::function<bool(const std::string& op, const std::string& attr)> op_has_attr;
  std::function<bool(const std::string& op)> op_exists;
};

// Operators that the rules or the importer replace, so that they need no definition: Constant, Dropout, Upsample, ...
bool IsReplacedOnImport(const std::string& op);

// One node, or a few in order that do the same. Throws a user Error naming the node when the form has no counterpart.
std::vector<RawNode> ToKnownForm(RawNode node, const FormContext& context);

}  // namespace octet::onnx
