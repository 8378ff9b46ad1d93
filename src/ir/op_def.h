// What an operator says about itself: its inputs, attributes, output types, reference arithmetic, and how quantization
// and pruning treat it. Passes ask these rules; they hold no lists of operator names.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::ir {

// What an input is for. Decides what training updates and what quantization touches.
enum class InputRole {
  kData,    // an activation
  kWeight,  // a trained parameter that is quantized per output channel when the node is quantized
  kParam,   // a trained parameter that stays float: bias, BN scale and shift
  kBuffer,  // state that training updates without gradient: BN mean and variance
  kScale,   // a quantization scale: set by an observer
  kConst,   // a constant that steers the operator: shapes, clip bounds, zero points
};

// The part an operator can play in a TensorRT fusion region: anchor [scale_shift] [join] [activation].
enum class RegionRole {
  kNone,
  kAnchor,      // Conv, ConvTranspose, Gemm, MatMul: starts a region
  kScaleShift,  // BatchNormalization
  kJoin,        // Add of a residual
  kActivation,  // Relu, Clip, LeakyRelu, Sigmoid, HardSwish, ...
};

struct AttrDef {
  std::string name;
  Attr default_value;  // its alternative is the attribute's kind
  bool required = false;
};

struct QuantRule {
  RegionRole region = RegionRole::kNone;
  // op(Q(x)) == Q(op(x)) with the same scale: MaxPool, Reshape, Flatten, Transpose, ...
  bool commutes = false;
  std::function<bool(const Node&)> commutes_when;  // where it depends on attributes (nearest Resize)
  // Every output element is an element of input 0; which one, its other inputs and the attributes say.
  bool moves = false;
  bool Commutes(const Node& node) const { return commutes && (!commutes_when || commutes_when(node)); }
  // QAT turns this activation into ReLU6: ReLU and its relatives, hard-swish. Gates (Sigmoid, Tanh) are not among them.
  bool becomes_relu6 = false;
  // The output channel axis of the kWeight input (Conv 0, ConvTranspose 1, Gemm transB 0): see weight_axis.
  std::function<int(const Node&)> weight_axis;
};

// How an operator carries channels (axis 1 of a tensor) from its inputs to its output.
enum class ChannelFlow {
  kBarrier,  // mixes or orders channels in its own way: what enters and what leaves keeps all its channels
  kThrough,  // output channel c comes from channel c of input 0; kParam and kBuffer inputs are vectors of one element a
             // channel
  kLayer,    // makes new channels, each from all of input 0; weight and bias have one slice a channel
  kDepthwise,  // channel c of input 0 makes the next m output channels; attribute `group` counts the input channels
  kJoin,       // element-wise with broadcasting: channel c of every input meets channel c of the others
  kConcat,     // joins tensors along attribute `axis`
  kFlatten,    // [N,C,...] -> [N,C*...]: a channel becomes a run of elements
};

struct PruneRule {
  // `inputs` as for infer; types are known. Empty: kBarrier.
  std::function<ChannelFlow(const Node& node, const std::vector<const Value*>& inputs)> flow;
  // Of a kLayer: the axis of the kWeight input along which the channels of input 0 lie.
  std::function<int(const Node&)> weight_input_axis;
  // The input, if any, that holds the output's shape: its element 1 follows the number of channels.
  int shape_input = -1;
};

struct OpDef {
  std::string name;
  int min_inputs = 1;
  int max_inputs = 1;  // -1: any number
  int max_outputs = 1;
  std::vector<InputRole> roles = {InputRole::kData};  // the last one repeats
  std::vector<AttrDef> attrs;
  QuantRule quant;
  PruneRule prune;
  // Multiply-adds for one image (the size of axis 0 does not count). Empty: none worth counting.
  std::function<int64_t(const Node& node, const std::vector<const Value*>& inputs, const Value& output)> macs;

  // Output types from input types and constants. `inputs[i]` is nullptr for an absent optional input. Throws a user
  // Error, naming the node, when the inputs do not fit.
  std::function<std::vector<TensorType>(const Node& node, const std::vector<const Value*>& inputs)> infer;

  // The slow, obvious arithmetic: constant folding, oracle in tests, the engine's fallback. Absent inputs are undefined
  // tensors. Shapes are concrete.
  std::function<std::vector<Tensor>(const Node& node, const std::vector<Tensor>& inputs)> reference;

  InputRole role(size_t input) const {
    return roles.empty() ? InputRole::kData : roles[std::min(input, roles.size() - 1)];
  }
};

// The table of operators. Filled once by ops::InstallOps(); adding a name twice is a bug.
void RegisterOp(OpDef def);
const OpDef* FindOp(const std::string& name);  // nullptr when unknown
const OpDef& GetOp(const Node& node);          // throws a user Error that names node and operator
std::vector<std::string> OpNames();

// Sets the type of every node output, in topological order.
void InferTypes(Graph& graph);

// Checks structure: names unique, use lists consistent, operators known, input counts, attribute names and kinds, no
// cycle, types as inference gives them. Throws Error(kUser) naming the node.
void Verify(const Graph& graph);

// The values of all graph outputs (or of `wanted` values) by the reference kernels. `feeds` are by input name.
std::vector<Tensor> RunReference(const Graph& graph, const std::map<std::string, Tensor>& feeds,
                                 const std::vector<ValueId>& wanted = {});

}  // namespace octet::ir
