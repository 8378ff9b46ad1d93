// The lowered operators of the INT8 engine, made only by passes/lower_for_engine: QQuantize, QDequantize, QConv,
// QMaxPool, QAveragePool, QGlobalAveragePool, QAdd. Codes are s8, layout NCHW. These scalar kernels are the oracle:
// every executor gives the same integers (docs/numerics.md). Every fp32 operation is rounded on its own; no fused
// multiply-add.
//
//   QQuantize(x f32) {scale} -> s8                       QDequantize(x s8) {scale} -> f32
//   QConv(x s8, w s8 OIHW, m f32[K], bias f32[K] or absent, residual s8 or absent)
//     {strides, pads, dilations, group, residual_scale, act, act_min, act_max, y_scale} -> s8, or f32 when y_scale is 0
//   QMaxPool(x s8) {kernel_shape, strides, pads} -> s8, same scale; padding never wins
//   QAveragePool(x s8) {kernel_shape, strides, pads, count_include_pad, x_scale, y_scale} -> s8, or f32 when y_scale is
//   0 QGlobalAveragePool(x s8) {x_scale, y_scale} -> s8, or f32 when y_scale is 0 QAdd(a s8, b s8) {a_scale, b_scale,
//   act, ..., y_scale} -> s8, or f32 when y_scale is 0 QMul(a s8 [N,C,...], b s8 of a's shape or [N,C,1,...]) {a_scale,
//   b_scale, act, ..., y_scale} -> s8, or f32: a gate QSum(x0 s8, x1 s8, ...) {scales, act, ..., y_scale} -> s8, or
//   f32: a weighted sum, from left to right QLut(x s8, table s8[256]) -> s8: table[code + 128], any function of one
//   code, scales included
// act and its parameters: epilogue.h.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallQuantized();

Tensors QQuantizeReference(const Node& node, const Tensors& inputs);
Tensors QDequantizeReference(const Node& node, const Tensors& inputs);
Tensors QConvReference(const Node& node, const Tensors& inputs);
Tensors QMaxPoolReference(const Node& node, const Tensors& inputs);
Tensors QAveragePoolReference(const Node& node, const Tensors& inputs);
Tensors QGlobalAveragePoolReference(const Node& node, const Tensors& inputs);
Tensors QAddReference(const Node& node, const Tensors& inputs);
Tensors QMulReference(const Node& node, const Tensors& inputs);
Tensors QSumReference(const Node& node, const Tensors& inputs);
Tensors QLutReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
