// Element by element; transcendental functions in double.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "ops/activation/activation.h"
#include "ops/copy.h"
#include "ops/dispatch.h"

namespace octet::ops {
namespace {

double Sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}
double Softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

std::function<double(double)> FunctionOf(const Node& node) {
  const std::string& op = node.op;
  if (op == "LeakyRelu") {
    const double alpha = node.attr_float("alpha", 0.01f);
    return [=](double x) { return x < 0 ? alpha * x : x; };
  }
  if (op == "Sigmoid") return Sigmoid;
  if (op == "HardSigmoid") {
    const double alpha = node.attr_float("alpha", 0.2f), beta = node.attr_float("beta", 0.5f);
    return [=](double x) { return std::max(0.0, std::min(1.0, alpha * x + beta)); };
  }
  if (op == "HardSwish") return [](double x) { return x * std::max(0.0, std::min(1.0, x / 6 + 0.5)); };
  if (op == "Tanh") return [](double x) { return std::tanh(x); };
  if (op == "Elu") {
    const double alpha = node.attr_float("alpha", 1.0f);
    return [=](double x) { return x < 0 ? alpha * std::expm1(x) : x; };
  }
  if (op == "Selu") {
    const double alpha = node.attr_float("alpha", 1.67326319217681884765625f);
    const double gamma = node.attr_float("gamma", 1.05070102214813232421875f);
    return [=](double x) { return gamma * (x > 0 ? x : alpha * std::expm1(x)); };
  }
  if (op == "Softplus") return Softplus;
  if (op == "Softsign") return [](double x) { return x / (1 + std::abs(x)); };
  if (op == "Mish") return [](double x) { return x * std::tanh(Softplus(x)); };
  if (op == "Swish") {
    const double alpha = node.attr_float("alpha", 1.0f);
    return [=](double x) { return x * Sigmoid(alpha * x); };
  }
  if (op == "Gelu") {
    if (node.attr_string("approximate", "none") == "tanh") {
      return [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); };
    }
    return [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); };
  }
  OCTET_CHECK(false, "no activation {}", op);
}

}  // namespace

Tensors FloatActivationReference(const Node& node, const Tensors& inputs) {
  const auto f = FunctionOf(node);
  Tensor y(inputs[0].dtype(), inputs[0].shape());
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = inputs[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) to[i] = static_cast<T>(f(static_cast<double>(x[i])));
  });
  return {y};
}

Tensors ReluReference(const Node& node, const Tensors& inputs) {
  Tensor y(inputs[0].dtype(), inputs[0].shape());
  DispatchNumeric(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = inputs[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) to[i] = x[i] < T(0) ? T(0) : x[i];
  });
  return {y};
}

Tensors ClipReference(const Node& node, const Tensors& inputs) {
  Tensor y(inputs[0].dtype(), inputs[0].shape());
  DispatchNumeric(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T low = Has(inputs, 1) ? inputs[1].data<T>()[0] : std::numeric_limits<T>::lowest();
    const T high = Has(inputs, 2) ? inputs[2].data<T>()[0] : std::numeric_limits<T>::max();
    const T* x = inputs[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) to[i] = std::min(std::max(x[i], low), high);  // min above max gives max
  });
  return {y};
}

Tensors PReluReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  // Bring the slope to x's shape.
  Shape slope_shape(x.shape().size() - inputs[1].shape().size(), 1);
  slope_shape.insert(slope_shape.end(), inputs[1].shape().begin(), inputs[1].shape().end());
  std::vector<std::vector<int64_t>> map;
  for (size_t a = 0; a < slope_shape.size(); ++a) {
    map.emplace_back();
    for (int64_t i = 0; i < x.shape()[a]; ++i) map.back().push_back(slope_shape[a] == 1 ? 0 : i);
  }
  const Tensor slope = MapAxes(inputs[1].Reshaped(slope_shape), map);
  Tensor y(x.dtype(), x.shape());
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) {
      const T v = x.data<T>()[i];
      to[i] = v < T(0) ? slope.data<T>()[i] * v : v;
    }
  });
  return {y};
}

Tensors SoftmaxReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", -1), x.rank()));
  const int64_t outer = Product(x.shape(), 0, axis), size = x.shape()[axis];
  const int64_t inner = Product(x.shape(), axis + 1, x.shape().size());
  const bool log = node.op == "LogSoftmax";
  Tensor y(x.dtype(), x.shape());
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + o * size * inner + i;
        T* to = y.mutable_data<T>() + o * size * inner + i;
        double largest = -std::numeric_limits<double>::infinity();
        for (int64_t k = 0; k < size; ++k) largest = std::max<double>(largest, from[k * inner]);
        double sum = 0;
        for (int64_t k = 0; k < size; ++k) sum += std::exp(from[k * inner] - largest);
        for (int64_t k = 0; k < size; ++k) {
          const double d = from[k * inner] - largest;
          to[k * inner] = static_cast<T>(log ? d - std::log(sum) : std::exp(d) / sum);
        }
      }
    }
  });
  return {y};
}

}  // namespace octet::ops
