// What the operator families share when they describe themselves: attribute definitions, checks whose messages name the
// node, broadcasting, axes, and inference on concrete tensors for the reference kernels.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/op_def.h"

namespace octet::ops {

using ir::kDynamic;
using ir::Node;
using ir::OpDef;
using ir::TensorType;
using Inputs = std::vector<const ir::Value*>;
using Types = std::vector<TensorType>;
using Tensors = std::vector<Tensor>;

// ---- attributes
ir::AttrDef Int(std::string name, int64_t value);
ir::AttrDef Float(std::string name, float value);
ir::AttrDef String(std::string name, std::string value = "");
ir::AttrDef Ints(std::string name, std::vector<int64_t> value = {});
ir::AttrDef Floats(std::string name, std::vector<float> value = {});
ir::AttrDef TensorAttr(std::string name);
ir::AttrDef Required(ir::AttrDef attr);

// ---- messages
std::string Label(const Node& node);           // "node 'conv1' (Conv)"
std::string Describe(const ir::Value* value);  // "'x' f32[N,3,32,32]", "(absent)"

// ---- inputs
bool Has(const Inputs& inputs, size_t i);
bool Has(const Tensors& inputs, size_t i);
// The input, which must be present.
const ir::Value& At(const Node& node, const Inputs& inputs, size_t i);
const Shape& ShapeAt(const Node& node, const Inputs& inputs, size_t i);
DType DTypeAt(const Node& node, const Inputs& inputs, size_t i);
void RequireRank(const Node& node, const Inputs& inputs, size_t i, int min_rank, int max_rank = 8);
void RequireFloat(const Node& node, const Inputs& inputs, size_t i);  // f32, or f64 where `i` is data
// A scalar or a vector of one of the given sizes; a dynamic size passes. `what` names the input in the message.
void RequireVector(const Node& node, const Inputs& inputs, size_t i, const char* what, int64_t size);
// The elements of a constant input; nothing when it is absent or not a constant.
std::optional<std::vector<int64_t>> ConstInts(const Inputs& inputs, size_t i);
std::optional<std::vector<float>> ConstFloats(const Inputs& inputs, size_t i);
// Same, but throws when the input is present and not constant: the output's rank or sizes depend on it.
std::vector<int64_t> RequireConstInts(const Node& node, const Inputs& inputs, size_t i, const char* what);

// ---- shapes
bool Known(const Shape& shape);                                          // no dynamic size
int64_t NormalAxis(const Node& node, int64_t axis, int64_t rank);        // in [0, rank); throws outside [-rank, rank)
Shape BroadcastShape(const Node& node, const Shape& a, const Shape& b);  // numpy; throws when they do not fit
Shape Spatial(const Shape& shape);                                       // the sizes after the first two
int64_t Product(const Shape& shape, size_t begin, size_t end);           // kDynamic when a factor is dynamic

// ---- pruning
using FlowRule = std::function<ir::ChannelFlow(const Node&, const Inputs&)>;
FlowRule Always(ir::ChannelFlow flow);

// ---- inference
Types One(DType dtype, Shape shape);
Types SameAsFirst(const Node& node, const Inputs& inputs);
Types SameAsFirstFloat(const Node& node, const Inputs& inputs);
// Output types for concrete inputs, by the operator's own inference.
Types TypesOf(const Node& node, const Tensors& inputs);
Tensor NewOutput(const Node& node, const Tensors& inputs, size_t output = 0);

}  // namespace octet::ops
