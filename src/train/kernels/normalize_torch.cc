#include <cmath>

#include "train/kernels/fake_quant_cpu.h"
#include "train/kernels/normalize.h"
#include "train/kernels/normalize_cpu.h"
#include "train/kernels/normalize_parts.h"
#include "train/step_profile.h"

namespace octet::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The largest t with t / scale <= bound and so on, found from the product by single steps: the gradient then needs no
// division.
float LargestInside(float bound, float scale) {
  float t = bound * scale;
  while (t / scale > bound) t = std::nextafter(t, -INFINITY);
  while (std::nextafter(t, INFINITY) / scale <= bound) t = std::nextafter(t, INFINITY);
  return t;
}

}  // namespace

// Codes round to even at the ends: see FakeQuantizeRange.
void NarrowToCodes(const CodeRange& codes, Tail* tail) {
  const bool low_even = std::fmod(codes.low, 2.0f) == 0.0f, high_even = std::fmod(codes.high, 2.0f) == 0.0f;
  const float first = low_even ? codes.low - 0.5f : std::nextafter(codes.low - 0.5f, 0.0f);
  const float last = high_even ? codes.high + 0.5f : std::nextafter(codes.high + 0.5f, 0.0f);
  tail->pass_low = std::max(tail->pass_low, -LargestInside(-first, tail->scale));
  tail->pass_high = std::min(tail->pass_high, LargestInside(last, tail->scale));
}

static Statistics BatchStatistics(const Rows& shape, const SumRows& sum_rows, const at::Tensor& mean,
                                  const at::Tensor& variance, const NormalizeOptions& options) {
  const auto channels = static_cast<size_t>(shape.channels);
  std::vector<double> sums(channels * 2 * kChunks);
  std::vector<float> ends(channels * 2 * kChunks);
  const std::vector<float> shift(mean.data_ptr<float>(), mean.data_ptr<float>() + channels);
  shape.ForEach([&](int64_t k, int64_t first, int64_t count) {
    double* sum = sums.data() + static_cast<size_t>(k) * 2 * channels;
    float* end = ends.data() + static_cast<size_t>(k) * 2 * channels;
    sum_rows(first, count, shift.data(), {sum, sum + channels, end, end + channels});
  });
  Statistics s;
  s.mean.resize(channels);
  s.inverse.resize(channels);
  s.low.assign(channels, INFINITY);
  s.high.assign(channels, -INFINITY);
  float* running_mean = mean.data_ptr<float>();
  float* running_variance = variance.data_ptr<float>();
  const auto n = static_cast<double>(shape.rows);
  for (size_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (size_t k = 0; k < static_cast<size_t>(shape.used()); ++k) {
      sum += sums[k * 2 * channels + c];
      squares += sums[k * 2 * channels + channels + c];
      s.low[c] = std::min(s.low[c], ends[k * 2 * channels + c]);
      s.high[c] = std::max(s.high[c], ends[k * 2 * channels + channels + c]);
    }
    const double offset = sum / n;
    const double var = std::max(0.0, squares / n - offset * offset);
    s.mean[c] = static_cast<float>(shift[c] + offset);
    s.inverse[c] = static_cast<float>(1.0 / std::sqrt(var + options.epsilon));
    const double unbiased = n > 1 ? var * n / (n - 1) : var;
    const double keep = options.momentum;
    running_mean[c] = static_cast<float>(keep * running_mean[c] + (1 - keep) * (shift[c] + offset));
    running_variance[c] = static_cast<float>(keep * running_variance[c] + (1 - keep) * unbiased);
  }
  return s;
}

namespace {

float Clipped(float v, const Tail& t) {
  return std::min(std::max(v, t.low), t.high);
}

}  // namespace

at::Tensor ToTensor(const std::vector<float>& v) {
  return at::tensor(v, at::kFloat);
}

