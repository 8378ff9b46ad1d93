// Definitions of the normalizations.
#include "ops/norm/norm.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

Types InferBatchNormalization(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 1);
  RequireFloat(node, inputs, 0);
  const TensorType& x = inputs[0]->type;
  const int64_t channels = x.shape.size() > 1 ? x.shape[1] : 1;
  static const char* const kNames[] = {"", "scale", "bias", "mean", "variance"};
  for (size_t i = 1; i < 5; ++i) RequireVector(node, inputs, i, kNames[i], channels);
  Types types = {x};
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    OCTET_REQUIRE(node.attr_int("training_mode", 0) != 0, "{}: {} outputs, but without training_mode it has one",
                  Label(node), node.outputs.size());
    types.push_back(inputs[i + 2]->type);
  }
  return types;
}

Types InferInstanceNormalization(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 3);
  RequireFloat(node, inputs, 0);
  RequireVector(node, inputs, 1, "scale", inputs[0]->type.shape[1]);
  RequireVector(node, inputs, 2, "bias", inputs[0]->type.shape[1]);
  return {inputs[0]->type};
}

Types InferLayerNormalization(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 1);
  RequireFloat(node, inputs, 0);
  const Shape& x = inputs[0]->type.shape;
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", -1), static_cast<int64_t>(x.size())));
  OCTET_REQUIRE(node.outputs.size() == 1, "{}: {} outputs; mean and deviation are not supported", Label(node),
                node.outputs.size());
  for (size_t i = 1; i < 3; ++i) {
    if (!Has(inputs, i)) continue;
    const Shape& s = inputs[i]->type.shape;
    const Shape normalized(x.begin() + static_cast<long>(axis), x.end());
    OCTET_REQUIRE(s == normalized, "{}: {} {}: expected {}", Label(node), i == 1 ? "scale" : "bias",
                  Describe(inputs[i]), octet::ToString(normalized));
  }
  return {inputs[0]->type};
}

Types InferLrn(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 2);
  OCTET_REQUIRE(node.attr_int("size", 0) >= 1, "{}: attribute size is {}, expected at least 1", Label(node),
                node.attr_int("size", 0));
  return SameAsFirstFloat(node, inputs);
}

}  // namespace

void InstallNorm() {
  OpDef bn;
  bn.name = "BatchNormalization";
  bn.min_inputs = bn.max_inputs = 5;
  bn.max_outputs = 3;
  bn.roles = {InputRole::kData, InputRole::kParam, InputRole::kParam, InputRole::kBuffer, InputRole::kBuffer};
  bn.attrs = {Float("epsilon", 1e-5f), Float("momentum", 0.9f), Int("training_mode", 0)};
  bn.quant.region = ir::RegionRole::kScaleShift;
  bn.prune.flow = Always(ir::ChannelFlow::kThrough);
  bn.infer = InferBatchNormalization;
  bn.reference = BatchNormalizationReference;
  ir::RegisterOp(bn);

  OpDef in;
  in.name = "InstanceNormalization";
  in.min_inputs = in.max_inputs = 3;
  in.roles = {InputRole::kData, InputRole::kParam, InputRole::kParam};
  in.attrs = {Float("epsilon", 1e-5f)};
  in.prune.flow = Always(ir::ChannelFlow::kThrough);
  in.infer = InferInstanceNormalization;
  in.reference = InstanceNormalizationReference;
  ir::RegisterOp(in);

  OpDef layer;
  layer.name = "LayerNormalization";
  layer.min_inputs = 2;
  layer.max_inputs = 3;
  layer.roles = {InputRole::kData, InputRole::kParam, InputRole::kParam};
  layer.attrs = {Int("axis", -1), Float("epsilon", 1e-5f), Int("stash_type", 1)};
  layer.infer = InferLayerNormalization;
  layer.reference = LayerNormalizationReference;
  ir::RegisterOp(layer);

  OpDef lrn;
  lrn.name = "LRN";
  lrn.attrs = {Float("alpha", 1e-4f), Float("beta", 0.75f), Float("bias", 1.0f), Required(Int("size", 1))};
  lrn.infer = InferLrn;
  lrn.reference = LrnReference;
  ir::RegisterOp(lrn);
}

}  // namespace octet::ops
