#include <vector>

#include "train/kernels/fake_quant_cpu.h"
#include "train/kernels/fake_quantize.h"
#include "train/kernels/parallel.h"

namespace octet::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kGrain = 1 << 15;

// Plain memory in some dense order, so that a flat loop covers every element.
bool IsFlat(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_non_overlapping_and_dense();
}

// K slabs of contiguous memory along axis 0.
bool HasSlabs(const at::Tensor& x, int64_t axis) {
  return axis == 0 && IsFlat(x) && x.dim() > 0 && x.size(0) > 0 && x.stride(0) == x.numel() / x.size(0);
}

at::Tensor SameLayout(const at::Tensor& like, const at::Tensor& x) {
  return x.strides() == like.strides() ? x : at::empty_like(like, x.options()).copy_(x);
}

at::Tensor ScaleView(const at::Tensor& scale, int64_t rank, int64_t axis) {
  if (scale.numel() == 1) return scale.reshape({});
  std::vector<int64_t> shape(rank, 1);
  shape[axis] = scale.numel();
  return scale.reshape(shape);
}

struct TensorFunction : Function<TensorFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale, double low,
                            double high, bool keep) {
    at::Tensor y, inside;
    if (IsFlat(x)) {
      const auto s = scale.item<float>(), lo = static_cast<float>(low), hi = static_cast<float>(high);
      y = at::empty_like(x);
      if (keep) inside = at::empty_like(x, x.options().dtype(at::kByte));
      const auto* from = x.data_ptr<float>();
      auto* to = y.data_ptr<float>();
      uint8_t* mask = keep ? inside.data_ptr<uint8_t>() : nullptr;
      ForEachPiece(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        FakeQuantizeRange(from + begin, end - begin, s, lo, hi, to + begin, mask ? mask + begin : nullptr);
      });
    } else {
      const at::Tensor divisor = scale.reshape({});
      const at::Tensor q = (x / divisor).round_();
      if (keep) inside = ((q >= low).logical_and_(q <= high)).to(at::kByte);
      y = q.clamp(low, high).add_(0.0).mul_(divisor);  // -0 becomes +0, as in an integer
    }
    context->save_for_backward({inside});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor inside = context->get_saved_variables()[0];
    at::Tensor dx;
    if (inside.device().is_cpu() && inside.is_non_overlapping_and_dense()) {
      const at::Tensor dy = SameLayout(inside, grads[0]);
      dx = at::empty_like(dy);
      const auto* from = dy.data_ptr<float>();
      auto* to = dx.data_ptr<float>();
      const auto* mask = inside.data_ptr<uint8_t>();
      ForEachPiece(dy.numel(), kGrain,
                   [&](int64_t begin, int64_t end) { MaskRange(from + begin, mask + begin, end - begin, to + begin); });
    } else {
      dx = grads[0] * inside;
    }
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor ChannelsForward(const at::Tensor& x, const at::Tensor& scale, int64_t axis, CodeRange range) {
  if (HasSlabs(x, axis)) {
    at::Tensor y = at::empty_like(x);
    const int64_t slab = x.numel() / x.size(0);
    const at::Tensor scales = scale.contiguous();
    const float* s = scales.data_ptr<float>();
    const auto* from = x.data_ptr<float>();
    auto* to = y.data_ptr<float>();
    ForEachPiece(x.size(0), std::max<int64_t>(1, kGrain / slab), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        FakeQuantizeRange(from + k * slab, slab, s[k], range.low, range.high, to + k * slab, nullptr);
      }
    });
    return y;
  }
  const at::Tensor view = ScaleView(scale, x.dim(), axis);
  return (x / view).round_().clamp_(range.low, range.high).add_(0.0).mul_(view);
}

struct IdentityFunction : Function<IdentityFunction> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& x, const at::Tensor& scale, int64_t axis, double low,
                            double high) {
    return ChannelsForward(x, scale, axis, {static_cast<float>(low), static_cast<float>(high)});
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0], at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct CodesFunction : Function<CodesFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale, int64_t axis,
                            double low, double high) {
    const at::Tensor view = ScaleView(scale, x.dim(), axis);
    const at::Tensor q = (x / view).round_();
    if (x.requires_grad()) context->save_for_backward({(q >= low).logical_and_(q <= high), view});
    return q.clamp(low, high).add_(0.0);  // -0 becomes +0, as in an integer
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    return {grads[0] * saved[0] / saved[1], at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor FakeQuantizeTensor(const at::Tensor& x, const at::Tensor& scale, CodeRange range) {
  const bool keep = at::GradMode::is_enabled() && x.requires_grad();
  return TensorFunction::apply(x, scale, static_cast<double>(range.low), static_cast<double>(range.high), keep);
}

at::Tensor FakeQuantizeChannels(const at::Tensor& x, const at::Tensor& scale, int64_t axis, CodeRange range,
                                bool identity_gradient) {
  const int64_t at_axis = axis < 0 ? axis + x.dim() : axis;
  if (identity_gradient) {
    return IdentityFunction::apply(x, scale, at_axis, static_cast<double>(range.low), static_cast<double>(range.high));
  }
  return QuantizeToCodes(x, scale, at_axis, range) * ScaleView(scale, x.dim(), at_axis);
}

at::Tensor QuantizeToCodes(const at::Tensor& x, const at::Tensor& scale, int64_t axis, CodeRange range) {
  return CodesFunction::apply(x, scale, axis < 0 ? axis + x.dim() : axis, static_cast<double>(range.low),
                              static_cast<double>(range.high));
}

float AmaxOfTensor(const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  if (!IsFlat(x)) return x.numel() == 0 ? 0.0f : x.detach().abs().max().item<float>();
  const auto* data = x.data_ptr<float>();
  return at::parallel_reduce(
      0, x.numel(), kGrain, 0.0f,
      [&](int64_t begin, int64_t end, float best) { return std::max(best, AmaxOf(data + begin, end - begin)); },
      [](float a, float b) { return std::max(a, b); });
}

at::Tensor RangeOfTensor(const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  if (IsFlat(x) || x.numel() == 0) return at::full({}, AmaxOfTensor(x), x.options());
  return x.detach().abs().amax();
}

at::Tensor AmaxOfChannels(const at::Tensor& x, int64_t axis) {
  const at::NoGradGuard no_grad;
  const int64_t at_axis = axis < 0 ? axis + x.dim() : axis;
  if (!HasSlabs(x, at_axis)) {
    return x.detach().abs().transpose(0, at_axis).reshape({x.size(at_axis), -1}).amax({1});
  }
  at::Tensor amax = at::empty({x.size(0)}, x.options());
  const int64_t slab = x.numel() / x.size(0);
  const auto* data = x.data_ptr<float>();
  auto* to = amax.data_ptr<float>();
  ForEachPiece(x.size(0), std::max<int64_t>(1, kGrain / slab), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) to[k] = AmaxOf(data + k * slab, slab);
  });
  return amax;
}

}  // namespace octet::train
