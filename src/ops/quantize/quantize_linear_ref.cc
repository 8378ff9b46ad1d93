// docs/numerics.md, element by element.
#include <cmath>
#include <limits>

#include "ops/dispatch.h"
#include "ops/quantize/quantize_linear.h"

namespace octet::ops {
namespace {

// Which scale belongs to element i.
struct Slices {
  Slices(const Node& node, const Tensors& inputs) {
    if (inputs[1].size() == 1) return;
    const Shape& x = inputs[0].shape();
    const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 1), inputs[0].rank()));
    inner = Product(x, axis + 1, x.size());
    count = x[axis];
  }
  int64_t operator()(int64_t i) const { return i / inner % count; }
  int64_t inner = 1, count = 1;
};

template <typename Q>
void Quantize(const std::vector<float>& x, const Tensors& inputs, const Slices& slice, Tensor* y) {
  constexpr float kLow = std::numeric_limits<Q>::min(), kHigh = std::numeric_limits<Q>::max();
  const float* scale = inputs[1].data<float>();
  const Q* zero = Has(inputs, 2) ? inputs[2].data<Q>() : nullptr;
  Q* to = y->mutable_data<Q>();
  for (int64_t i = 0; i < y->size(); ++i) {
    const int64_t k = slice(i);
    const float q = std::nearbyintf(x[i] / scale[k]) + (zero != nullptr ? static_cast<float>(zero[k]) : 0.0f);
    to[i] = static_cast<Q>(q < kLow ? kLow : (q > kHigh ? kHigh : q));
  }
}

}  // namespace

Tensors QuantizeLinearReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Slices slice(node, inputs);
  const std::vector<float> x = inputs[0].ToVector<float>();
  if (y.dtype() == DType::kS8) {
    Quantize<int8_t>(x, inputs, slice, &y);
  } else {
    Quantize<uint8_t>(x, inputs, slice, &y);
  }
  return {y};
}

Tensors DequantizeLinearReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Slices slice(node, inputs);
  const float* scale = inputs[1].data<float>();
  const std::vector<int64_t> zero =
      Has(inputs, 2) ? inputs[2].ToVector<int64_t>() : std::vector<int64_t>(static_cast<size_t>(inputs[1].size()), 0);
  float* to = y.mutable_data<float>();
  DispatchNumeric(inputs[0].dtype(), [&](auto tag) {
    using Q = typename decltype(tag)::type;
    const Q* q = inputs[0].data<Q>();
    for (int64_t i = 0; i < y.size(); ++i) {
      const int64_t k = slice(i);
      to[i] = static_cast<float>(static_cast<int64_t>(q[i]) - zero[k]) * scale[k];
    }
  });
  return {y};
}

}  // namespace octet::ops
