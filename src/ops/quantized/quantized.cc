// Definitions of the lowered operators.
#include "ops/quantized/quantized.h"

#include <cmath>

#include "base/error.h"
#include "ops/quantized/epilogue.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

using ir::InputRole;

void RequireCodes(const Node& node, const Inputs& inputs, size_t i) {
  OCTET_REQUIRE(DTypeAt(node, inputs, i) == DType::kS8, "{}: input {} is {}: expected codes (s8)", Label(node), i,
                Describe(inputs[i]));
}

void RequireScale(const Node& node, const char* key) {
  const float scale = node.attr_float(key, 0);
  OCTET_REQUIRE(scale > 0, "{}: attribute {} is {}, expected a scale above 0", Label(node), key, scale);
}

void RequireF32Vector(const Node& node, const Inputs& inputs, size_t i, const char* what, int64_t size) {
  OCTET_REQUIRE(DTypeAt(node, inputs, i) == DType::kF32, "{}: {} {}: expected f32[{}]", Label(node), what,
                Describe(inputs[i]), size);
  RequireVector(node, inputs, i, what, size);
}

// A size, a dynamic size and the same size agree.
bool SameShape(const Shape& a, const Shape& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i) same = a[i] == b[i] || a[i] < 0 || b[i] < 0;
  return same;
}

Types InferQuantize(const Node& node, const Inputs& inputs) {
  OCTET_REQUIRE(DTypeAt(node, inputs, 0) == DType::kF32, "{}: data {}: expected element type f32", Label(node),
                Describe(inputs[0]));
  RequireScale(node, "scale");
  return One(DType::kS8, ShapeAt(node, inputs, 0));
}

Types InferDequantize(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireScale(node, "scale");
  return One(DType::kF32, ShapeAt(node, inputs, 0));
}

Types InferConv(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireCodes(node, inputs, 1);
  RequireRank(node, inputs, 0, 3, 5);
  RequireRank(node, inputs, 1, 3, 5);
  const Shape& x = inputs[0]->type.shape;
  const Shape& w = inputs[1]->type.shape;
  const int64_t group = node.attr_int("group", 1);
  OCTET_REQUIRE(
      Known(w) && group >= 1 && w[0] % group == 0 && x.size() == w.size() && (x[1] < 0 || x[1] == w[1] * group),
      "{}: data {}, weight {} and group {} do not fit", Label(node), Describe(inputs[0]), Describe(inputs[1]), group);
  // |sum| <= depth * 128 * 127 must stay inside int32.
  const int64_t depth = Product(w, 1, w.size());
  OCTET_REQUIRE(depth <= INT32_MAX / (128 * 127), "{}: {} products a sum could overflow int32", Label(node), depth);
  RequireF32Vector(node, inputs, 2, "multipliers", w[0]);
  if (Has(inputs, 3)) RequireF32Vector(node, inputs, 3, "bias", w[0]);
  Shape out = {x[0], w[0]};
  const Window window = ResolveWindow(node, Spatial(x), Spatial(w));
  out.insert(out.end(), window.out.begin(), window.out.end());
  if (Has(inputs, 4)) {
    RequireCodes(node, inputs, 4);
    RequireScale(node, "residual_scale");
    OCTET_REQUIRE(SameShape(inputs[4]->type.shape, out), "{}: residual {}: expected {}", Label(node),
                  Describe(inputs[4]), octet::ToString(out));
  }
  return One(Epilogue::Of(node).dtype(), out);
}

Shape PooledShape(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireRank(node, inputs, 0, 3, 5);
  const Shape& x = inputs[0]->type.shape;
  Shape out = {x[0], x[1]};
  const Window window = ResolveWindow(node, Spatial(x), node.attr_ints("kernel_shape", {}));
  out.insert(out.end(), window.out.begin(), window.out.end());
  return out;
}

Types InferMaxPool(const Node& node, const Inputs& inputs) {
  return One(DType::kS8, PooledShape(node, inputs));
}

