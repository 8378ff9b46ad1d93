// Convolution and matrix products.
#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

std::vector<int64_t> KernelShape(const at::Tensor& weight) {
  return {weight.sizes().begin() + 2, weight.sizes().end()};
}

std::vector<at::Tensor> Conv(OpCall& call) {
  at::Tensor x = ChannelsLast(call.input(0));
  const at::Tensor weight = ChannelsLast(call.input(1));
  Window w = ReadWindow(call, x, KernelShape(weight));
  if (!w.symmetric()) {
    x = PadSpatial(x, w, 0);
    w.begin.assign(w.begin.size(), 0);
  }
  const at::Tensor bias = call.has(2) ? call.inputs[2] : at::Tensor();
  return {at::convolution(x, weight, bias, w.strides, w.begin, w.dilations, /*transposed=*/false,
                          std::vector<int64_t>(w.begin.size(), 0), call.Int("group", 1))};
}

std::vector<at::Tensor> ConvTranspose(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  const at::Tensor& weight = call.input(1);
  Window w = ReadWindow(call, x, KernelShape(weight));
  const size_t spatial = w.kernel.size();
  std::vector<int64_t> extra = call.IntList("output_padding", std::vector<int64_t>(spatial, 0));
  const std::vector<int64_t> wanted = call.IntList("output_shape", {});
  const std::string auto_pad = call.String("auto_pad", "NOTSET");
  if (!wanted.empty() || auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    for (size_t i = 0; i < spatial; ++i) {
      const int64_t out = wanted.empty() ? x.size(i + 2) * w.strides[i] : wanted[wanted.size() - spatial + i];
      const int64_t total =
          w.strides[i] * (x.size(i + 2) - 1) + extra[i] + (w.kernel[i] - 1) * w.dilations[i] + 1 - out;
      w.begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
    }
  }
  const at::Tensor bias = call.has(2) ? call.inputs[2] : at::Tensor();
  // All of the output, then cut the pads off: handles asymmetric and negative ones alike.
  at::Tensor y = at::convolution(x, weight, bias, w.strides, std::vector<int64_t>(spatial, 0), w.dilations,
                                 /*transposed=*/true, std::vector<int64_t>(spatial, 0), call.Int("group", 1));
  std::vector<int64_t> pads;
  for (size_t i = spatial; i-- > 0;) {
    pads.push_back(-w.begin[i]);
    pads.push_back(extra[i] - w.end[i]);
  }
  y = at::constant_pad_nd(y, pads, 0);
  if (bias.defined()) {
    // Positions made by padding hold the bias, not zero.
    bool grown = false;
    for (const int64_t p : pads) grown = grown || p > 0;
    if (grown) {
      y = at::convolution(x, weight, {}, w.strides, std::vector<int64_t>(spatial, 0), w.dilations, true,
                          std::vector<int64_t>(spatial, 0), call.Int("group", 1));
      std::vector<int64_t> shape(spatial + 2, 1);
      shape[1] = bias.size(0);
      y = at::constant_pad_nd(y, pads, 0) + bias.reshape(shape);
    }
  }
  return {y};
}

std::vector<at::Tensor> Gemm(OpCall& call) {
  at::Tensor a = call.input(0);
  at::Tensor b = call.input(1);
  if (call.Int("transA", 0) != 0) a = a.t();
  const bool transposed = call.Int("transB", 0) != 0;
  const double alpha = call.Float("alpha", 1.0f);
  const double beta = call.Float("beta", 1.0f);
  at::Tensor y = at::mm(a, transposed ? b.t() : b);
  if (alpha != 1.0) y = y * alpha;
  if (call.has(2)) y = beta == 1.0 ? y + call.inputs[2] : y + call.inputs[2] * beta;
  return {y};
}

std::vector<at::Tensor> MatMul(OpCall& call) {
  return {at::matmul(call.input(0), call.input(1))};
}

}  // namespace

std::vector<NamedKernel> ConvKernels() {
  return {{"Conv", Conv}, {"ConvTranspose", ConvTranspose}, {"Gemm", Gemm}, {"MatMul", MatMul}};
}

}  // namespace octet::train
