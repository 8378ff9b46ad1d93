#include <atomic>
#include <cmath>
#include <cstdlib>

#include "train/kernels/depthwise_codes.h"
#include "train/kernels/gradient_bf16_dnnl.h"
#include "train/kernels/integer_block.h"
#include "train/kernels/integer_conv_dnnl.h"
#include "train/kernels/integer_rows.h"
#include "train/kernels/normalize_parts.h"
#include "train/kernels/parallel.h"
#include "train/kernels/pointwise_codes.h"
#include "train/kernels/product_s16.h"
#include "train/step_profile.h"

namespace octet::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Memory of steps that follow each other. A thread's own: two modules may train at once.
struct Workspace {
  Scratch sums;  // of forward; in backward the gradient
  Scratch piece, packed, values, weights;
};
Workspace& Space() {
  thread_local Workspace space;
  return space;
}

void Parallel(int64_t jobs, const std::function<void(int64_t)>& body) {
  ForEachJob(jobs, body);
}

std::vector<int64_t> ToWords(const ConvShape& shape) {
  static_assert(std::is_trivially_copyable<ConvShape>::value && sizeof(ConvShape) % sizeof(int64_t) == 0, "");
  return {reinterpret_cast<const int64_t*>(&shape), reinterpret_cast<const int64_t*>(&shape + 1)};
}

ConvShape FromWords(const std::vector<int64_t>& words) {
  ConvShape shape;
  std::memcpy(static_cast<void*>(&shape), words.data(), sizeof(shape));
  return shape;
}

at::Tensor WeightCodes(const at::Tensor& weight, const at::Tensor& scale) {
  at::Tensor codes = at::empty({weight.numel()}, at::kChar);
  const int64_t filter = weight.numel() / weight.size(0);
  const auto* from = weight.data_ptr<float>();
  const auto* s = scale.data_ptr<float>();
  auto* to = codes.data_ptr<int8_t>();
  ForEachPiece(weight.size(0), std::max<int64_t>(1, kGrain / filter), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      QuantizeValues(from + k * filter, filter, s[k], -127, 127, to + k * filter, nullptr);
    }
  });
  return codes;
}

// The s32 sums of a convolution: all of them in memory, or, of a depthwise one and a 1x1 one of few channels, computed
// anew for each pass over them. That costs less than to write and read them: their products are few.
class Sums {
 public:
  Sums(const ConvShape& shape, const CodedTensor& x, const at::Tensor& weight_codes) : shape_(shape) {
    x_ = x.codes.data_ptr<int8_t>();
    const auto* weight = weight_codes.data_ptr<int8_t>();
    if (IsDepthwise(shape)) {
      spread_.resize(static_cast<size_t>(weight_codes.numel()));
      SpreadDepthwise(shape, weight, spread_.data());
    } else if (IsFewChannelPointwise(shape)) {
      pointwise_ = PackPointwise(shape, weight, x.non_negative);
    } else {
      all_ = Space().sums.Get<int32_t>(shape.batch * shape.out[0] * shape.out[1] * shape.out_channels);
      ConvSumsS8(shape, x_, x.non_negative, weight, all_, Parallel);
    }
  }

  // body(sums, first, count) for pixels [first, first + count), in one or more pieces, in order. Any thread.
  template <typename F>
  void ForEach(int64_t first, int64_t count, F body) const {
    const int64_t channels = shape_.out_channels;
    if (all_ != nullptr) return body(all_ + first * channels, first, count);
    const int64_t piece = std::max<int64_t>(16, 16384 / channels);  // 64 KiB of sums
    auto* sums = Space().piece.Get<int32_t>(piece * channels);
    for (int64_t at = first; at < first + count; at += piece) {
      const int64_t n = std::min(piece, first + count - at);
      if (spread_.empty()) {
        PointwiseSums(pointwise_, x_ + at * shape_.in_channels, n, sums);
      } else {
        DepthwiseSums(shape_, x_, spread_.data(), at, n, sums);
      }
      body(sums, at, n);
    }
  }

 private:
  const ConvShape& shape_;
  const int8_t* x_ = nullptr;
  int32_t* all_ = nullptr;
  std::vector<float> spread_;  // depthwise
  PackedPointwise pointwise_;  // 1x1
};

struct Call {
  const CodedTensor& x;
  const CodedTensor& residual;
  const at::Tensor& weight_scale;
  const at::Tensor& mean;
  const at::Tensor& variance;
  const IntegerBlockOptions& options;
  bool keep;
  CodedTensor result;
};

