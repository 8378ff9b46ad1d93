// One loop over broadcast operands. Floating-point arithmetic is in the element type, as ONNX means it.
#include <algorithm>
#include <cmath>
#include <functional>
#include <type_traits>

#include "base/error.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/elementwise/elementwise.h"

namespace octet::ops {
namespace {

template <typename T>
using Binary = T (*)(T, T);

template <typename T>
T Divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    OCTET_REQUIRE(b != 0, "integer division by zero");
    if constexpr (std::is_signed_v<T>) {
      if (b == -1)
        return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a));  // the smallest number wraps around
    }
  }
  return static_cast<T>(a / b);
}

template <typename T>
T Maximum(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return a;
    if (std::isnan(b)) return b;
  }
  return std::max(a, b);
}

template <typename T>
T Minimum(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return a;
    if (std::isnan(b)) return b;
  }
  return std::min(a, b);
}

// Integers wrap around: computed without sign, where that is defined.
template <typename T>
struct Wrapping {
  using type = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
};
template <typename T>
using WrappingT = typename Wrapping<T>::type;

template <typename T>
Binary<T> BinaryOf(const std::string& op) {
  using W = WrappingT<T>;
  if (op == "Add" || op == "Sum" || op == "Mean") return [](T a, T b) { return static_cast<T>(W(a) + W(b)); };
  if (op == "Sub") return [](T a, T b) { return static_cast<T>(W(a) - W(b)); };
  if (op == "Mul") return [](T a, T b) { return static_cast<T>(W(a) * W(b)); };
  if (op == "Div") return Divide<T>;
  if (op == "Max") return Maximum<T>;
  if (op == "Min") return Minimum<T>;
  OCTET_CHECK(false, "no arithmetic {}", op);
}

template <typename T>
std::function<bool(T, T)> ComparisonOf(const std::string& op) {
  if (op == "Equal") return std::equal_to<T>();
  if (op == "Less") return std::less<T>();
  if (op == "LessOrEqual") return std::less_equal<T>();
  if (op == "Greater") return std::greater<T>();
  if (op == "GreaterOrEqual") return std::greater_equal<T>();
  OCTET_CHECK(false, "no comparison {}", op);
}

std::function<double(double)> UnaryOf(const std::string& op) {
  if (op == "Sqrt") return [](double x) { return std::sqrt(x); };
  if (op == "Exp") return [](double x) { return std::exp(x); };
  if (op == "Log") return [](double x) { return std::log(x); };
  if (op == "Reciprocal") return [](double x) { return 1.0 / x; };
  if (op == "Erf") return [](double x) { return std::erf(x); };
  if (op == "Floor") return [](double x) { return std::floor(x); };
  if (op == "Ceil") return [](double x) { return std::ceil(x); };
  if (op == "Round") return [](double x) { return std::nearbyint(x); };
  if (op == "Sin") return [](double x) { return std::sin(x); };
  if (op == "Cos") return [](double x) { return std::cos(x); };
  OCTET_CHECK(false, "no function {}", op);
}

Shape CommonShape(const Node& node, const Tensors& inputs) {
  Shape shape = inputs[0].shape();
  for (const Tensor& t : inputs) shape = BroadcastShape(node, shape, t.shape());
  return shape;
}

}  // namespace

Tensor BroadcastTo(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape full(shape.size() - x.shape().size(), 1);
  full.insert(full.end(), x.shape().begin(), x.shape().end());
  std::vector<std::vector<int64_t>> map(shape.size());
  for (size_t a = 0; a < shape.size(); ++a) {
    for (int64_t i = 0; i < shape[a]; ++i) map[a].push_back(full[a] == 1 ? 0 : i);
  }
  return MapAxes(x.Reshaped(full), map);
}

