// The textbook formulas, one plane at a time, in double.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/norm/norm.h"

namespace octet::ops {
namespace {

struct Planes {
  int64_t batch, channels, plane;
};

Planes PlanesOf(const Tensor& x) {
  if (x.rank() < 2) return {x.size(), 1, 1};
  return {x.dim(0), x.dim(1), Product(x.shape(), 2, x.shape().size())};
}

struct Moments {
  double mean, variance;  // biased
};

template <typename T>
Moments ChannelMoments(const T* x, const Planes& p, int64_t first_n, int64_t last_n, int64_t c) {
  const double count = static_cast<double>((last_n - first_n) * p.plane);
  double sum = 0;
  for (int64_t n = first_n; n < last_n; ++n) {
    for (int64_t i = 0; i < p.plane; ++i) sum += x[(n * p.channels + c) * p.plane + i];
  }
  const double mean = sum / count;
  double squares = 0;
  for (int64_t n = first_n; n < last_n; ++n) {
    for (int64_t i = 0; i < p.plane; ++i) {
      const double d = x[(n * p.channels + c) * p.plane + i] - mean;
      squares += d * d;
    }
  }
  return {mean, squares / count};
}

template <typename T>
void Normalize(const T* x, int64_t count, Moments m, double epsilon, double scale, double bias, T* y) {
  const double deviation = std::sqrt(m.variance + epsilon);
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<T>((x[i] - m.mean) / deviation * scale + bias);
}

template <typename T>
Tensors RunBatchNormalization(const Node& node, const Tensors& in) {
  const Planes p = PlanesOf(in[0]);
  const double epsilon = node.attr_float("epsilon", 1e-5f);
  const double momentum = node.attr_float("momentum", 0.9f);
  const bool training = node.attr_int("training_mode", 0) != 0;
  const auto scale = in[1].ToVector<double>(), bias = in[2].ToVector<double>();
  auto mean = in[3].ToVector<double>(), variance = in[4].ToVector<double>();
  Tensor y(in[0].dtype(), in[0].shape());
  const T* x = in[0].data<T>();
  T* to = y.mutable_data<T>();
  for (int64_t c = 0; c < p.channels; ++c) {
    const Moments m = training ? ChannelMoments(x, p, 0, p.batch, c) : Moments{mean[c], variance[c]};
    for (int64_t n = 0; n < p.batch; ++n) {
      const int64_t at = (n * p.channels + c) * p.plane;
      Normalize(x + at, p.plane, m, epsilon, scale[c], bias[c], to + at);
    }
    mean[c] = mean[c] * momentum + m.mean * (1 - momentum);
    variance[c] = variance[c] * momentum + m.variance * (1 - momentum);
  }
  Tensors out = {y};
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    Tensor running(in[i + 2].dtype(), in[i + 2].shape());
    const auto& from = i == 1 ? mean : variance;
    DispatchFloat(running.dtype(), [&](auto tag) {
      using B = typename decltype(tag)::type;
      std::copy(from.begin(), from.end(), running.mutable_data<B>());
    });
    out.push_back(running);
  }
  return out;
}

}  // namespace

Tensors BatchNormalizationReference(const Node& node, const Tensors& inputs) {
  Tensors out;
  DispatchFloat(inputs[0].dtype(),
                [&](auto tag) { out = RunBatchNormalization<typename decltype(tag)::type>(node, inputs); });
  return out;
}

Tensors InstanceNormalizationReference(const Node& node, const Tensors& in) {
  const Planes p = PlanesOf(in[0]);
  const double epsilon = node.attr_float("epsilon", 1e-5f);
  const auto scale = in[1].ToVector<double>(), bias = in[2].ToVector<double>();
  Tensor y(in[0].dtype(), in[0].shape());
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = in[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t n = 0; n < p.batch; ++n) {
      for (int64_t c = 0; c < p.channels; ++c) {
        const int64_t at = (n * p.channels + c) * p.plane;
        Normalize(x + at, p.plane, ChannelMoments(x, p, n, n + 1, c), epsilon, scale[c], bias[c], to + at);
      }
    }
  });
  return {y};
}

Tensors LayerNormalizationReference(const Node& node, const Tensors& in) {
  const Tensor& x = in[0];
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", -1), x.rank()));
  const int64_t inner = Product(x.shape(), axis, x.shape().size());
  const double epsilon = node.attr_float("epsilon", 1e-5f);
  const auto values = x.ToVector<double>(), scale = in[1].ToVector<double>();
  const auto bias = Has(in, 2) ? in[2].ToVector<double>() : std::vector<double>(scale.size(), 0.0);
  Tensor y(x.dtype(), x.shape());
  DispatchFloat(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    for (int64_t begin = 0; begin < x.size(); begin += inner) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < inner; ++i) sum += values[begin + i];
      const double mean = sum / static_cast<double>(inner);
      for (int64_t i = 0; i < inner; ++i) squares += (values[begin + i] - mean) * (values[begin + i] - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(inner) + epsilon);
      for (int64_t i = 0; i < inner; ++i) {
        to[begin + i] = static_cast<T>((values[begin + i] - mean) / deviation * scale[i] + bias[i]);
      }
    }
  });
  return {y};
}

// y = x / (bias + alpha/size * sum of squares over `size` channels around)^beta
Tensors LrnReference(const Node& node, const Tensors& in) {
  const Planes p = PlanesOf(in[0]);
  const int64_t size = node.attr_int("size", 1);
  const double alpha = node.attr_float("alpha", 1e-4f), beta = node.attr_float("beta", 0.75f);
  const double bias = node.attr_float("bias", 1.0f);
  Tensor y(in[0].dtype(), in[0].shape());
  DispatchFloat(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = in[0].data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t n = 0; n < p.batch; ++n) {
      for (int64_t c = 0; c < p.channels; ++c) {
        const int64_t first = std::max<int64_t>(0, c - (size - 1) / 2);
        const int64_t last = std::min(p.channels - 1, c + size / 2);
        for (int64_t i = 0; i < p.plane; ++i) {
          double squares = 0;
          for (int64_t k = first; k <= last; ++k) {
            const double v = x[(n * p.channels + k) * p.plane + i];
            squares += v * v;
          }
          const int64_t at = (n * p.channels + c) * p.plane + i;
          to[at] = static_cast<T>(x[at] / std::pow(bias + alpha / static_cast<double>(size) * squares, beta));
        }
      }
    }
  });
  return {y};
}

}  // namespace octet::ops