struct BlockFunction : torch::autograd::Function<BlockFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_handle, const at::Tensor& weight,
                            const at::Tensor& gamma, const at::Tensor& beta, const at::Tensor& residual_handle,
                            const at::Tensor& bias, Call* call) {
    const ConvShape& s = call->options.shape;
    const NormalizeOptions& options = call->options.normalize;
    at::Tensor weight_codes;
    {
      const StepProfile::Scope profile("weights to codes");
      weight_codes = WeightCodes(weight, call->weight_scale);
    }
    const Rows rows{s.batch * s.out[0] * s.out[1], s.out_channels};
    const Sums sums(s, call->x, weight_codes);
    std::vector<float> m;
    const auto* weight_scale = call->weight_scale.data_ptr<float>();
    for (int64_t k = 0; k < s.out_channels; ++k) m.push_back(call->x.scale * weight_scale[k]);
    const SumRows sum_rows = [&](int64_t first, int64_t count, const float* shift, const ChannelSums& out) {
      sums.ForEach(first, count, [&](const int32_t* piece, int64_t at, int64_t n) {
        SumChannelsOfSums(piece, n, rows.channels, m.data(), shift, at != first, out);
      });
    };
    const StepProfile::Scope profile("normalize forward");
    // A bias moves the mean of what is normalized, and nothing else.
    const bool biased = bias.numel() != 0;
    const at::Tensor mean = biased ? call->mean - bias.detach() : call->mean;
    Prepared p = Prepare(rows, sum_rows, gamma, beta, mean, call->variance, options);
    if (biased && options.batch_statistics) call->mean.copy_(mean + bias.detach());
    BlockTail tail{m.data(), p.a.data(), p.b.data(), p.statistics.mean.data(), p.statistics.inverse.data()};
    tail.low = p.tail.low;
    tail.high = p.tail.high;
    const int8_t* residual = call->residual.defined() ? call->residual.codes.data_ptr<int8_t>() : nullptr;
    tail.residual_scale = call->residual.scale;
    float amax = 0;
    if (options.scale_needs_range && residual == nullptr && options.batch_statistics) {
      amax = AmaxOfExtremes(p);
    } else if (options.scale_needs_range) {
      std::vector<float> parts(kChunks, 0.0f);
      // Nothing exceeds the clip: once it is reached, the rest need not be looked at.
      const float bound = std::max(std::fabs(tail.low), std::fabs(tail.high));
      std::atomic<bool> reached{false};
      rows.ForEach([&](int64_t k, int64_t first, int64_t count) {
        if (reached) return;
        sums.ForEach(first, count, [&](const int32_t* piece, int64_t at, int64_t n) {
          if (reached) return;
          BlockTail t = tail;
          t.residual = residual != nullptr ? residual + at * rows.channels : nullptr;
          float& part = parts[static_cast<size_t>(k)];
          part = std::max(part, RangeOfSums(piece, n, rows.channels, t));
          if (part >= bound) reached = true;
        });
      });
      amax = *std::max_element(parts.begin(), parts.end());
    }
    p.tail.scale = options.scale(amax);
    NarrowToCodes(options.codes, &p.tail);
    tail.pass_low = p.tail.pass_low;
    tail.pass_high = p.tail.pass_high;
    tail.scale = p.tail.scale;
    tail.code_low = options.codes.low;
    tail.code_high = options.codes.high;
    const std::vector<int64_t> sizes = {s.batch, s.out_channels, s.out[0], s.out[1]};
    CodedTensor& y = call->result;
    y.codes = EmptyNhwc(sizes, at::kChar);
    y.scale = p.tail.scale;
    y.non_negative = p.tail.low >= 0;
    y.handle = MakeHandle(sizes);
    at::Tensor saved;
    if (call->keep) saved = EmptyNhwc(sizes, at::kShort);
    auto* codes = y.codes.data_ptr<int8_t>();
    auto* kept = saved.defined() ? reinterpret_cast<uint16_t*>(saved.data_ptr<int16_t>()) : nullptr;
    rows.ForEach([&](int64_t, int64_t first, int64_t count) {
      sums.ForEach(first, count, [&](const int32_t* piece, int64_t pixel, int64_t n) {
        const int64_t at = pixel * rows.channels;
        BlockTail t = tail;
        t.residual = residual != nullptr ? residual + at : nullptr;
        CodesOfSums(piece, n, rows.channels, t, codes + at, kept != nullptr ? kept + at : nullptr);
      });
    });
    if (call->keep) {
      // max |x^| of each channel: bounds the gradient before it is computed.
      std::vector<float> most(static_cast<size_t>(s.out_channels), 0.0f);
      for (size_t c = 0; options.batch_statistics && c < most.size(); ++c) {
        const Statistics& t = p.statistics;
        most[c] = std::max(std::fabs(t.high[c] - t.mean[c]), std::fabs(t.low[c] - t.mean[c])) * t.inverse[c];
      }
      context->save_for_backward(
          {call->x.codes, weight_codes, call->weight_scale.clone(), saved, ToTensor(p.a), ToTensor(most)});
      context->saved_data["shape"] = ToWords(s);
      context->saved_data["weight_strides"] = weight.strides().vec();
      context->saved_data["x_scale"] = static_cast<double>(call->x.scale);
      context->saved_data["batch"] = options.batch_statistics;
      context->saved_data["needs"] =
          std::vector<int64_t>{x_handle.requires_grad(), weight.requires_grad(), residual_handle.requires_grad(),
                               biased && bias.requires_grad()};
      if (call->options.take_gradient) context->saved_data["take"] = c10::IValue::make_capsule(call->x.passed);
      if (call->options.pass_gradient) context->saved_data["pass"] = c10::IValue::make_capsule(call->residual.passed);
    }
    return y.handle;
  }

  static variable_list backward(AutogradContext* context, variable_list grads);
};

