#include "passes/classifier_head.h"

#include <cmath>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "ir/op_def.h"
#include "passes/fusion_regions.h"

namespace octet::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

bool IsSoftmax(const Node* node) {
  return node != nullptr && (node->op == "Softmax" || node->op == "LogSoftmax");
}

// [N,K], or [N,K,1,1] and the like.
bool IsScores(const Shape& shape) {
  if (shape.size() < 2 || shape[1] < 2) return false;
  for (size_t i = 2; i < shape.size(); ++i) {
    if (shape[i] != 1) return false;
  }
  return true;
}

std::vector<const ir::Value*> InputsOf(const Graph& g, const Node& node) {
  std::vector<const ir::Value*> inputs;
  for (const ValueId in : node.inputs) inputs.push_back(in == kNoValue ? nullptr : &g.value(in));
  return inputs;
}

// The node only gives the elements another shape.
bool KeepsElements(const Node& node) {
  return node.op == "Flatten" || node.op == "Reshape" || node.op == "Squeeze" || node.op == "Identity";
}

ValueId Append(Graph& g, const char* op, const std::string& name, ValueId x, ir::Attrs attrs) {
  const NodeId id = g.AddNode(op, g.UniqueNodeName(name), {x}, {name}, std::move(attrs));
  const Node& node = g.node(id);
  g.set_type(node.output(), ir::GetOp(node).infer(node, InputsOf(g, node)).at(0));
  return node.output();
}

Tensor Uniform(const Shape& shape, double limit, uint64_t seed) {
  Tensor t(DType::kF32, shape);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(static_cast<float>(-limit), static_cast<float>(limit));
  auto* p = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) p[i] = uniform(random);
  return t;
}

// A new constant in place of input `i` of the node, under the old one's name.
void ReplaceConstant(Graph& g, NodeId node, size_t i, Tensor tensor) {
  const ValueId old = g.node(node).input(i);
  const std::string name = g.value(old).name;
  if (g.value(old).consumers.size() == 1) {
    g.set_constant(old, std::move(tensor));
  } else {
    g.SetInput(node, i, g.AddConstant(name, std::move(tensor)));
  }
}

}  // namespace

ValueId LogitsOf(const Graph& g) {
  const Node* last = g.producer(g.outputs().at(0));
  OCTET_REQUIRE(last != nullptr && last->op == "Softmax", "network '{}': its output '{}' is not made by a Softmax",
                g.name(), g.value(g.outputs().at(0)).name);
  return last->input(0);
}

bool GivesProbabilities(const Graph& g) {
  const Node* maker = g.producer(g.outputs().at(0));
  while (maker != nullptr && KeepsElements(*maker)) maker = g.producer(maker->input(0));
  return maker != nullptr && (maker->op == "Softmax" || maker->op == "Sigmoid");
}

Graph CompleteClassifier(Graph g) {
  OCTET_REQUIRE(g.inputs().size() == 1, "the network has {} inputs; a classifier has one, the image",
                g.inputs().size());
  while (g.outputs().size() > 1) {
    LogWarning("the network's output '{}' is dropped; '{}' holds the class scores", g.value(g.outputs().back()).name,
               g.value(g.outputs()[0]).name);
    g.RemoveOutput(g.outputs().size() - 1);
  }
  const ValueId output = g.outputs().at(0);
  const std::string name = g.value(output).name;
  ValueId scores = output;
  bool softmax = false;
  for (const Node* p = g.producer(scores); p != nullptr && (KeepsElements(*p) || (!softmax && IsSoftmax(p)));
       p = g.producer(scores)) {
    if (KeepsElements(*p) && !softmax && !IsScores(g.value(p->input(0)).type.shape)) break;
    if (KeepsElements(*p) && softmax) break;
    softmax = softmax || IsSoftmax(p);
    scores = p->input(0);
  }
  const ir::TensorType& type = g.value(scores).type;
  OCTET_REQUIRE(type.dtype == DType::kF32 && IsScores(type.shape),
                "the network's output '{}' is {}; a classifier's is f32[N,classes]. octet classification trains "
                "classifiers only",
                name, ToString(g.value(output).type));
  const Node* maker = g.producer(scores);
  OCTET_REQUIRE(maker == nullptr || maker->op != "Sigmoid",
                "the network ends in Sigmoid '{}' (several labels an image); octet trains one label an image: export "
                "the network without it",
                maker->name);
  const Node* last = g.producer(output);
  if (last != nullptr && last->op == "Softmax" && last->input(0) == scores && type.shape.size() == 2) return g;
  if (type.shape.size() > 2)
    scores = Append(g, "Flatten", g.value(scores).name + ".flat", scores, {{"axis", int64_t{1}}});
  const ValueId made = Append(g, "Softmax", "predictions", scores, {{"axis", int64_t{1}}});
  g.ReplaceOutput(0, made);
  g.RemoveUnused();
  if (softmax && g.Find(name) == kNoValue) g.RenameValue(made, name);
  return g;
}

