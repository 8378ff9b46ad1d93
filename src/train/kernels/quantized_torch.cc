// The lowered INT8 operators on float-held codes, bit for bit as docs/numerics.md: every float operation is rounded
// separately, divisions are true divisions. Evaluation only.
#include "ops/quantized/epilogue.h"
#include "train/kernels/op_call.h"
#include "train/kernels/parallel.h"

namespace octet::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// A one-element tensor as divisor or factor: no kernel may replace it by its reciprocal.
at::Tensor Exact(double value, const at::Tensor& like) {
  return at::full({}, static_cast<float>(value), like.options().dtype(at::kFloat));
}

at::Tensor ToCodes(const at::Tensor& y, double scale) {
  return at::div(y, Exact(scale, y)).round_().clamp_(-128, 127);
}

// The scalar function of quant/activation.h on each element: LibTorch's own sigmoid rounds otherwise.
at::Tensor Apply(const quant::Activation& activation, const at::Tensor& y) {
  at::Tensor out = y.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  if (!out.is_non_overlapping_and_dense()) out = out.contiguous();
  float* data = out.data_ptr<float>();
  ForEachPiece(out.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) data[i] = activation(data[i]);
  });
  return out.to(y.device());
}

at::Tensor Epilogue(OpCall& call, at::Tensor y) {
  const quant::Activation activation = ops::Epilogue::Of(call.node).activation;
  if (activation.kind == quant::ActivationKind::kClip) {
    y = y.clamp(activation.alpha, activation.beta);
  } else if (activation.kind != quant::ActivationKind::kNone) {
    y = Apply(activation, y);
  }
  const double y_scale = call.Float("y_scale", 0.0f);
  return y_scale == 0 ? y : ToCodes(y, y_scale);
}

Tensors QQuantize(OpCall& call) {
  return {ToCodes(call.input(0), call.Float("scale", 1.0f))};
}

Tensors QDequantize(OpCall& call) {
  return {at::mul(call.input(0), Exact(call.Float("scale", 1.0f), call.input(0)))};
}

// The integer convolution in floats. A float sum of integers is exact below 2^24, whatever its order; input channels
// are split until that holds, and the parts are added in double. The result is the int32 sum rounded to float once.
at::Tensor IntegerConv(const at::Tensor& x, const at::Tensor& w, const Window& window, int64_t group) {
  constexpr double kExactBelow = 16777216.0;
  const double bound = w.numel() == 0 ? 0.0 : 128.0 * w.abs().to(at::kDouble).sum({1, 2, 3}).max().item<double>();
  const auto conv = [&](const at::Tensor& a, const at::Tensor& b) {
    return at::convolution(a, b, {}, window.strides, window.begin, window.dilations, false, {0, 0}, group);
  };
  // Elsewhere than on the CPU an algorithm may transform its operands (Winograd, FFT): its error in double is far below
  // one half.
  if (!x.device().is_cpu()) return conv(x.to(at::kDouble), w.to(at::kDouble)).round_().to(at::kFloat);
  if (bound < kExactBelow) return conv(x, w);
  if (group != 1) return conv(x.to(at::kDouble), w.to(at::kDouble)).to(at::kFloat);
  const int64_t parts = static_cast<int64_t>(bound / kExactBelow) + 1;
  const int64_t size = (w.size(1) + parts - 1) / parts;
  at::Tensor sum;
  for (int64_t begin = 0; begin < w.size(1); begin += size) {
    const int64_t end = std::min(begin + size, w.size(1));
    const at::Tensor w_part = ChannelsLast(w.slice(1, begin, end));
    const at::Tensor x_part = ChannelsLast(x.slice(1, begin, end));
    const bool exact = 128.0 * w_part.abs().to(at::kDouble).sum({1, 2, 3}).max().item<double>() < kExactBelow;
    const at::Tensor part =
        exact ? conv(x_part, w_part).to(at::kDouble) : conv(x_part.to(at::kDouble), w_part.to(at::kDouble));
    sum = sum.defined() ? sum + part : part;
  }
  return sum.to(at::kFloat);
}

