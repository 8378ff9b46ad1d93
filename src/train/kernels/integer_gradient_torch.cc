#include <cmath>
#include <cstdlib>

#include "train/kernels/depthwise_codes.h"
#include "train/kernels/gradient_bf16_dnnl.h"
#include "train/kernels/integer_gradient.h"
#include "train/kernels/integer_rows.h"
#include "train/kernels/parallel.h"
#include "train/step_profile.h"

namespace octet::train {

Workspace& Space() {
  thread_local Workspace space;
  return space;
}

void Parallel(int64_t jobs, const std::function<void(int64_t)>& body) {
  ForEachJob(jobs, body);
}

namespace {

struct Backward {
  const ConvShape& shape;
  const float* dy;
  const uint16_t* saved;
  std::vector<float> a, p, q;  // gradient of the sums' values: a g + p x^ + q
  std::vector<float> most_g;   // [group][channel]
  GradientLayout layout;
  int64_t pixels() const { return shape.out[0] * shape.out[1]; }
};

// The sums that batch normalization needs, in a pass over the gradient.
GradientSums SumsOf(Backward* b, float* g) {
  const ConvShape& s = b->shape;
  const auto channels = static_cast<size_t>(s.out_channels);
  const GradientLayout& layout = b->layout;
  // A fixed split into parts of the groups: the result does not depend on the number of threads.
  const int64_t parts = std::max<int64_t>(1, 32 / layout.groups), jobs = layout.groups * parts;
  std::vector<double> sums(2 * channels * static_cast<size_t>(jobs));
  std::vector<float> most(channels * static_cast<size_t>(jobs));
  Parallel(jobs, [&](int64_t job) {
    const int64_t group = job / parts, part = job % parts;
    const int64_t first_image = group * layout.images_per_scale;
    const int64_t rows = std::min(layout.images_per_scale, s.batch - first_image) * b->pixels();
    const int64_t begin = rows * part / parts, count = rows * (part + 1) / parts - begin;
    const int64_t at = (first_image * b->pixels() + begin) * s.out_channels;
    double* sum = sums.data() + static_cast<size_t>(job) * 2 * channels;
    SumPassedGradient(b->dy + at, b->saved + at, count, s.out_channels, s.out_channels, sum, sum + channels,
                      most.data() + static_cast<size_t>(job) * channels, g != nullptr ? g + at : nullptr);
  });
  GradientSums result;
  result.sum_g.assign(channels, 0.0);
  result.sum_gx.assign(channels, 0.0);
  result.most.assign(channels * static_cast<size_t>(layout.groups), 0.0f);
  for (size_t j = 0; j < static_cast<size_t>(jobs); ++j) {
    for (size_t c = 0; c < channels; ++c) {
      result.sum_g[c] += sums[j * 2 * channels + c];
      result.sum_gx[c] += sums[j * 2 * channels + channels + c];
      float& top = result.most[j / static_cast<size_t>(parts) * channels + c];
      top = std::max(top, most[j * channels + c]);
    }
  }
  return result;
}

// a, p, q and most_g from the sums: those that the reader of this block's output made, or from a pass. `g` (may be
// null) gets the gradient where it passes.
void Reduce(Backward* b, bool batch, const float* a, GradientSums* made, at::Tensor* dgamma, at::Tensor* dbeta,
            float* g) {
  const StepProfile::Scope profile("normalize backward");
  const ConvShape& s = b->shape;
  const auto channels = static_cast<size_t>(s.out_channels);
  GradientSums own;
  const bool ready = made != nullptr && made->of == b->dy && g == nullptr;
  if (!ready) own = SumsOf(b, g);
  GradientSums& sums = ready ? *made : own;
  *dgamma = at::empty({s.out_channels}, at::kFloat);
  *dbeta = at::empty({s.out_channels}, at::kFloat);
  b->a.assign(a, a + channels);
  b->p.assign(channels, 0.0f);
  b->q.assign(channels, 0.0f);
  b->most_g = std::move(sums.most);
  const auto n = static_cast<double>(s.batch * b->pixels());
  for (size_t c = 0; c < channels; ++c) {
    const double sum_g = sums.sum_g[c], sum_gx = sums.sum_gx[c];
    dgamma->data_ptr<float>()[c] = static_cast<float>(sum_gx);
    dbeta->data_ptr<float>()[c] = static_cast<float>(sum_g);
    if (!batch) continue;
    b->p[c] = static_cast<float>(-a[c] * sum_gx / n);
    b->q[c] = static_cast<float>(-a[c] * sum_g / n);
  }
}

// The gradient times the weights' scales, as codes; returns the scale of each group.
std::vector<float> WriteCodes(const Backward& b, const float* weight_scale, const float* most_x, int16_t* codes) {
  const StepProfile::Scope profile("normalize backward");
  const ConvShape& s = b.shape;
  const GradientLayout& layout = b.layout;
  const auto channels = static_cast<size_t>(s.out_channels);
  std::vector<float> scales(static_cast<size_t>(layout.groups));
  std::vector<float> factors(3 * channels * scales.size());  // a, p, q in codes, of each group
  for (size_t group = 0; group < scales.size(); ++group) {
    float most = 0;
    for (size_t c = 0; c < channels; ++c) {
      const float bound =
          std::fabs(b.a[c]) * b.most_g[group * channels + c] + std::fabs(b.p[c]) * most_x[c] + std::fabs(b.q[c]);
      most = std::max(most, bound * weight_scale[c]);
    }
    scales[group] = most > 0 ? most / layout.most_code : 1.0f;
    float* f = factors.data() + group * 3 * channels;
    for (size_t c = 0; c < channels; ++c) {
      const double by = static_cast<double>(weight_scale[c]) / scales[group];
      f[c] = static_cast<float>(b.a[c] * by);
      f[channels + c] = static_cast<float>(b.p[c] * by);
      f[2 * channels + c] = static_cast<float>(b.q[c] * by);
    }
  }
  const int64_t lines = layout.top + s.out[0] + layout.bottom;
  ForEachPiece(s.batch * lines, std::max<int64_t>(1, kGrain / layout.row), [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l) {
      const int64_t n = l / lines, h = l % lines - layout.top;
      int16_t* row = codes + l * layout.row;
      if (h < 0 || h >= s.out[0] || layout.channels != s.out_channels) std::fill(row, row + layout.row, int16_t{0});
      if (h < 0 || h >= s.out[0]) continue;
      const float* f = factors.data() + static_cast<size_t>(n / layout.images_per_scale) * 3 * channels;
      const int64_t at = (n * s.out[0] + h) * s.out[1] * s.out_channels;
      int16_t* to = row + layout.left * layout.channels;
      if (layout.channels == s.out_channels) {
        std::fill(row, to, int16_t{0});
        std::fill(to + s.out[1] * layout.channels, row + layout.row, int16_t{0});
        GradientCodes(b.dy + at, b.saved + at, s.out[1], s.out_channels, f, f + channels, f + 2 * channels, to);
      } else {
        for (int64_t w = 0; w < s.out[1]; ++w) {
          GradientCodes(b.dy + at + w * s.out_channels, b.saved + at + w * s.out_channels, 1, s.out_channels, f,
                        f + channels, f + 2 * channels, to + w * layout.channels);
        }
      }
    }
  });
  return scales;
}

// Depthwise: image by image in FP32 from the codes.
void DepthwiseBackward(const Backward& b, const int8_t* x, float x_scale, const int8_t* weight,
                       const float* weight_scale, float* dx, float* dweight) {
  const ConvShape& s = b.shape;
  const int64_t channels = s.out_channels, taps = s.kernel[0] * s.kernel[1];
  const int64_t in = s.in[0] * s.in[1] * channels, out = b.pixels() * channels;
  const StepProfile::Scope profile("depthwise backward");
  std::vector<float> spread(static_cast<size_t>(taps * channels));
  SpreadDepthwise(s, weight, spread.data());
  std::vector<float> parts(dweight != nullptr ? static_cast<size_t>(s.batch * taps * channels) : 0);
  Parallel(s.batch, [&](int64_t n) {
    const int64_t row = s.out[1] * channels;
    const GradientRow gradient = [&](int64_t h, float* to) {
      const int64_t at = n * out + h * row;
      GradientValues(b.dy + at, b.saved + at, s.out[1], channels, b.a.data(), b.p.data(), b.q.data(), to);
    };
    DepthwiseGradients(s, gradient, spread.data(), weight_scale, x + n * in, dx != nullptr ? dx + n * in : nullptr,
                       dweight != nullptr ? parts.data() + n * taps * channels : nullptr,
                       Space().piece.Get<float>(DepthwiseScratch(s)));
  });
  for (int64_t c = 0; dweight != nullptr && c < channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      double sum = 0;
      for (int64_t n = 0; n < s.batch; ++n) sum += parts[static_cast<size_t>((n * taps + t) * channels + c)];
      dweight[c * taps + t] = static_cast<float>(sum * x_scale);
    }
  }
}