Prepared Prepare(const Rows& shape, const SumRows& sum_rows, const at::Tensor& weight, const at::Tensor& bias,
                 const at::Tensor& mean, const at::Tensor& variance, const NormalizeOptions& options) {
  Prepared p;
  const int64_t channels = shape.channels;
  p.shape = shape;
  if (options.batch_statistics) {
    p.statistics = BatchStatistics(shape, sum_rows, mean, variance, options);
  } else {
    const float* m = mean.data_ptr<float>();
    const float* v = variance.data_ptr<float>();
    p.statistics.mean.assign(m, m + channels);
    for (int64_t c = 0; c < channels; ++c) {
      p.statistics.inverse.push_back(static_cast<float>(1.0 / std::sqrt(v[c] + options.epsilon)));
    }
  }
  const float* w = weight.data_ptr<float>();
  const float* shift = bias.data_ptr<float>();
  for (int64_t c = 0; c < channels; ++c) {
    p.a.push_back(w[c] * p.statistics.inverse[c]);
    p.b.push_back(shift[c] - p.statistics.mean[c] * p.a.back());
  }
  Tail& t = p.tail;
  t.low = options.low;
  t.high = options.high;
  // At the ends of the activation the gradient is zero, as for Relu at 0.
  t.pass_low = std::isinf(t.low) ? t.low : std::nextafter(t.low, INFINITY);
  t.pass_high = std::isinf(t.high) ? t.high : std::nextafter(t.high, -INFINITY);
  t.code_low = options.codes.low;
  t.code_high = options.codes.high;
  return p;
}

float AmaxOfExtremes(const Prepared& p) {
  float amax = 0;
  for (size_t c = 0; c < p.a.size(); ++c) {
    for (const float v : {p.statistics.low[c], p.statistics.high[c]}) {
      amax = std::max(amax, std::fabs(Clipped(v * p.a[c] + p.b[c], p.tail)));
    }
  }
  return amax;
}

