// Convolution and matrix products.
#include "train/kernels/conv_dnnl.h"
#include "train/kernels/op_call.h"
#include "train/step_profile.h"

namespace octet::train {
namespace {

std::vector<int64_t> KernelShape(const at::Tensor& weight) {
  return {weight.sizes().begin() + 2, weight.sizes().end()};
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

ConvShape ShapeOf(const at::Tensor& x, const at::Tensor& weight, const Window& w, int64_t group) {
  ConvShape s;
  s.batch = x.size(0);
  s.in_channels = x.size(1);
  s.out_channels = weight.size(0);
  s.group = group;
  for (size_t i = 0; i < 2; ++i) {
    s.in[i] = x.size(static_cast<int64_t>(i) + 2);
    s.kernel[i] = w.kernel[i];
    s.strides[i] = w.strides[i];
    s.dilations[i] = w.dilations[i];
    s.pad_begin[i] = w.begin[i];
    const int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;
    s.out[i] = (s.in[i] + w.begin[i] + w.end[i] - reach) / w.strides[i] + 1;
    // Only what the last window reads: oneDNN wants the padding to fit exactly.
    s.pad_end[i] = (s.out[i] - 1) * w.strides[i] + reach - s.in[i] - w.begin[i];
  }
  return s;
}

at::Tensor EmptyChannelsLast(std::vector<int64_t> sizes, const at::Tensor& like) {
  return at::empty(sizes, like.options(), at::MemoryFormat::ChannelsLast);
}

// Strides of dimensions of size 1 are free in LibTorch; these kernels read dense NHWC memory.
at::Tensor DenseNhwc(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

struct DnnlConv : torch::autograd::Function<DnnlConv> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const ConvShape& shape) {
    const StepProfile::Scope profile(shape.group > 1 ? "depthwise forward" : "conv forward");
    at::Tensor y = EmptyChannelsLast({shape.batch, shape.out_channels, shape.out[0], shape.out[1]}, x);
    const at::Tensor b = bias.numel() != 0 ? bias.contiguous() : at::Tensor();
    ConvForward(shape, x.data_ptr<float>(), weight.data_ptr<float>(), b.defined() ? b.data_ptr<float>() : nullptr,
                y.data_ptr<float>());
    context->save_for_backward({x, weight});
    context->saved_data["needs"] =
        std::vector<int64_t>{x.requires_grad(), weight.requires_grad(), bias.requires_grad()};
    context->saved_data["shape"] =
        std::vector<int64_t>(reinterpret_cast<const int64_t*>(&shape), reinterpret_cast<const int64_t*>(&shape + 1));
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> needs = context->saved_data["needs"].toIntVector();
    const std::vector<int64_t> words = context->saved_data["shape"].toIntVector();
    ConvShape shape;
    static_assert(std::is_trivially_copyable<ConvShape>::value && sizeof(ConvShape) % sizeof(int64_t) == 0, "");
    std::memcpy(static_cast<void*>(&shape), words.data(), sizeof(shape));
    const at::Tensor dy = DenseNhwc(grads[0]);
    at::Tensor dx, dw, db;
    if (needs[0] != 0) {
      const StepProfile::Scope profile(shape.group > 1 ? "depthwise backward" : "data gradient");
      dx = EmptyChannelsLast({shape.batch, shape.in_channels, shape.in[0], shape.in[1]}, dy);
      ConvBackwardData(shape, dy.data_ptr<float>(), saved[1].data_ptr<float>(), dx.data_ptr<float>());
    }
    if (needs[1] != 0 || needs[2] != 0) {
      const StepProfile::Scope profile(shape.group > 1 ? "depthwise backward" : "weight gradient");
      dw = at::empty_like(saved[1]);
      if (needs[2] != 0) db = at::empty({shape.out_channels}, dy.options());
      ConvBackwardWeight(shape, saved[0].data_ptr<float>(), dy.data_ptr<float>(), dw.data_ptr<float>(),
                         db.defined() ? db.data_ptr<float>() : nullptr);
    }
    return {dx, dw, db, at::Tensor()};
  }
};

// Mixed precision: products of bfloat16 operands, summed and kept in f32 outside of the product.
at::Tensor Operand(const OpCall& call, const at::Tensor& x) {
  return call.bf16 && x.scalar_type() == at::kFloat ? x.to(at::kBFloat16) : x;
}

at::Tensor Result(const OpCall& call, const at::Tensor& y) {
  return call.bf16 ? y.to(at::kFloat) : y;
}

std::vector<at::Tensor> Bf16Conv(OpCall& call, at::Tensor x, const at::Tensor& weight, Window w) {
  if (!w.symmetric()) {
    x = PadSpatial(x, w, 0);
    w.begin.assign(w.begin.size(), 0);
  }
  at::Tensor y = Result(
      call, at::convolution(Operand(call, x), Operand(call, weight), {}, w.strides, w.begin, w.dilations,
                            /*transposed=*/false, std::vector<int64_t>(w.begin.size(), 0), call.Int("group", 1)));
  if (!call.has(2)) return {y};
  std::vector<int64_t> shape(static_cast<size_t>(y.dim()), 1);
  shape[1] = -1;
  return {y + call.inputs[2].reshape(shape)};
}

std::vector<at::Tensor> Conv(OpCall& call) {
  at::Tensor x = ChannelsLast(call.input(0));
  const at::Tensor weight = ChannelsLast(call.input(1));
  Window w = ReadWindow(call, x, KernelShape(weight));
  if (call.bf16) return Bf16Conv(call, x, weight, w);
  if (x.device().is_cpu() && x.dim() == 4 && x.scalar_type() == at::kFloat && x.numel() > 0) {
    // An autograd function takes no undefined tensor: an empty one stands for no bias.
    const at::Tensor bias = call.has(2) ? call.inputs[2] : at::empty({0}, x.options());
    return {DnnlConv::apply(x, weight, bias, ShapeOf(x, weight, w, call.Int("group", 1)))};
  }
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
  at::Tensor a = Operand(call, call.input(0));
  const at::Tensor b = Operand(call, call.input(1));
  if (call.Int("transA", 0) != 0) a = a.t();
  const bool transposed = call.Int("transB", 0) != 0;
  const double alpha = call.Float("alpha", 1.0f);
  const double beta = call.Float("beta", 1.0f);
  at::Tensor y = Result(call, at::mm(a, transposed ? b.t() : b));
  if (alpha != 1.0) y = y * alpha;
  if (call.has(2)) y = beta == 1.0 ? y + call.inputs[2] : y + call.inputs[2] * beta;
  return {y};
}

std::vector<at::Tensor> MatMul(OpCall& call) {
  return {Result(call, at::matmul(Operand(call, call.input(0)), Operand(call, call.input(1))))};
}

}  // namespace

ConvShape ShapeOfConv(const OpCall& call, const at::Tensor& x, const at::Tensor& weight) {
  return ShapeOf(x, weight, ReadWindow(call, x, KernelShape(weight)), call.Int("group", 1));
}

std::vector<NamedKernel> ConvKernels() {
  return {{"Conv", Conv}, {"ConvTranspose", ConvTranspose}, {"Gemm", Gemm}, {"MatMul", MatMul}};
}

}  // namespace octet::train