// The gradient times the weights' scales in bfloat16; codes are exact.
void Bf16Backward(const Backward& b, const int8_t* x, float x_scale, const int8_t* weight, const float* weight_scale,
                  float* dx, float* dweight) {
  const ConvShape& s = b.shape;
  const auto channels = static_cast<size_t>(s.out_channels);
  std::vector<float> a(channels), p(channels), q(channels);
  for (size_t c = 0; c < channels; ++c) {
    a[c] = b.a[c] * weight_scale[c];
    p[c] = b.p[c] * weight_scale[c];
    q[c] = b.q[c] * weight_scale[c];
  }
  Workspace& space = Space();
  const int64_t row = s.out[1] * s.out_channels;
  auto* dy = space.sums.Get<uint16_t>(s.batch * s.out[0] * row);
  ForEachPiece(s.batch * s.out[0], std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end) {
    GradientBf16(b.dy + begin * row, b.saved + begin * row, (end - begin) * s.out[1], s.out_channels, a.data(),
                 p.data(), q.data(), dy + begin * row);
  });
  const int64_t filter = s.kernel[0] * s.kernel[1] * s.in_channels;
  if (dx != nullptr) {
    auto* codes = space.weights.Get<uint16_t>(s.out_channels * filter);
    CodesToBf16(weight, s.out_channels * filter, codes);
    DataGradientBf16(s, dy, codes, dx);
  }
  if (dweight != nullptr) {
    const int64_t count = s.batch * s.in[0] * s.in[1] * s.in_channels;
    auto* codes = space.values.Get<uint16_t>(count);
    ForEachPiece(count, kGrain,
                 [&](int64_t begin, int64_t end) { CodesToBf16(x + begin, end - begin, codes + begin); });
    WeightGradientBf16(s, codes, dy, dweight);
    for (int64_t k = 0; k < s.out_channels; ++k) {
      const float by = x_scale / weight_scale[k];
      for (int64_t i = 0; i < filter; ++i) dweight[k * filter + i] *= by;
    }
  }
}

