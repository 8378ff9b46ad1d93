// Definitions of the activations.
#include "ops/activation/activation.h"

#include <limits>

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

Types InferClip(const Node& node, const Inputs& inputs) {
  const TensorType& x = At(node, inputs, 0).type;
  for (size_t i = 1; i < 3; ++i) {
    if (!Has(inputs, i)) continue;
    OCTET_REQUIRE(Product(inputs[i]->type.shape, 0, inputs[i]->type.shape.size()) == 1, "{}: {} {}: expected a scalar",
                  Label(node), i == 1 ? "min" : "max", Describe(inputs[i]));
    OCTET_REQUIRE(inputs[i]->type.dtype == x.dtype, "{}: {} {} has another element type than data {}", Label(node),
                  i == 1 ? "min" : "max", Describe(inputs[i]), Describe(inputs[0]));
  }
  return {x};
}

Types InferPRelu(const Node& node, const Inputs& inputs) {
  RequireFloat(node, inputs, 0);
  const Shape& x = inputs[0]->type.shape;
  const Shape& slope = ShapeAt(node, inputs, 1);
  const Shape both = BroadcastShape(node, x, slope);
  OCTET_REQUIRE(both.size() == x.size(), "{}: slope {} does not broadcast to data {}", Label(node), Describe(inputs[1]),
                Describe(inputs[0]));
  for (size_t i = 0; i < x.size(); ++i) {
    OCTET_REQUIRE(both[i] == x[i] || x[i] < 0, "{}: slope {} does not broadcast to data {}", Label(node),
                  Describe(inputs[1]), Describe(inputs[0]));
  }
  return {inputs[0]->type};
}

Types InferSoftmax(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 1);
  NormalAxis(node, node.attr_int("axis", -1), static_cast<int64_t>(inputs[0]->type.shape.size()));
  return SameAsFirstFloat(node, inputs);
}

enum class InQat { kStays, kBecomesRelu6 };

void AddActivation(const char* name, std::vector<ir::AttrDef> attrs, InQat in_qat = InQat::kStays) {
  OpDef def;
  def.quant.becomes_relu6 = in_qat == InQat::kBecomesRelu6;
  def.name = name;
  def.attrs = std::move(attrs);
  def.quant.region = ir::RegionRole::kActivation;
  def.prune.flow = Always(ir::ChannelFlow::kThrough);
  def.infer = SameAsFirstFloat;
  def.reference = FloatActivationReference;
  ir::RegisterOp(def);
}

void AddSoftmax(const char* name) {
  OpDef def;
  def.name = name;
  def.attrs = {Int("axis", -1)};
  def.infer = InferSoftmax;
  def.reference = SoftmaxReference;
  ir::RegisterOp(def);
}

}  // namespace

bool ConstantClipBounds(const ir::Graph& graph, const Node& node, float* low, float* high) {
  *low = std::numeric_limits<float>::lowest();
  *high = std::numeric_limits<float>::max();
  for (size_t i = 1; i < 3; ++i) {
    const ir::ValueId id = node.input(i);
    if (id == ir::kNoValue) continue;
    const ir::Value& value = graph.value(id);
    if (!value.is_constant() || value.constant.size() != 1) return false;
    (i == 1 ? *low : *high) = value.constant.ToVector<float>()[0];
  }
  return true;
}

void InstallActivation() {
  OpDef relu;
  relu.name = "Relu";
  relu.quant.region = ir::RegionRole::kActivation;
  relu.quant.becomes_relu6 = true;
  relu.prune.flow = Always(ir::ChannelFlow::kThrough);
  relu.infer = SameAsFirst;
  relu.reference = ReluReference;
  ir::RegisterOp(relu);

  OpDef clip;
  clip.name = "Clip";
  clip.max_inputs = 3;
  clip.roles = {InputRole::kData, InputRole::kConst, InputRole::kConst};
  clip.quant.region = ir::RegionRole::kActivation;
  clip.prune.flow = Always(ir::ChannelFlow::kThrough);
  clip.infer = InferClip;
  clip.reference = ClipReference;
  ir::RegisterOp(clip);

  OpDef prelu;
  prelu.name = "PRelu";
  prelu.min_inputs = prelu.max_inputs = 2;
  prelu.roles = {InputRole::kData, InputRole::kParam};
  prelu.quant.region = ir::RegionRole::kActivation;
  prelu.quant.becomes_relu6 = true;
  prelu.prune.flow = Always(ir::ChannelFlow::kJoin);  // the slope broadcasts
  prelu.infer = InferPRelu;
  prelu.reference = PReluReference;
  ir::RegisterOp(prelu);

  AddActivation("LeakyRelu", {Float("alpha", 0.01f)}, InQat::kBecomesRelu6);
  AddActivation("Sigmoid", {});
  AddActivation("HardSigmoid", {Float("alpha", 0.2f), Float("beta", 0.5f)});
  AddActivation("HardSwish", {}, InQat::kBecomesRelu6);
  AddActivation("Tanh", {});
  AddActivation("Elu", {Float("alpha", 1.0f)}, InQat::kBecomesRelu6);
  AddActivation("Selu", {Float("alpha", 1.67326319217681884765625f), Float("gamma", 1.05070102214813232421875f)},
                InQat::kBecomesRelu6);
  AddActivation("Softplus", {});
  AddActivation("Softsign", {});
  AddActivation("Mish", {}, InQat::kBecomesRelu6);
  AddActivation("Swish", {Float("alpha", 1.0f)}, InQat::kBecomesRelu6);
  AddActivation("Gelu", {String("approximate", "none")}, InQat::kBecomesRelu6);
  AddSoftmax("Softmax");
  AddSoftmax("LogSoftmax");
}

}  // namespace octet::ops