namespace {

struct NormalizeFunction : torch::autograd::Function<NormalizeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance,
                            const at::Tensor& residual, const NormalizeOptions* options, bool keep) {
    const StepProfile::Scope profile("normalize forward");
    const Rows shape{x.numel() / x.size(1), x.size(1)};
    const SumRows sum_rows = [&](int64_t first, int64_t count, const float* shift, const ChannelSums& out) {
      SumChannels(x.data_ptr<float>() + first * shape.channels, count, shape.channels, shift, out);
    };
    Prepared p = Prepare(shape, sum_rows, weight, bias, mean, variance, *options);
    const bool joined = residual.numel() != 0;
    at::Tensor y = at::empty_like(x);
    const float* from = x.data_ptr<float>();
    const float* other = joined ? residual.data_ptr<float>() : nullptr;
    float* to = y.data_ptr<float>();
    const auto normalize = [&](uint8_t* passes) {
      std::vector<float> amax(kChunks, 0.0f);
      shape.ForEach([&](int64_t k, int64_t first, int64_t count) {
        const int64_t at = first * shape.channels;
        amax[static_cast<size_t>(k)] =
            NormalizeRows(from + at, other ? other + at : nullptr, count, shape.channels, p.a.data(), p.b.data(),
                          p.tail, to + at, passes ? passes + at : nullptr);
      });
      return *std::max_element(amax.begin(), amax.end());
    };
    at::Tensor passes;
    // Without a residual the backward pass finds out from x; without bounds there is nothing to find out.
    const bool bounded = options->scale || !std::isinf(p.tail.low) || !std::isinf(p.tail.high);
    if (keep && joined && bounded) passes = at::empty_like(x, x.options().dtype(at::kByte));
    uint8_t* mask = passes.defined() ? passes.data_ptr<uint8_t>() : nullptr;
    if (!options->scale) {
      normalize(mask);
    } else if (!options->scale_needs_range || (!joined && options->batch_statistics)) {
      const float amax = options->scale_needs_range ? AmaxOfExtremes(p) : 0.0f;
      p.tail.scale = options->scale(amax);
      NarrowToCodes(options->codes, &p.tail);
      normalize(mask);
    } else {
      p.tail.find_range = true;
      const float amax = normalize(nullptr);
      Tail quantize = p.tail;
      quantize.scale = options->scale(amax);
      NarrowToCodes(options->codes, &quantize);
      p.tail = quantize;
      normalize(mask);
    }
    if (keep) {
      context->save_for_backward({x, weight, passes, ToTensor(p.statistics.mean), ToTensor(p.statistics.inverse),
                                  ToTensor(p.a), ToTensor(p.b)});
      context->saved_data["pass_low"] = static_cast<double>(p.tail.pass_low);
      context->saved_data["pass_high"] = static_cast<double>(p.tail.pass_high);
      context->saved_data["batch"] = options->batch_statistics;
      context->saved_data["residual"] = joined && residual.requires_grad();
    }
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const StepProfile::Scope profile("normalize backward");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &passes = saved[2];
    const Rows shape{x.numel() / x.size(1), x.size(1)};
    const auto channels = static_cast<size_t>(shape.channels);
    const at::Tensor dy = grads[0].strides() == x.strides() ? grads[0] : at::empty_like(x).copy_(grads[0]);
    Tail tail{};
    tail.pass_low = static_cast<float>(context->saved_data["pass_low"].toDouble());
    tail.pass_high = static_cast<float>(context->saved_data["pass_high"].toDouble());
    const float *from = x.data_ptr<float>(), *grad = dy.data_ptr<float>();
    const float *mean = saved[3].data_ptr<float>(), *inverse = saved[4].data_ptr<float>();
    const float *a = saved[5].data_ptr<float>(), *b = saved[6].data_ptr<float>();
    const uint8_t* mask = passes.defined() ? passes.data_ptr<uint8_t>() : nullptr;
    at::Tensor gated;
    if (mask != nullptr) gated = at::empty_like(x);
    float* g = gated.defined() ? gated.data_ptr<float>() : nullptr;
    std::vector<double> sums(channels * 2 * kChunks);
    shape.ForEach([&](int64_t k, int64_t first, int64_t count) {
      const int64_t at = first * shape.channels;
      double* sum = sums.data() + static_cast<size_t>(k) * 2 * channels;
      SumGradient(from + at, grad + at, mask ? mask + at : nullptr, count, shape.channels, a, b, tail, mean, sum,
                  sum + channels, g ? g + at : nullptr);
    });
    at::Tensor dweight = at::empty({shape.channels}, x.options()), dbias = at::empty({shape.channels}, x.options());
    std::vector<float> p(channels, 0.0f), q(channels, 0.0f);
    const auto n = static_cast<double>(shape.rows);
    for (size_t c = 0; c < channels; ++c) {
      double sum_g = 0, sum_gx = 0;
      for (size_t k = 0; k < static_cast<size_t>(shape.used()); ++k) {
        sum_g += sums[k * 2 * channels + c];
        sum_gx += sums[k * 2 * channels + channels + c];
      }
      const double dgamma = sum_gx * inverse[c];
      dweight.data_ptr<float>()[c] = static_cast<float>(dgamma);
      dbias.data_ptr<float>()[c] = static_cast<float>(sum_g);
      if (context->saved_data["batch"].toBool()) {
        const double slope = -static_cast<double>(a[c]) * inverse[c] * dgamma / n;
        p[c] = static_cast<float>(slope);
        q[c] = static_cast<float>(-a[c] * sum_g / n - slope * mean[c]);
      }
    }
    at::Tensor dx = at::empty_like(x);
    float* to = dx.data_ptr<float>();
    shape.ForEach([&](int64_t, int64_t first, int64_t count) {
      const int64_t at = first * shape.channels;
      InputGradient(from + at, grad + at, g ? g + at : nullptr, count, shape.channels, a, b, tail, p.data(), q.data(),
                    to + at);
    });
    at::Tensor residual_gradient;
    if (context->saved_data["residual"].toBool()) residual_gradient = gated.defined() ? gated : grads[0];
    return {dx, dweight, dbias, at::Tensor(), at::Tensor(), residual_gradient, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Normalize(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                     const at::Tensor& variance, const at::Tensor& residual, const NormalizeOptions& options) {
  const bool keep = at::GradMode::is_enabled() &&
                    (x.requires_grad() || weight.requires_grad() || bias.requires_grad() || residual.requires_grad());
  return NormalizeFunction::apply(x, weight, bias, mean, variance, residual, &options, keep);
}

}  // namespace octet::train