// The oracle of the integer gradients, with the same forward pass: OCTET_TRAIN_GRADIENTS=fp32 in the environment.
bool WantsFp32Gradients() {
  const char* wish = std::getenv("OCTET_TRAIN_GRADIENTS");
  return wish != nullptr && std::string(wish) == "fp32";
}

// dy where it passes, else 0.
at::Tensor Masked(const at::Tensor& dy, const at::Tensor& values) {
  if (!values.defined()) return dy;
  at::Tensor g = EmptyNhwc(dy.sizes(), at::kFloat);
  const auto* from = dy.data_ptr<float>();
  const auto* passes = reinterpret_cast<const uint16_t*>(values.data_ptr<int16_t>());
  auto* to = g.data_ptr<float>();
  ForEachPiece(dy.numel(), kGrain, [&](int64_t begin, int64_t end) {
    PassedValues(from + begin, passes + begin, end - begin, to + begin);
  });
  return g;
}

// Leaves dy as it is, with where it passes: the taker masks it on the way.
void Pass(const at::Tensor& dy, const at::Tensor& values, PassedGradient* to) {
  if (!to->gradient.defined()) {
    to->gradient = dy;
    to->passes = values;
  } else {
    to->gradient = Masked(to->gradient, to->passes) + Masked(dy, values);
    to->passes = at::Tensor();
  }
}