ClassifierHead FindClassifierHead(const Graph& g) {
  ClassifierHead head;
  ValueId v = LogitsOf(g);
  head.classes = g.value(v).type.shape.at(1);
  while (true) {
    const Node* node = g.producer(v);
    OCTET_REQUIRE(node != nullptr,
                  "the network has no layer that makes its class scores: the search from '{}' ended at '{}'",
                  g.value(LogitsOf(g)).name, g.value(v).name);
    const NodeId id = g.value(v).producer;
    const ir::OpDef& op = ir::GetOp(*node);
    if (op.quant.region == ir::RegionRole::kAnchor) {
      const auto axis = static_cast<size_t>(op.quant.weight_axis(*node));
      const ir::Value& weight = g.value(node->input(1));
      const bool layer = weight.is_constant() && node->op != "ConvTranspose" && node->attr_int("group", 1) == 1 &&
                         node->attr_int("transA", 0) == 0 && weight.type.shape.at(axis) == head.classes;
      OCTET_REQUIRE(layer,
                    "the class scores come from node '{}' ({}), which is no dense layer or plain convolution with "
                    "one output a class ({})",
                    node->name, node->op, head.classes);
      head.layer = id;
      return head;
    }
    const std::vector<const ir::Value*> inputs = InputsOf(g, *node);
    const ir::ChannelFlow flow = op.prune.flow ? op.prune.flow(*node, inputs) : ir::ChannelFlow::kBarrier;
    bool passes = flow == ir::ChannelFlow::kThrough || flow == ir::ChannelFlow::kFlatten;
    for (size_t i = 1; i < node->inputs.size(); ++i) passes = passes && op.role(i) == ir::InputRole::kConst;
    OCTET_REQUIRE(
        passes,
        "the layer that makes the class scores cannot be found: between it and the output stands node '{}' ({})",
        node->name, node->op);
    v = node->input(0);
  }
}

Graph ReplaceClassifierHead(Graph g, int64_t classes, uint64_t seed) {
  const ClassifierHead head = FindClassifierHead(g);
  const ValueId logits = LogitsOf(g);
  const Node node = g.node(head.layer);
  Shape shape = g.value(node.input(1)).type.shape;
  const auto axis = static_cast<size_t>(RuleOf(node).weight_axis(node));
  const auto fan_in = static_cast<double>(NumElements(shape) / shape[axis]);
  shape[axis] = classes;
  ReplaceConstant(g, head.layer, 1, Uniform(shape, std::sqrt(1.0 / fan_in), seed));
  if (node.input(2) != kNoValue) ReplaceConstant(g, head.layer, 2, Tensor(DType::kF32, {classes}));
  // Reshape targets on the way to the output.
  for (ValueId v = node.output(); v != logits;) {
    const std::vector<NodeId>& users = g.value(v).consumers;
    OCTET_REQUIRE(users.size() == 1, "the class scores '{}' are read by {} nodes", g.value(v).name, users.size());
    const NodeId user = users[0];
    const int shape_input = ir::GetOp(g.node(user)).prune.shape_input;
    if (shape_input > 0) {
      const ir::Value& target = g.value(g.node(user).input(static_cast<size_t>(shape_input)));
      std::vector<int64_t> sizes = target.constant.ToVector<int64_t>();
      if (sizes.size() > 1 && sizes[1] == head.classes) {
        sizes[1] = classes;
        ReplaceConstant(g, user, static_cast<size_t>(shape_input),
                        Tensor::From<int64_t>({static_cast<int64_t>(sizes.size())}, sizes));
      }
    }
    v = g.node(user).output();
  }
  g.RemoveUnused();
  ir::InferTypes(g);
  return g;
}

}  // namespace octet::passes
