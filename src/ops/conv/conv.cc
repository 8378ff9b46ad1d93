// Definitions of Conv and ConvTranspose (ONNX opset 11).
#include "ops/conv/conv.h"

#include "base/error.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

using ir::InputRole;

void CheckKernelAttr(const Node& node, const Shape& weight) {
  const auto kernel = node.attr_ints("kernel_shape", {});
  OCTET_REQUIRE(kernel.empty() || kernel == Spatial(weight),
                "{}: attribute kernel_shape {} differs from the weight's {}", Label(node), octet::ToString(kernel),
                octet::ToString(Spatial(weight)));
}

void CheckOperands(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 3, 5);
  RequireFloat(node, inputs, 0);
  RequireFloat(node, inputs, 1);
  OCTET_REQUIRE(ShapeAt(node, inputs, 1).size() == ShapeAt(node, inputs, 0).size(),
                "{}: data {} and weight {} have different numbers of dimensions", Label(node), Describe(inputs[0]),
                Describe(inputs[1]));
  OCTET_REQUIRE(Known(ShapeAt(node, inputs, 1)), "{}: the sizes of weight {} must be known", Label(node),
                Describe(inputs[1]));
  OCTET_REQUIRE(node.attr_int("group", 1) >= 1, "{}: attribute group is {}, expected at least 1", Label(node),
                node.attr_int("group", 1));
}

Types InferConv(const Node& node, const Inputs& inputs) {
  CheckOperands(node, inputs);
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& w = ShapeAt(node, inputs, 1);
  CheckKernelAttr(node, w);
  const int64_t group = node.attr_int("group", 1);
  OCTET_REQUIRE(x[1] < 0 || x[1] == w[1] * group, "{}: data {} has {} channels, weight {} expects {} ({} x group {})",
                Label(node), Describe(inputs[0]), x[1], Describe(inputs[1]), w[1] * group, w[1], group);
  OCTET_REQUIRE(w[0] % group == 0, "{}: {} output channels do not divide into {} groups", Label(node), w[0], group);
  if (Has(inputs, 2)) RequireVector(node, inputs, 2, "bias", w[0]);
  Shape out = {x[0], w[0]};
  const Window window = ResolveWindow(node, Spatial(x), Spatial(w));
  out.insert(out.end(), window.out.begin(), window.out.end());
  return One(inputs[0]->type.dtype, out);
}

Types InferConvTranspose(const Node& node, const Inputs& inputs) {
  CheckOperands(node, inputs);
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& w = ShapeAt(node, inputs, 1);
  CheckKernelAttr(node, w);
  const int64_t group = node.attr_int("group", 1);
  OCTET_REQUIRE(x[1] < 0 || x[1] == w[0], "{}: data {} has {} channels, weight {} expects {}", Label(node),
                Describe(inputs[0]), x[1], Describe(inputs[1]), w[0]);
  OCTET_REQUIRE(w[0] % group == 0, "{}: {} input channels do not divide into {} groups", Label(node), w[0], group);
  if (Has(inputs, 2)) RequireVector(node, inputs, 2, "bias", w[1] * group);
  Shape out = {x[0], w[1] * group};
  const Window window = ResolveTransposedWindow(node, Spatial(x), Spatial(w));
  out.insert(out.end(), window.out.begin(), window.out.end());
  return One(inputs[0]->type.dtype, out);
}

// Groups of several channels each would have to lose equally many: they keep all.
ir::ChannelFlow ConvFlow(const Node& node, const Inputs& inputs) {
  const int64_t group = node.attr_int("group", 1);
  if (group == 1) return ir::ChannelFlow::kLayer;
  return group == ShapeAt(node, inputs, 0)[1] ? ir::ChannelFlow::kDepthwise : ir::ChannelFlow::kBarrier;
}

int64_t ConvMacs(const Node& node, const Inputs& inputs, const ir::Value& output) {
  const Shape& w = ShapeAt(node, inputs, 1);
  return Product(output.type.shape, 1, output.type.shape.size()) * Product(w, 1, w.size());
}

int64_t ConvTransposeMacs(const Node& node, const Inputs& inputs, const ir::Value&) {
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& w = ShapeAt(node, inputs, 1);
  return Product(x, 1, x.size()) * Product(w, 1, w.size());
}

OpDef ConvDef() {
  OpDef def;
  def.name = "Conv";
  def.min_inputs = 2;
  def.max_inputs = 3;
  def.roles = {InputRole::kData, InputRole::kWeight, InputRole::kParam};
  def.attrs = {String("auto_pad", "NOTSET"), Ints("dilations"), Int("group", 1),
               Ints("kernel_shape"),         Ints("pads"),      Ints("strides")};
  def.quant.region = ir::RegionRole::kAnchor;
  def.quant.weight_axis = [](const Node&) { return 0; };
  def.prune.flow = ConvFlow;
  def.prune.weight_input_axis = [](const Node&) { return 1; };
  def.macs = ConvMacs;
  def.infer = InferConv;
  def.reference = ConvReference;
  return def;
}

OpDef ConvTransposeDef() {
  OpDef def = ConvDef();
  def.name = "ConvTranspose";
  def.attrs.push_back(Ints("output_padding"));
  def.attrs.push_back(Ints("output_shape"));
  def.quant.weight_axis = [](const Node&) { return 1; };
  def.prune.flow = [](const Node& node, const Inputs&) {
    return node.attr_int("group", 1) == 1 ? ir::ChannelFlow::kLayer : ir::ChannelFlow::kBarrier;
  };
  def.prune.weight_input_axis = [](const Node&) { return 0; };
  def.macs = ConvTransposeMacs;
  def.infer = InferConvTranspose;
  def.reference = ConvTransposeReference;
  return def;
}

}  // namespace

void InstallConv() {
  ir::RegisterOp(ConvDef());
  ir::RegisterOp(ConvTransposeDef());
}

}  // namespace octet::ops