// In FP32 from the codes: groups of several channels, and the oracle.
void Fp32Backward(const Backward& b, const KeptBlock& block, float* dx, float* dweight) {
  const ConvShape& s = b.shape;
  Workspace& space = Space();
  const int64_t row = s.out[1] * s.out_channels;
  auto* values = space.sums.Get<float>(s.batch * s.out[0] * row);
  ForEachPiece(s.batch * s.out[0], std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end) {
    GradientValues(b.dy + begin * row, b.saved + begin * row, (end - begin) * s.out[1], s.out_channels, b.a.data(),
                   b.p.data(), b.q.data(), values + begin * row);
  });
  if (dx != nullptr) {
    const int64_t filter = block.weight.numel() / s.out_channels;
    const auto* codes = block.weight.data_ptr<int8_t>();
    const auto* scale = block.weight_scale.data_ptr<float>();
    auto* weights = space.weights.Get<float>(block.weight.numel());
    for (int64_t k = 0; k < s.out_channels; ++k) {
      DequantizeCodes(codes + k * filter, filter, scale[k], weights + k * filter);
    }
    ConvBackwardData(s, values, weights, dx);
  }
  if (dweight != nullptr) {
    const auto* codes = block.x.data_ptr<int8_t>();
    auto* x = space.values.Get<float>(block.x.numel());
    ForEachPiece(block.x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      DequantizeCodes(codes + begin, end - begin, block.x_scale, x + begin);
    });
    ConvBackwardWeight(s, x, values, dweight, nullptr);
  }
}

// `taken`: dx already holds a part of the gradient, which counts where it passes.
void S16Backward(const Backward& b, const KeptBlock& block, bool taken, const uint16_t* passes, float* dx,
                 float* dweight) {
  const ConvShape& s = b.shape;
  Workspace& space = Space();
  const auto* weight_scale = block.weight_scale.data_ptr<float>();
  auto* codes = space.sums.Get<int16_t>(b.layout.size + 32);
  const std::vector<float> scales = WriteCodes(b, weight_scale, block.most.data_ptr<float>(), codes);
  if (dx != nullptr) {
    const StepProfile::Scope profile("data gradient");
    DataGradientOptions options;
    options.add = taken;
    options.passes = passes;
    GradientSums* sums = block.sums_of_x;
    if (sums != nullptr && sums->values.defined() && s.strides[0] == 1 && s.strides[1] == 1) {
      const int64_t groups = (s.batch + sums->images_per_scale - 1) / sums->images_per_scale;
      options.values = reinterpret_cast<const uint16_t*>(sums->values.data_ptr<int16_t>());
      options.pixels_per_group = sums->images_per_scale * s.in[0] * s.in[1];
      sums->of = dx;
      sums->sum_g.resize(static_cast<size_t>(s.in_channels));
      sums->sum_gx.resize(static_cast<size_t>(s.in_channels));
      sums->most.resize(static_cast<size_t>(s.in_channels * groups));
      options.sum_g = sums->sum_g.data();
      options.sum_gx = sums->sum_gx.data();
      options.most = sums->most.data();
    }
    DataGradientS16(s, b.layout, codes, scales.data(), block.weight.data_ptr<int8_t>(), options, dx, &space.packed,
                    Parallel);
  }
  if (dweight != nullptr) {
    const StepProfile::Scope profile("weight gradient");
    std::vector<float> factor;
    for (int64_t k = 0; k < s.out_channels; ++k) factor.push_back(block.x_scale / weight_scale[k]);
    WeightGradientS16(s, b.layout, codes, scales.data(), block.x.data_ptr<int8_t>(), factor.data(), dweight,
                      &space.packed, Parallel);
  }
}

}  // namespace