Types InferAveragePool(const Node& node, const Inputs& inputs) {
  RequireScale(node, "x_scale");
  return One(Epilogue::Of(node).dtype(), PooledShape(node, inputs));
}

Types InferGlobalAveragePool(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireRank(node, inputs, 0, 2, 5);
  RequireScale(node, "x_scale");
  Shape out = inputs[0]->type.shape;
  for (size_t i = 2; i < out.size(); ++i) out[i] = 1;
  return One(Epilogue::Of(node).dtype(), out);
}

// The second operand has the first one's shape, or is one number for each channel.
Types InferMul(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireCodes(node, inputs, 1);
  RequireScale(node, "a_scale");
  RequireScale(node, "b_scale");
  const Shape& a = inputs[0]->type.shape;
  const Shape& b = inputs[1]->type.shape;
  Shape gate = a;
  for (size_t i = 2; i < gate.size(); ++i) gate[i] = 1;
  OCTET_REQUIRE(SameShape(a, b) || SameShape(gate, b),
                "{}: {} and {}: expected equal shapes, or 1 for the second's spatial sizes", Label(node),
                Describe(inputs[0]), Describe(inputs[1]));
  return One(Epilogue::Of(node).dtype(), a);
}

Types InferSum(const Node& node, const Inputs& inputs) {
  const std::vector<float> scales = node.attr_floats("scales", {});
  OCTET_REQUIRE(scales.size() == inputs.size(), "{}: {} scales for {} inputs", Label(node), scales.size(),
                inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    RequireCodes(node, inputs, i);
    OCTET_REQUIRE(std::isfinite(scales[i]), "{}: scale {} is {}", Label(node), i, scales[i]);
    OCTET_REQUIRE(SameShape(inputs[0]->type.shape, inputs[i]->type.shape), "{}: {} and {}: expected equal shapes",
                  Label(node), Describe(inputs[0]), Describe(inputs[i]));
  }
  return One(Epilogue::Of(node).dtype(), inputs[0]->type.shape);
}

Types InferLut(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireCodes(node, inputs, 1);
  RequireVector(node, inputs, 1, "table", 256);
  return One(DType::kS8, ShapeAt(node, inputs, 0));
}

Types InferAdd(const Node& node, const Inputs& inputs) {
  RequireCodes(node, inputs, 0);
  RequireCodes(node, inputs, 1);
  RequireScale(node, "a_scale");
  RequireScale(node, "b_scale");
  const Shape& a = inputs[0]->type.shape;
  const Shape& b = inputs[1]->type.shape;
  OCTET_REQUIRE(SameShape(a, b), "{}: {} and {}: expected equal shapes", Label(node), Describe(inputs[0]),
                Describe(inputs[1]));
  return One(Epilogue::Of(node).dtype(), BroadcastShape(node, a, b));
}

void AddEpilogueAttrs(OpDef* def) {
  def->attrs.push_back(String("act", "none"));
  def->attrs.push_back(Float("act_min", 0));
  def->attrs.push_back(Float("act_max", 0));
  def->attrs.push_back(Float("act_alpha", 0));
  def->attrs.push_back(Float("act_beta", 0));
  def->attrs.push_back(Float("y_scale", 0));
}

OpDef Def(const char* name, decltype(OpDef::infer) infer, decltype(OpDef::reference) reference) {
  OpDef def;
  def.name = name;
  def.infer = std::move(infer);
  def.reference = std::move(reference);
  return def;
}

}  // namespace

const char* NameOf(quant::ActivationKind kind) {
  constexpr const char* kNames[] = {"none", "clip", "leaky_relu", "sigmoid", "hard_sigmoid", "hard_swish", "swish"};
  return kNames[static_cast<int>(kind)];
}