Tensors ArithmeticReference(const Node& node, const Tensors& inputs) {
  const Shape shape = CommonShape(node, inputs);
  Tensor y = BroadcastTo(inputs[0], shape);
  DispatchNumeric(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Binary<T> f = BinaryOf<T>(node.op);
    T* to = y.mutable_data<T>();
    for (size_t k = 1; k < inputs.size(); ++k) {
      const Tensor other = BroadcastTo(inputs[k], shape);
      const T* from = other.data<T>();
      for (int64_t i = 0; i < y.size(); ++i) to[i] = f(to[i], from[i]);
    }
    if (node.op == "Mean") {
      const T count = static_cast<T>(inputs.size());
      for (int64_t i = 0; i < y.size(); ++i) to[i] = Divide(to[i], count);
    }
  });
  return {y};
}

Tensors PowReference(const Node& node, const Tensors& inputs) {
  const Shape shape = CommonShape(node, inputs);
  const Tensor base = BroadcastTo(inputs[0], shape);
  const std::vector<double> exponent = BroadcastTo(inputs[1], shape).ToVector<double>();
  Tensor y(base.dtype(), shape);
  DispatchNumeric(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = base.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) {
      to[i] = static_cast<T>(std::pow(static_cast<double>(from[i]), exponent[i]));
    }
  });
  return {y};
}

Tensors CompareReference(const Node& node, const Tensors& inputs) {
  const Shape shape = CommonShape(node, inputs);
  const Tensor a = BroadcastTo(inputs[0], shape), b = BroadcastTo(inputs[1], shape);
  Tensor y(DType::kBool, shape);
  bool* to = y.mutable_data<bool>();
  DispatchAny(a.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto f = ComparisonOf<T>(node.op);
    for (int64_t i = 0; i < y.size(); ++i) to[i] = f(a.data<T>()[i], b.data<T>()[i]);
  });
  return {y};
}

Tensors LogicReference(const Node& node, const Tensors& inputs) {
  const Shape shape = CommonShape(node, inputs);
  Tensor y = BroadcastTo(inputs[0], shape);
  bool* to = y.mutable_data<bool>();
  if (node.op == "Not") {
    for (int64_t i = 0; i < y.size(); ++i) to[i] = !to[i];
    return {y};
  }
  const Tensor other = BroadcastTo(inputs[1], shape);
  const bool* from = other.data<bool>();
  for (int64_t i = 0; i < y.size(); ++i) to[i] = node.op == "And" ? to[i] && from[i] : to[i] || from[i];
  return {y};
}

Tensors WhereReference(const Node& node, const Tensors& inputs) {
  const Shape shape = CommonShape(node, inputs);
  const Tensor condition = BroadcastTo(inputs[0], shape), b = BroadcastTo(inputs[2], shape);
  Tensor y = BroadcastTo(inputs[1], shape);
  DispatchAny(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) {
      if (!condition.data<bool>()[i]) to[i] = b.data<T>()[i];
    }
  });
  return {y};
}

Tensors UnaryReference(const Node& node, const Tensors& inputs) {
  Tensor y(inputs[0].dtype(), inputs[0].shape());
  const std::string& op = node.op;
  if (op == "Abs" || op == "Neg" || op == "Sign") {
    DispatchNumeric(y.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* x = inputs[0].data<T>();
      T* to = y.mutable_data<T>();
      for (int64_t i = 0; i < y.size(); ++i) {
        const T negative = static_cast<T>(WrappingT<T>(0) - WrappingT<T>(x[i]));
        if (op == "Sign") {
          to[i] = static_cast<T>((x[i] > T(0)) - (x[i] < T(0)));
        } else if constexpr (std::is_floating_point_v<T>) {
          to[i] = op == "Abs" ? std::abs(x[i]) : -x[i];
        } else {
          to[i] = op == "Neg" || x[i] < T(0) ? negative : x[i];
        }
      }
    });
    return {y};
  }
  const auto f = UnaryOf(op);
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = inputs[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) to[i] = static_cast<T>(f(static_cast<double>(x[i])));
  });
  return {y};
}

}  // namespace octet::ops
