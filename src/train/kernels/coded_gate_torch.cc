// Squeeze and excitation on codes.
#include "train/kernels/coded_tensor.h"
#include "train/kernels/gate_codes.h"
#include "train/kernels/parallel.h"
#include "train/step_profile.h"

namespace octet::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct MeanFunction : torch::autograd::Function<MeanFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& handle, const CodedTensor* x) {
    const StepProfile::Scope profile("squeeze and gate");
    const int64_t batch = handle.size(0), channels = handle.size(1), pixels = handle.size(2) * handle.size(3);
    at::Tensor y = EmptyNhwc({batch, channels, 1, 1}, at::kFloat);
    const auto* codes = x->codes.data_ptr<int8_t>();
    auto* to = y.data_ptr<float>();
    ForEachJob(batch, [&](int64_t n) {
      std::vector<int32_t> sums(static_cast<size_t>(channels));
      SumCodes(codes + n * pixels * channels, pixels, channels, sums.data());
      for (int64_t c = 0; c < channels; ++c) {
        const double mean = static_cast<double>(sums[static_cast<size_t>(c)]) * x->scale / static_cast<double>(pixels);
        to[n * channels + c] = static_cast<float>(mean);
      }
    });
    context->saved_data["sizes"] = handle.sizes().vec();
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const std::vector<int64_t> sizes = context->saved_data["sizes"].toIntVector();
    return {(grads[0] / static_cast<double>(sizes[2] * sizes[3])).expand(sizes), at::Tensor()};
  }
};

struct GateCall {
  const CodedTensor& x;
  const std::function<float(float)>& scale;
  bool scale_needs_range;
  CodeRange range;
  CodedTensor result;
};

GateTail TailOf(const float* gate, double x_scale, double y_scale, double low, double high) {
  return {gate, static_cast<float>(x_scale), static_cast<float>(y_scale), static_cast<float>(low),
          static_cast<float>(high)};
}

struct GateFunction : torch::autograd::Function<GateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& handle, const at::Tensor& gate_tensor,
                            GateCall* call) {
    const StepProfile::Scope profile("squeeze and gate");
    const at::Tensor gate = gate_tensor.contiguous();
    const int64_t batch = handle.size(0), channels = handle.size(1), pixels = handle.size(2) * handle.size(3);
    const auto* x = call->x.codes.data_ptr<int8_t>();
    const auto* gates = gate.data_ptr<float>();
    const auto tail_of = [&](int64_t n, float y_scale) {
      return TailOf(gates + n * channels, call->x.scale, y_scale, call->range.low, call->range.high);
    };
    float amax = 0;
    if (call->scale_needs_range) {
      std::vector<float> most(static_cast<size_t>(batch));
      ForEachJob(batch, [&](int64_t n) {
        most[static_cast<size_t>(n)] = RangeOfGated(x + n * pixels * channels, pixels, channels, tail_of(n, 1));
      });
      amax = *std::max_element(most.begin(), most.end());
    }
    CodedTensor& y = call->result;
    y.scale = call->scale(amax);
    y.codes = EmptyNhwc(handle.sizes(), at::kChar);
    y.handle = MakeHandle(handle.sizes());
    auto* to = y.codes.data_ptr<int8_t>();
    ForEachJob(batch, [&](int64_t n) {
      const int64_t at = n * pixels * channels;
      GateCodes(x + at, pixels, channels, tail_of(n, y.scale), to + at);
    });
    context->save_for_backward({call->x.codes, gate});
    context->saved_data["scales"] = std::vector<double>{call->x.scale, y.scale, call->range.low, call->range.high};
    return y.handle;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const StepProfile::Scope profile("squeeze and gate");
    const variable_list saved = context->get_saved_variables();
    const auto s = context->saved_data["scales"].toDoubleVector();
    const at::Tensor dy = DenseGradient(grads[0]), &gate = saved[1];
    const int64_t batch = dy.size(0), channels = dy.size(1), pixels = dy.size(2) * dy.size(3);
    at::Tensor dx = EmptyNhwc(dy.sizes(), at::kFloat), dgate = at::empty_like(gate);
    const auto* from = dy.data_ptr<float>();
    const auto* x = saved[0].data_ptr<int8_t>();
    const auto* gates = gate.data_ptr<float>();
    auto* to = dx.data_ptr<float>();
    auto* to_gate = dgate.data_ptr<float>();
    ForEachJob(batch, [&](int64_t n) {
      const int64_t at = n * pixels * channels;
      std::vector<double> sums(static_cast<size_t>(channels));
      GateGradient(from + at, x + at, pixels, channels, TailOf(gates + n * channels, s[0], s[1], s[2], s[3]), to + at,
                   sums.data());
      for (int64_t c = 0; c < channels; ++c) {
        to_gate[n * channels + c] = static_cast<float>(sums[static_cast<size_t>(c)]);
      }
    });
    return {dx, dgate, at::Tensor()};
  }
};

}  // namespace

at::Tensor MeanCoded(const CodedTensor& x) {
  return MeanFunction::apply(x.handle, &x);
}

CodedTensor GateCoded(const CodedTensor& x, const at::Tensor& gate, const std::function<float(float)>& scale,
                      bool scale_needs_range, CodeRange range) {
  GateCall call{x, scale, scale_needs_range, range, {}};
  const at::Tensor handle = GateFunction::apply(x.handle, gate, &call);
  call.result.handle = handle;
  return call.result;
}

}  // namespace octet::train