Epilogue Epilogue::Of(const ir::Node& node) {
  using Kind = quant::ActivationKind;
  Epilogue e;
  const std::string act = node.attr_string("act", "none");
  bool known = false;
  for (const Kind kind : {Kind::kNone, Kind::kClip, Kind::kLeakyRelu, Kind::kSigmoid, Kind::kHardSigmoid,
                          Kind::kHardSwish, Kind::kSwish}) {
    if (act != NameOf(kind)) continue;
    e.activation.kind = kind;
    known = true;
  }
  OCTET_REQUIRE(
      known, "{}: attribute act is '{}', expected none, clip, leaky_relu, sigmoid, hard_sigmoid, hard_swish or swish",
      Label(node), act);
  if (e.activation.kind == Kind::kClip) {
    e.activation.alpha = node.attr_float("act_min", 0);
    e.activation.beta = node.attr_float("act_max", 0);
    OCTET_REQUIRE(e.activation.alpha <= e.activation.beta, "{}: act_min {} is above act_max {}", Label(node),
                  e.activation.alpha, e.activation.beta);
  } else {
    e.activation.alpha = node.attr_float("act_alpha", 0);
    e.activation.beta = node.attr_float("act_beta", 0);
  }
  e.y_scale = node.attr_float("y_scale", 0);
  OCTET_REQUIRE(e.y_scale >= 0, "{}: attribute y_scale is {}, expected 0 or a scale above 0", Label(node), e.y_scale);
  return e;
}

void InstallQuantized() {
  OpDef quantize = Def("QQuantize", InferQuantize, QQuantizeReference);
  quantize.attrs = {Required(Float("scale", 0))};
  ir::RegisterOp(quantize);

  OpDef dequantize = Def("QDequantize", InferDequantize, QDequantizeReference);
  dequantize.attrs = {Required(Float("scale", 0))};
  ir::RegisterOp(dequantize);

  OpDef conv = Def("QConv", InferConv, QConvReference);
  conv.min_inputs = 3;
  conv.max_inputs = 5;
  conv.roles = {InputRole::kData, InputRole::kWeight, InputRole::kParam, InputRole::kParam, InputRole::kData};
  conv.attrs = {Ints("strides"), Ints("pads"), Ints("dilations"), Int("group", 1), Float("residual_scale", 0)};
  AddEpilogueAttrs(&conv);
  ir::RegisterOp(conv);

  OpDef max_pool = Def("QMaxPool", InferMaxPool, QMaxPoolReference);
  max_pool.attrs = {Required(Ints("kernel_shape")), Ints("strides"), Ints("pads")};
  ir::RegisterOp(max_pool);

  OpDef average_pool = Def("QAveragePool", InferAveragePool, QAveragePoolReference);
  average_pool.attrs = {Required(Ints("kernel_shape")), Ints("strides"),    Ints("pads"), Int("count_include_pad", 0),
                        Required(Float("x_scale", 0)),  Float("y_scale", 0)};
  ir::RegisterOp(average_pool);

  OpDef global = Def("QGlobalAveragePool", InferGlobalAveragePool, QGlobalAveragePoolReference);
  global.attrs = {Required(Float("x_scale", 0)), Float("y_scale", 0)};
  ir::RegisterOp(global);

  OpDef add = Def("QAdd", InferAdd, QAddReference);
  add.min_inputs = add.max_inputs = 2;
  add.attrs = {Required(Float("a_scale", 0)), Required(Float("b_scale", 0))};
  AddEpilogueAttrs(&add);
  ir::RegisterOp(add);

  OpDef mul = Def("QMul", InferMul, QMulReference);
  mul.min_inputs = mul.max_inputs = 2;
  mul.attrs = {Required(Float("a_scale", 0)), Required(Float("b_scale", 0))};
  AddEpilogueAttrs(&mul);
  ir::RegisterOp(mul);

  OpDef sum = Def("QSum", InferSum, QSumReference);
  sum.min_inputs = 2;
  sum.max_inputs = 8;
  sum.attrs = {Required(Floats("scales"))};
  AddEpilogueAttrs(&sum);
  ir::RegisterOp(sum);

  OpDef lut = Def("QLut", InferLut, QLutReference);
  lut.min_inputs = lut.max_inputs = 2;
  lut.roles = {InputRole::kData, InputRole::kConst};
  ir::RegisterOp(lut);
}

}  // namespace octet::ops