BlockGradients GradientsOf(const KeptBlock& block, const at::Tensor& dy) {
  const ConvShape& s = block.shape;
  const auto* weight_codes = block.weight.data_ptr<int8_t>();
  const auto* weight_scale = block.weight_scale.data_ptr<float>();
  const auto* x_codes = block.x.data_ptr<int8_t>();
  Backward b{s,  dy.data_ptr<float>(), reinterpret_cast<const uint16_t*>(block.values.data_ptr<int16_t>()), {}, {}, {},
             {}, LayoutOfGradient(s)};
  BlockGradients result;
  const bool passed = block.needs_residual && block.pass != nullptr;
  if (block.needs_residual && !passed) result.residual = EmptyNhwc(dy.sizes(), at::kFloat);
  Reduce(&b, block.batch_statistics, block.a.data_ptr<float>(), block.sums, &result.gamma, &result.beta,
         result.residual.defined() ? result.residual.data_ptr<float>() : nullptr);
  if (block.sums != nullptr) block.sums->values = at::Tensor();  // its memory is free once this block is done
  if (passed) Pass(dy, block.values, block.pass);
  PassedGradient taken;
  if (block.take != nullptr) {
    std::swap(taken.gradient, block.take->gradient);
    std::swap(taken.passes, block.take->passes);
  }
  const bool in_fp32 = WantsFp32Gradients();
  const bool in_s16 = s.group == 1 && !in_fp32 && !PrefersBf16Gradients();
  if (block.needs_x && in_s16 && taken.gradient.defined()) {
    // In place, unless somebody else holds it.
    const bool own = taken.gradient.use_count() == 1 && taken.gradient.storage().use_count() == 1;
    result.x = own ? taken.gradient : taken.gradient.clone();
  } else if (block.needs_x) {
    result.x = EmptyNhwc({s.batch, s.in_channels, s.in[0], s.in[1]}, at::kFloat);
  }
  if (block.needs_weight) {
    result.weight = at::empty_strided({s.out_channels, s.in_channels / s.group, s.kernel[0], s.kernel[1]},
                                      block.weight_strides, at::kFloat);
  }
  if (block.needs_bias) result.bias = block.batch_statistics ? at::zeros_like(result.beta) : result.beta * block.a;
  float* dx = result.x.defined() ? result.x.data_ptr<float>() : nullptr;
  float* dweight = result.weight.defined() ? result.weight.data_ptr<float>() : nullptr;
  if (in_s16) {
    const auto* passes =
        taken.passes.defined() ? reinterpret_cast<const uint16_t*>(taken.passes.data_ptr<int16_t>()) : nullptr;
    S16Backward(b, block, taken.gradient.defined(), passes, dx, dweight);
    return result;
  }
  if (s.group == 1 && !in_fp32) {
    Bf16Backward(b, x_codes, block.x_scale, weight_codes, weight_scale, dx, dweight);
  } else if (IsDepthwise(s) && !in_fp32) {
    DepthwiseBackward(b, x_codes, block.x_scale, weight_codes, weight_scale, dx, dweight);
  } else {
    Fp32Backward(b, block, dx, dweight);
  }
  if (dx != nullptr && taken.gradient.defined()) result.x.add_(Masked(taken.gradient, taken.passes));
  return result;
}

}  // namespace octet::train
