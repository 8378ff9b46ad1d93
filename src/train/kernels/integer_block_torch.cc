#include <atomic>
#include <cmath>

#include "train/kernels/depthwise_codes.h"
#include "train/kernels/integer_block.h"
#include "train/kernels/integer_conv_dnnl.h"
#include "train/kernels/integer_gradient.h"
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
      y.sums = c10::make_intrusive<GradientSums>();
      y.sums->values = saved;
      y.sums->images_per_scale = LayoutOfGradient(s).images_per_scale;
      context->saved_data["sums"] = c10::IValue::make_capsule(y.sums);
      if (call->options.sum_gradient && call->x.sums) {
        context->saved_data["sums_of_x"] = c10::IValue::make_capsule(call->x.sums);
      }
    }
    return y.handle;
  }

  static variable_list backward(AutogradContext* context, variable_list grads);
};
// What a block shares with another, or nothing.
template <typename T>
T* SharedOf(AutogradContext* context, const char* name) {
  const auto found = context->saved_data.find(name);
  return found == context->saved_data.end() ? nullptr : static_cast<T*>(found->second.toCapsule().get());
}

variable_list BlockFunction::backward(AutogradContext* context, variable_list grads) {
  const variable_list saved = context->get_saved_variables();
  const std::vector<int64_t> needs = context->saved_data["needs"].toIntVector();
  KeptBlock block;
  block.shape = FromWords(context->saved_data["shape"].toIntVector());
  block.x = saved[0];
  block.weight = saved[1];
  block.weight_scale = saved[2];
  block.values = saved[3];
  block.a = saved[4];
  block.most = saved[5];
  block.x_scale = static_cast<float>(context->saved_data["x_scale"].toDouble());
  block.batch_statistics = context->saved_data["batch"].toBool();
  block.weight_strides = context->saved_data["weight_strides"].toIntVector();
  block.needs_x = needs[0] != 0;
  block.needs_weight = needs[1] != 0;
  block.needs_residual = needs[2] != 0;
  block.needs_bias = needs[3] != 0;
  block.pass = SharedOf<PassedGradient>(context, "pass");
  block.take = SharedOf<PassedGradient>(context, "take");
  block.sums = SharedOf<GradientSums>(context, "sums");
  block.sums_of_x = SharedOf<GradientSums>(context, "sums_of_x");
  const BlockGradients g = GradientsOf(block, DenseGradient(grads[0]));
  return {g.x, g.weight, g.gamma, g.beta, g.residual, g.bias, at::Tensor()};
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
