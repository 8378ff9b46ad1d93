#include "quant/quantize.h"

#include <algorithm>

namespace octet::quant {
namespace {

// Elements after `axis`: element i lies in slice (i / inner) % dim(axis).
int64_t InnerSize(const Tensor& t, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < t.rank(); ++i) inner *= t.dim(i);
  return inner;
}

struct Slices {
  Slices(const Tensor& t, const std::vector<float>& scales, int axis)
      : inner(InnerSize(t, axis)), channels(t.rank() == 0 ? 1 : t.dim(axis)), per_tensor(scales.size() == 1) {
    OCTET_CHECK(per_tensor || static_cast<int64_t>(scales.size()) == channels, "{} scales for {} channels",
                scales.size(), channels);
  }
  size_t operator()(int64_t i) const { return per_tensor ? 0 : static_cast<size_t>(i / inner % channels); }
  int64_t inner;
  int64_t channels;
  bool per_tensor;
};

}  // namespace

std::vector<float> AmaxPerChannel(const Tensor& weight, int axis) {
  const int64_t inner = InnerSize(weight, axis);
  const int64_t channels = weight.dim(axis);
  std::vector<float> amax(static_cast<size_t>(channels), 0.0f);
  const float* w = weight.data<float>();
  for (int64_t i = 0; i < weight.size(); ++i) {
    float& a = amax[static_cast<size_t>(i / inner % channels)];
    a = std::max(a, std::fabs(w[i]));
  }
  return amax;
}

float Amax(const Tensor& tensor) {
  float amax = 0.0f;
  const float* x = tensor.data<float>();
  for (int64_t i = 0; i < tensor.size(); ++i) amax = std::max(amax, std::fabs(x[i]));
  return amax;
}

Tensor QuantizeWeight(const Tensor& weight, const std::vector<float>& scales, int axis, WeightRounding rounding) {
  const Slices slice(weight, scales, axis);
  Tensor codes(DType::kS8, weight.shape());
  const float* w = weight.data<float>();
  auto* q = codes.mutable_data<int8_t>();
  for (int64_t i = 0; i < weight.size(); ++i) {
    const float s = scales[slice(i)];
    q[i] = rounding == WeightRounding::kTiesUp ? QuantizeWeightTiesUp(w[i], s) : QuantizeWeightToS8(w[i], s);
  }
  return codes;
}

Tensor DequantizeWeight(const Tensor& codes, const std::vector<float>& scales, int axis) {
  const Slices slice(codes, scales, axis);
  Tensor weight(DType::kF32, codes.shape());
  const auto* q = codes.data<int8_t>();
  auto* w = weight.mutable_data<float>();
  for (int64_t i = 0; i < codes.size(); ++i) w[i] = Dequantize(q[i], scales[slice(i)]);
  return weight;
}

}  // namespace octet::quant
