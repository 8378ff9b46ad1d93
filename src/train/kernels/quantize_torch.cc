// QuantizeLinear and DequantizeLinear one at a time (codes are visible). The pair as one step: graph_module.cc.
#include "quant/quantize.h"
#include "train/kernels/fake_quantize.h"
#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

// Zero point for broadcasting against codes; undefined when it is zero everywhere.
at::Tensor ZeroPoint(const OpCall& call, int64_t rank, int64_t axis) {
  const ir::ValueId id = call.node.input(2);
  if (id == ir::kNoValue) return {};
  const std::vector<double> values =
      call.graph.value(id).is_constant() ? call.graph.value(id).constant.ToVector<double>() : std::vector<double>{1};
  if (std::all_of(values.begin(), values.end(), [](double v) { return v == 0; })) return {};
  const at::Tensor zero = call.input(2).to(at::kFloat);
  if (zero.numel() == 1) return zero.reshape({});
  std::vector<int64_t> shape(rank, 1);
  shape[axis < 0 ? axis + rank : axis] = zero.numel();
  return zero.reshape(shape);
}

std::vector<at::Tensor> QuantizeLinear(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t axis = call.Int("axis", 1);
  CodeRange range = RangeOf(call.node);
  const ir::ValueId id = call.node.input(2);
  if (id == ir::kNoValue || call.graph.value(id).type.dtype == DType::kU8) range = {0, 255};
  const at::Tensor zero = ZeroPoint(call, x.dim(), axis);
  if (!zero.defined()) return {QuantizeToCodes(x, call.input(1), axis, range)};
  // rne(x / s) + z stays an integer, so the clamp may come last.
  constexpr float kUnbounded = 4194304.0f;
  const at::Tensor codes = QuantizeToCodes(x, call.input(1), axis, {-kUnbounded, kUnbounded});
  return {(codes + zero).clamp(range.low, range.high)};
}

std::vector<at::Tensor> DequantizeLinear(OpCall& call) {
  at::Tensor codes = call.input(0).to(at::kFloat);
  int64_t axis = call.Int("axis", 1);
  const at::Tensor zero = ZeroPoint(call, codes.dim(), axis);
  if (zero.defined()) codes = codes - zero;
  const at::Tensor scale = call.input(1);
  if (scale.numel() == 1) return {codes * scale.reshape({})};
  if (axis < 0) axis += codes.dim();
  std::vector<int64_t> shape(codes.dim(), 1);
  shape[axis] = scale.numel();
  return {codes * scale.reshape(shape)};
}

}  // namespace

CodeRange RangeOf(const ir::Node& node) {
  return node.attr_string("observer", "") == "max_abs" ? CodeRange{-127, 127} : CodeRange{-128, 127};
}

std::vector<NamedKernel> QuantizeKernels() {
  return {{"QuantizeLinear", QuantizeLinear}, {"DequantizeLinear", DequantizeLinear}};
}

}  // namespace octet::train
