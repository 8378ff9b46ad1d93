// QuantizeLinear and DequantizeLinear one at a time (codes are visible). The pair as one step: graph_module.cc.
#include "quant/quantize.h"
#include "train/kernels/fake_quantize.h"
#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

// Scales as [K] or scalar, f32, on the device.
at::Tensor Scale(const OpCall& call) {
  return call.input(1);
}

std::vector<at::Tensor> QuantizeLinear(OpCall& call) {
  const CodeRange range = RangeOf(call.node);
  return {QuantizeToCodes(call.input(0), Scale(call), call.Int("axis", 1), range)};
}

std::vector<at::Tensor> DequantizeLinear(OpCall& call) {
  const at::Tensor& codes = call.input(0);
  at::Tensor scale = Scale(call);
  if (scale.numel() == 1) return {codes * scale.reshape({})};
  int64_t axis = call.Int("axis", 1);
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
