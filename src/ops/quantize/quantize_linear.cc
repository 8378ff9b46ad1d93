// Definitions of QuantizeLinear and DequantizeLinear (ONNX opset 13; 8-bit types, and s32 for DequantizeLinear).
#include "ops/quantize/quantize_linear.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

// Scale and zero point: a scalar (or one element), or a vector as long as `axis` of the data.
void CheckScale(const Node& node, const Inputs& inputs) {
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& scale = ShapeAt(node, inputs, 1);
  OCTET_REQUIRE(DTypeAt(node, inputs, 1) == DType::kF32, "{}: scale {}: expected element type f32", Label(node),
                Describe(inputs[1]));
  OCTET_REQUIRE(scale.size() <= 1,
                "{}: scale {}: expected a scalar or a vector (blocked quantization is not supported)", Label(node),
                Describe(inputs[1]));
  if (NumElements(scale) != 1) {
    const int64_t axis = NormalAxis(node, node.attr_int("axis", 1), static_cast<int64_t>(x.size()));
    OCTET_REQUIRE(x[axis] < 0 || x[axis] == scale[0], "{}: scale {} has {} elements, axis {} of {} has {}", Label(node),
                  Describe(inputs[1]), scale[0], axis, Describe(inputs[0]), x[axis]);
  }
  if (Has(inputs, 2)) {
    OCTET_REQUIRE(NumElements(inputs[2]->type.shape) == NumElements(scale),
                  "{}: zero point {} and scale {} differ in size", Label(node), Describe(inputs[2]),
                  Describe(inputs[1]));
  }
}

Types InferQuantize(const Node& node, const Inputs& inputs) {
  OCTET_REQUIRE(DTypeAt(node, inputs, 0) == DType::kF32 || DTypeAt(node, inputs, 0) == DType::kS32,
                "{}: data {}: expected element type f32", Label(node), Describe(inputs[0]));
  CheckScale(node, inputs);
  const DType type = Has(inputs, 2) ? inputs[2]->type.dtype : DType::kU8;
  OCTET_REQUIRE(type == DType::kS8 || type == DType::kU8, "{}: zero point {}: expected element type s8 or u8",
                Label(node), Describe(inputs[2]));
  return One(type, inputs[0]->type.shape);
}

Types InferDequantize(const Node& node, const Inputs& inputs) {
  const DType type = DTypeAt(node, inputs, 0);
  OCTET_REQUIRE(type == DType::kS8 || type == DType::kU8 || type == DType::kS32,
                "{}: data {}: expected element type s8, u8 or s32", Label(node), Describe(inputs[0]));
  CheckScale(node, inputs);
  OCTET_REQUIRE(!Has(inputs, 2) || inputs[2]->type.dtype == type,
                "{}: zero point {} has another element type than data {}", Label(node), Describe(inputs[2]),
                Describe(inputs[0]));
  return One(DType::kF32, inputs[0]->type.shape);
}

}  // namespace

void InstallQuantize() {
  OpDef quantize;
  quantize.name = "QuantizeLinear";
  quantize.min_inputs = 2;
  quantize.max_inputs = 3;
  quantize.roles = {InputRole::kData, InputRole::kScale, InputRole::kConst};
  quantize.attrs = {Int("axis", 1), Int("saturate", 1), Int("block_size", 0), Int("output_dtype", 0),
                    String("observer")};
  quantize.infer = InferQuantize;
  quantize.reference = QuantizeLinearReference;
  ir::RegisterOp(quantize);

  OpDef dequantize = quantize;
  dequantize.name = "DequantizeLinear";
  dequantize.attrs = {Int("axis", 1), Int("block_size", 0)};
  dequantize.infer = InferDequantize;
  dequantize.reference = DequantizeLinearReference;
  ir::RegisterOp(dequantize);
}

}  // namespace octet::ops
