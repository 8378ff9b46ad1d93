// The elements stay; only shape or type change.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/error.h"
#include "ops/dispatch.h"
#include "ops/shape/shape.h"

namespace octet::ops {
namespace {

// A float becomes an integer by cutting off its fraction; outside the range ONNX leaves the result open, here it wraps
// as int64 does.
template <typename To, typename From>
To Convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    const double d = static_cast<double>(x);
    if (!(std::fabs(d) < 9.2e18)) return To(0);
    return static_cast<To>(static_cast<int64_t>(d));
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace

Tensors ReshapeReference(const Node& node, const Tensors& inputs) {
  return {inputs[0].Reshaped(TypesOf(node, inputs)[0].shape)};
}

Tensors DropoutReference(const Node& node, const Tensors& inputs) {
  if (node.outputs.size() < 2) return {inputs[0]};
  Tensor mask(DType::kBool, inputs[0].shape());
  std::fill_n(mask.mutable_data<bool>(), mask.size(), true);
  return {inputs[0], mask};
}

Tensors ShapeReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const auto rank = static_cast<int64_t>(inputs[0].shape().size());
  int64_t start = node.attr_int("start", 0);
  start = std::max<int64_t>(0, std::min(start < 0 ? start + rank : start, rank));
  for (int64_t i = 0; i < y.size(); ++i) y.mutable_data<int64_t>()[i] = inputs[0].shape()[start + i];
  return {y};
}

Tensors SizeReference(const Node& node, const Tensors& inputs) {
  return {Tensor::Scalar<int64_t>(inputs[0].size())};
}

Tensors CastReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  DispatchAny(inputs[0].dtype(), [&](auto from_tag) {
    using From = typename decltype(from_tag)::type;
    const From* from = inputs[0].data<From>();
    DispatchAny(y.dtype(), [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      To* to = y.mutable_data<To>();
      for (int64_t i = 0; i < y.size(); ++i) to[i] = Convert<To>(from[i]);
    });
  });
  return {y};
}

Tensors ConstantReference(const Node& node, const Tensors&) {
  return {ConstantValue(node)};
}

Tensors ConstantOfShapeReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const auto it = node.attrs.find("value");
  if (it == node.attrs.end() || !std::get<Tensor>(it->second).defined()) return {y};
  const Tensor& value = std::get<Tensor>(it->second);
  OCTET_REQUIRE(value.size() == 1, "{}: attribute value has {} elements, expected 1", Label(node), value.size());
  auto* to = static_cast<std::byte*>(y.mutable_raw());
  const size_t step = SizeOf(y.dtype());
  for (int64_t i = 0; i < y.size(); ++i) std::memcpy(to + static_cast<size_t>(i) * step, value.raw(), step);
  return {y};
}

}  // namespace octet::ops