struct Backward {
  ConvShape shape;
  const float* dy;
  const uint16_t* saved;
  std::vector<float> a, p, q;  // gradient of the sums' values: a g + p x^ + q
  std::vector<float> most_g;   // [group][channel]
  GradientLayout layout;
  int64_t pixels() const { return shape.out[0] * shape.out[1]; }
};

// The sums that batch normalization needs; a, p, q and most_g from them.
void Reduce(Backward* b, bool batch, const float* a, at::Tensor* dgamma, at::Tensor* dbeta, float* g) {
  const StepProfile::Scope profile("normalize backward");
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
    SumPassedGradient(b->dy + at, b->saved + at, count, s.out_channels, sum, sum + channels,
                      most.data() + static_cast<size_t>(job) * channels, g != nullptr ? g + at : nullptr);
  });
  *dgamma = at::empty({s.out_channels}, at::kFloat);
  *dbeta = at::empty({s.out_channels}, at::kFloat);
  b->a.assign(a, a + channels);
  b->p.assign(channels, 0.0f);
  b->q.assign(channels, 0.0f);
  b->most_g.assign(channels * static_cast<size_t>(layout.groups), 0.0f);
  const auto n = static_cast<double>(s.batch * b->pixels());
  for (size_t c = 0; c < channels; ++c) {
    double sum_g = 0, sum_gx = 0;
    for (size_t j = 0; j < static_cast<size_t>(jobs); ++j) {
      sum_g += sums[j * 2 * channels + c];
      sum_gx += sums[j * 2 * channels + channels + c];
      float& top = b->most_g[j / static_cast<size_t>(parts) * channels + c];
      top = std::max(top, most[j * channels + c]);
    }
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

// Where a block leaves or finds a part of a gradient, or nothing.
PassedGradient* PassedOf(AutogradContext* context, const char* name) {
  const auto found = context->saved_data.find(name);
  return found == context->saved_data.end() ? nullptr : static_cast<PassedGradient*>(found->second.toCapsule().get());
}

variable_list BlockFunction::backward(AutogradContext* context, variable_list grads) {
  const variable_list saved = context->get_saved_variables();
  const std::vector<int64_t> needs = context->saved_data["needs"].toIntVector();
  const auto x_scale = static_cast<float>(context->saved_data["x_scale"].toDouble());
  const auto* weight_codes = saved[1].data_ptr<int8_t>();
  const auto* weight_scale = saved[2].data_ptr<float>();
  const auto* x_codes = saved[0].data_ptr<int8_t>();
  const at::Tensor dy = DenseGradient(grads[0]);
  Backward b;
  b.shape = FromWords(context->saved_data["shape"].toIntVector());
  const ConvShape& s = b.shape;
  b.layout = LayoutOfGradient(s);
  b.dy = dy.data_ptr<float>();
  b.saved = reinterpret_cast<const uint16_t*>(saved[3].data_ptr<int16_t>());
  at::Tensor dgamma, dbeta, dx, dweight, dresidual, dbias;
  if (needs[2] != 0) dresidual = EmptyNhwc(dy.sizes(), at::kFloat);
  Reduce(&b, context->saved_data["batch"].toBool(), saved[4].data_ptr<float>(), &dgamma, &dbeta,
         dresidual.defined() ? dresidual.data_ptr<float>() : nullptr);
  if (PassedGradient* pass = PassedOf(context, "pass")) {
    pass->gradient = pass->gradient.defined() ? pass->gradient.add_(dresidual) : dresidual;
    dresidual = at::Tensor();
  }
  at::Tensor taken;
  if (PassedGradient* take = PassedOf(context, "take")) std::swap(taken, take->gradient);
  const bool in_fp32 = WantsFp32Gradients();
  const bool in_s16 = s.group == 1 && !in_fp32 && !PrefersBf16Gradients();
  if (needs[0] != 0) {
    dx = in_s16 && taken.defined() ? taken : EmptyNhwc({s.batch, s.in_channels, s.in[0], s.in[1]}, at::kFloat);
  }
  if (needs[1] != 0) {
    dweight = at::empty_strided({s.out_channels, s.in_channels / s.group, s.kernel[0], s.kernel[1]},
                                context->saved_data["weight_strides"].toIntVector(), at::kFloat);
  }
  if (needs[3] != 0) {
    dbias = context->saved_data["batch"].toBool() ? at::zeros_like(dbeta) : dbeta * saved[4];
  }
  Workspace& space = Space();
  if (in_s16) {
    auto* codes = space.sums.Get<int16_t>(b.layout.size + 32);
    const std::vector<float> scales = WriteCodes(b, weight_scale, saved[5].data_ptr<float>(), codes);
    if (dx.defined()) {
      const StepProfile::Scope profile("data gradient");
      DataGradientS16(s, b.layout, codes, scales.data(), weight_codes, taken.defined(), dx.data_ptr<float>(),
                      &space.packed, Parallel);
    }
    if (dweight.defined()) {
      const StepProfile::Scope profile("weight gradient");
      std::vector<float> factor;
      for (int64_t k = 0; k < s.out_channels; ++k) factor.push_back(x_scale / weight_scale[k]);
      WeightGradientS16(s, b.layout, codes, scales.data(), x_codes, factor.data(), dweight.data_ptr<float>(),
                        &space.packed, Parallel);
    }
  } else if (s.group == 1 && !in_fp32) {
    Bf16Backward(b, x_codes, x_scale, weight_codes, weight_scale, dx.defined() ? dx.data_ptr<float>() : nullptr,
                 dweight.defined() ? dweight.data_ptr<float>() : nullptr);
  } else if (IsDepthwise(s) && !in_fp32) {
    DepthwiseBackward(b, x_codes, x_scale, weight_codes, weight_scale, dx.defined() ? dx.data_ptr<float>() : nullptr,
                      dweight.defined() ? dweight.data_ptr<float>() : nullptr);
  } else {
    // In FP32 from the codes: groups of several channels.
    const int64_t row = s.out[1] * s.out_channels;
    auto* values = space.sums.Get<float>(s.batch * s.out[0] * row);
    ForEachPiece(s.batch * s.out[0], std::max<int64_t>(1, kGrain / row), [&](int64_t begin, int64_t end) {
      GradientValues(b.dy + begin * row, b.saved + begin * row, (end - begin) * s.out[1], s.out_channels, b.a.data(),
                     b.p.data(), b.q.data(), values + begin * row);
    });
    if (dx.defined()) {
      const int64_t filter = saved[1].numel() / s.out_channels;
      auto* weights = space.weights.Get<float>(saved[1].numel());
      for (int64_t k = 0; k < s.out_channels; ++k) {
        DequantizeCodes(weight_codes + k * filter, filter, weight_scale[k], weights + k * filter);
      }
      ConvBackwardData(s, values, weights, dx.data_ptr<float>());
    }
    if (dweight.defined()) {
      auto* x = space.values.Get<float>(saved[0].numel());
      ForEachPiece(saved[0].numel(), kGrain, [&](int64_t begin, int64_t end) {
        DequantizeCodes(x_codes + begin, end - begin, x_scale, x + begin);
      });
      ConvBackwardWeight(s, x, values, dweight.data_ptr<float>(), nullptr);
    }
  }
  if (taken.defined() && !in_s16) dx.add_(taken);
  return {dx, dweight, dgamma, dbeta, dresidual, dbias, at::Tensor()};
}

}  // namespace

bool HasIntegerBlocks() {
  return HasS16Products();
}

CodedTensor IntegerBlock(const CodedTensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                         const at::Tensor& gamma, const at::Tensor& beta, const at::Tensor& mean,
                         const at::Tensor& variance, const CodedTensor& residual, const at::Tensor& bias,
                         const IntegerBlockOptions& options) {
  // An autograd function takes no undefined tensor: an empty one stands for no residual and for no bias.
  const at::Tensor joined = residual.defined() ? residual.handle : at::empty({0}, at::kFloat);
  const at::Tensor added = bias.defined() ? bias : at::empty({0}, at::kFloat);
  const bool keep =
      at::GradMode::is_enabled() && (x.handle.requires_grad() || weight.requires_grad() || gamma.requires_grad() ||
                                     beta.requires_grad() || joined.requires_grad() || added.requires_grad());
  Call call{x, residual, weight_scale, mean, variance, options, keep, {}};
  const at::Tensor handle = BlockFunction::apply(x.handle, weight, gamma, beta, joined, added, &call);
  call.result.handle = handle;
  return call.result;
}

}  // namespace octet::train
