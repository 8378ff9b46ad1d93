#include "train/kernels/coded_tensor.h"
#include "train/kernels/integer_rows.h"
#include "train/kernels/parallel.h"
#include "train/kernels/pool_codes.h"
#include "train/step_profile.h"

namespace octet::train {

at::Tensor MakeHandle(at::IntArrayRef sizes) {
  at::Tensor t = at::zeros({1}, at::kFloat);
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, std::vector<int64_t>(sizes.size(), 0));
  return t;
}

at::Tensor EmptyNhwc(at::IntArrayRef sizes, at::ScalarType type) {
  return at::empty(sizes, at::TensorOptions().dtype(type), at::MemoryFormat::ChannelsLast);
}

at::Tensor DenseGradient(const at::Tensor& dy) {
  return dy.contiguous(at::MemoryFormat::ChannelsLast);
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct QuantizeFunction : torch::autograd::Function<QuantizeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, float scale, CodeRange range,
                            CodedTensor* y) {
    const StepProfile::Scope profile("floats to codes");
    const bool keep = x.requires_grad();
    y->codes = EmptyNhwc(x.sizes(), at::kChar);
    at::Tensor inside;
    if (keep) inside = EmptyNhwc(x.sizes(), at::kByte);
    const auto* from = x.data_ptr<float>();
    auto* to = y->codes.data_ptr<int8_t>();
    auto* mask = keep ? inside.data_ptr<uint8_t>() : nullptr;
    ForEachPiece(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      QuantizeValues(from + begin, end - begin, scale, range.low, range.high, to + begin,
                     mask != nullptr ? mask + begin : nullptr);
    });
    if (keep) context->save_for_backward({inside});
    y->handle = MakeHandle(x.sizes());
    return y->handle;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const StepProfile::Scope profile("floats to codes backward");
    const at::Tensor inside = context->get_saved_variables()[0];
    return {DenseGradient(grads[0]) * inside, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct DequantizeFunction : torch::autograd::Function<DequantizeFunction> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& handle, const CodedTensor* x) {
    const StepProfile::Scope profile("codes to floats");
    at::Tensor y = EmptyNhwc(handle.sizes(), at::kFloat);
    const auto* from = x->codes.data_ptr<int8_t>();
    auto* to = y.data_ptr<float>();
    ForEachPiece(y.numel(), kGrain,
                 [&](int64_t begin, int64_t end) { DequantizeCodes(from + begin, end - begin, x->scale, to + begin); });
    return y;
  }
  static variable_list backward(AutogradContext*, variable_list grads) { return {grads[0], at::Tensor()}; }
};

PoolShape ShapeOfPool(at::IntArrayRef x, const std::vector<int64_t>& w) {
  return {x[1], x[2], x[3], w[6], w[7], w[0], w[1], w[2], w[3], w[4], w[5]};
}

struct PoolFunction : torch::autograd::Function<PoolFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& handle, const CodedTensor* x,
                            const std::vector<int64_t>* window, CodedTensor* y) {
    const StepProfile::Scope profile("max pool");
    const PoolShape s = ShapeOfPool(handle.sizes(), *window);
    const int64_t batch = handle.size(0);
    const std::vector<int64_t> sizes = {batch, s.channels, s.out_h, s.out_w};
    const int64_t in = s.in_h * s.in_w * s.channels, out = s.out_h * s.out_w * s.channels;
    y->codes = EmptyNhwc(sizes, at::kChar);
    at::Tensor chosen;
    if (handle.requires_grad()) chosen = EmptyNhwc(sizes, at::kByte);
    const auto* from = x->codes.data_ptr<int8_t>();
    auto* to = y->codes.data_ptr<int8_t>();
    auto* which = chosen.defined() ? chosen.data_ptr<uint8_t>() : nullptr;
    ForEachPiece(batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        MaxPoolImage(s, from + n * in, to + n * out, which != nullptr ? which + n * out : nullptr);
      }
    });
    if (chosen.defined()) context->save_for_backward({chosen});
    context->saved_data["window"] = *window;
    context->saved_data["sizes"] = handle.sizes().vec();
    y->handle = MakeHandle(sizes);
    return y->handle;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const StepProfile::Scope profile("max pool");
    const std::vector<int64_t> sizes = context->saved_data["sizes"].toIntVector();
    const PoolShape s = ShapeOfPool(sizes, context->saved_data["window"].toIntVector());
    const at::Tensor chosen = context->get_saved_variables()[0];
    const at::Tensor dy = DenseGradient(grads[0]);
    at::Tensor dx = EmptyNhwc(sizes, at::kFloat);
    const int64_t in = s.in_h * s.in_w * s.channels, out = s.out_h * s.out_w * s.channels;
    const auto* from = dy.data_ptr<float>();
    const auto* which = chosen.data_ptr<uint8_t>();
    auto* to = dx.data_ptr<float>();
    ForEachPiece(sizes[0], 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) MaxPoolGradientImage(s, from + n * out, which + n * out, to + n * in);
    });
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

CodedTensor QuantizeCoded(const at::Tensor& x, float scale, CodeRange range) {
  CodedTensor y;
  const at::Tensor handle = QuantizeFunction::apply(x.contiguous(at::MemoryFormat::ChannelsLast), scale, range, &y);
  y.handle = handle;
  y.scale = scale;
  return y;
}

at::Tensor DequantizeCoded(const CodedTensor& x) {
  return DequantizeFunction::apply(x.handle, &x);
}

CodedTensor MaxPoolCoded(const CodedTensor& x, const PoolWindow& w) {
  CodedTensor y;
  const std::vector<int64_t> words = {w.kernel[0],    w.kernel[1],    w.strides[0], w.strides[1],
                                      w.pad_begin[0], w.pad_begin[1], w.out[0],     w.out[1]};
  const at::Tensor handle = PoolFunction::apply(x.handle, &x, &words, &y);
  y.handle = handle;
  y.scale = x.scale;
  y.non_negative = x.non_negative;
  return y;
}

}  // namespace octet::train