Tensors QConv(OpCall& call) {
  at::Tensor x = ChannelsLast(call.input(0));
  const at::Tensor w = ChannelsLast(call.input(1));
  Window window = ReadWindow(call, x, {w.size(2), w.size(3)});
  if (!window.symmetric()) {
    x = ChannelsLast(PadSpatial(x, window, 0));
    window.begin = {0, 0};
  }
  at::Tensor y = IntegerConv(x, w, window, call.Int("group", 1));
  y.mul_(call.input(2).reshape({1, -1, 1, 1}));
  if (call.has(3)) y.add_(call.inputs[3].reshape({1, -1, 1, 1}));
  if (call.has(4)) y.add_(at::mul(call.inputs[4], Exact(call.Float("residual_scale", 0.0f), y)));
  return {Epilogue(call, y)};
}

Tensors QAdd(OpCall& call) {
  const at::Tensor& a = call.input(0);
  const at::Tensor y = at::mul(a, Exact(call.Float("a_scale", 1.0f), a));
  return {Epilogue(call, y.add(at::mul(call.input(1), Exact(call.Float("b_scale", 1.0f), a))))};
}

Tensors QMul(OpCall& call) {
  const at::Tensor& a = call.input(0);
  const at::Tensor gate = at::mul(call.input(1), Exact(call.Float("b_scale", 1.0f), a));
  return {Epilogue(call, at::mul(a, Exact(call.Float("a_scale", 1.0f), a)).mul_(gate))};
}

Tensors QSum(OpCall& call) {
  const std::vector<float> scales = call.node.attr_floats("scales", {});
  at::Tensor sum = at::mul(call.input(0), Exact(scales.at(0), call.input(0)));
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    sum = sum.add(at::mul(call.input(i), Exact(scales.at(i), sum)));
  }
  return {Epilogue(call, sum)};
}

Tensors QLut(OpCall& call) {
  const at::Tensor index = call.input(0).to(at::kLong).add_(128);
  return {call.input(1).index({index})};
}

Tensors QMaxPool(OpCall& call) {
  at::Tensor x = ChannelsLast(call.input(0));
  const Window window = ReadWindow(call, x, call.IntList("kernel_shape", {}));
  x = PadSpatial(x, window, -std::numeric_limits<float>::infinity());
  return {at::max_pool2d(x, window.kernel, window.strides, {0, 0}, window.dilations, call.Int("ceil_mode", 0) != 0)};
}

// y = float(sum of codes) * fl(x_scale / count)
Tensors QAveragePool(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  const Window window = ReadWindow(call, x, call.IntList("kernel_shape", {}));
  const bool ceil_mode = call.Int("ceil_mode", 0) != 0;
  const auto window_sum = [&](const at::Tensor& t, double pad) {
    return at::avg_pool2d(PadSpatial(t, window, pad), window.kernel, window.strides, {0, 0}, ceil_mode, true, 1);
  };
  const at::Tensor sum = window_sum(x, 0);
  const at::Tensor ones = at::ones({1, 1, x.size(2), x.size(3)}, x.options());
  const at::Tensor count = window_sum(ones, call.Int("count_include_pad", 0) != 0 ? 1 : 0);
  return {Epilogue(call, at::mul(sum, at::div(Exact(call.Float("x_scale", 1.0f), x), count)))};
}

Tensors QGlobalAveragePool(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  const at::Tensor count = Exact(static_cast<double>(x.size(2) * x.size(3)), x);
  const at::Tensor factor = at::div(Exact(call.Float("x_scale", 1.0f), x), count);
  return {Epilogue(call, at::mul(at::sum(x, {2, 3}, /*keepdim=*/true), factor))};
}

}  // namespace

std::vector<NamedKernel> QuantizedKernels() {
  return {{"QQuantize", QQuantize},
          {"QDequantize", QDequantize},
          {"QConv", QConv},
          {"QAdd", QAdd},
          {"QMul", QMul},
          {"QSum", QSum},
          {"QLut", QLut},
          {"QMaxPool", QMaxPool},
          {"QAveragePool", QAveragePool},
          {"QGlobalAveragePool", QGlobalAveragePool}};
}

}  // namespace octet::train
