#include "train/kernels/conv_dnnl.h"

#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "train/kernels/common_dnnl.h"

namespace octet::train {
namespace {

using dnnl::memory;
using Dims = memory::dims;

struct Descriptions {
  memory::desc x, weight, bias, y;  // as the caller holds them
  memory::desc any_weight;
  Dims strides, dilates, begin, end;
};

Descriptions Describe(const ConvShape& s, bool bias) {
  Descriptions d;
  const auto f32 = memory::data_type::f32;
  d.x = memory::desc({s.batch, s.in_channels, s.in[0], s.in[1]}, f32, memory::format_tag::nhwc);
  d.y = memory::desc({s.batch, s.out_channels, s.out[0], s.out[1]}, f32, memory::format_tag::nhwc);
  const int64_t in = s.in_channels / s.group, out = s.out_channels / s.group;
  const int64_t row = s.kernel[1] * in, filter = s.kernel[0] * row;
  if (s.group == 1) {
    const Dims dims = {out, in, s.kernel[0], s.kernel[1]};
    d.weight = memory::desc(dims, f32, Dims{filter, 1, row, in});
    d.any_weight = memory::desc(dims, f32, memory::format_tag::any);
  } else {
    const Dims dims = {s.group, out, in, s.kernel[0], s.kernel[1]};
    d.weight = memory::desc(dims, f32, Dims{out * filter, filter, 1, row, in});
    d.any_weight = memory::desc(dims, f32, memory::format_tag::any);
  }
  if (bias) d.bias = memory::desc({s.out_channels}, f32, memory::format_tag::x);
  d.strides = {s.strides[0], s.strides[1]};
  d.dilates = {s.dilations[0] - 1, s.dilations[1] - 1};
  d.begin = {s.pad_begin[0], s.pad_begin[1]};
  d.end = {s.pad_end[0], s.pad_end[1]};
  return d;
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

// oneDNN 2 has operation descriptors, oneDNN 3 puts their arguments into the primitive descriptor.
dnnl::convolution_forward::primitive_desc ForwardDesc(const Descriptions& d, bool bias) {
#if DNNL_VERSION_MAJOR >= 3
  return {DnnlEngine(), dnnl::prop_kind::forward_training,
          kDirect,      d.x,
          d.any_weight, bias ? d.bias : memory::desc(),
          d.y,          d.strides,
          d.dilates,    d.begin,
          d.end};
#else
  using Forward = dnnl::convolution_forward;
  const auto kind = dnnl::prop_kind::forward_training;
  const Forward::desc desc =
      bias ? Forward::desc(kind, kDirect, d.x, d.any_weight, d.bias, d.y, d.strides, d.dilates, d.begin, d.end)
           : Forward::desc(kind, kDirect, d.x, d.any_weight, d.y, d.strides, d.dilates, d.begin, d.end);
  return {desc, DnnlEngine()};
#endif
}

dnnl::convolution_backward_data::primitive_desc BackwardDataDesc(const Descriptions& d) {
#if DNNL_VERSION_MAJOR >= 3
  return {DnnlEngine(), kDirect, d.x, d.any_weight, d.y, d.strides, d.dilates, d.begin, d.end, ForwardDesc(d, false)};
#else
  const dnnl::convolution_backward_data::desc desc(kDirect, d.x, d.any_weight, d.y, d.strides, d.dilates, d.begin,
                                                   d.end);
  return {desc, DnnlEngine(), ForwardDesc(d, false)};
#endif
}

dnnl::convolution_backward_weights::primitive_desc BackwardWeightDesc(const Descriptions& d, bool bias) {
#if DNNL_VERSION_MAJOR >= 3
  return {DnnlEngine(), kDirect, d.x,   d.any_weight,        bias ? d.bias : memory::desc(), d.y, d.strides,
          d.dilates,    d.begin, d.end, ForwardDesc(d, bias)};
#else
  using Backward = dnnl::convolution_backward_weights;
  const Backward::desc desc =
      bias ? Backward::desc(kDirect, d.x, d.any_weight, d.bias, d.y, d.strides, d.dilates, d.begin, d.end)
           : Backward::desc(kDirect, d.x, d.any_weight, d.y, d.strides, d.dilates, d.begin, d.end);
  return {desc, DnnlEngine(), ForwardDesc(d, bias)};
#endif
}

struct Compiled {
  Descriptions described;
  memory::desc weight;  // as the primitive wants it
  dnnl::primitive primitive;
};

enum Kind { kForward, kData, kWeight };

Compiled Build(const ConvShape& shape, Kind kind, bool bias) {
  Compiled c;
  c.described = Describe(shape, bias);
  if (kind == kForward) {
    const auto desc = ForwardDesc(c.described, bias);
    c.weight = desc.weights_desc();
    c.primitive = dnnl::convolution_forward(desc);
  } else if (kind == kData) {
    const auto desc = BackwardDataDesc(c.described);
    c.weight = desc.weights_desc();
    c.primitive = dnnl::convolution_backward_data(desc);
  } else {
    const auto desc = BackwardWeightDesc(c.described, bias);
    c.weight = desc.diff_weights_desc();
    c.primitive = dnnl::convolution_backward_weights(desc);
  }
  return c;
}

std::shared_ptr<const Compiled> Compile(const ConvShape& shape, Kind kind, bool bias) {
  static auto* cache = new DnnlCache<Compiled>;
  return cache->Get({kind, bias}, shape, [&] { return Build(shape, kind, bias); });
}

memory PackedWeight(const Compiled& c, const float* weight) {
  const memory user = DnnlWrap(c.described.weight, weight);
  if (c.weight == c.described.weight) return user;
  memory packed(c.weight, DnnlEngine());
  dnnl::reorder(user, packed).execute(DnnlStream(), const_cast<memory&>(user), packed);
  return packed;
}

template <typename F>
void Guard(const char* what, const ConvShape& s, F run) {
  try {
    run();
    DnnlStream().wait();
  } catch (const dnnl::error& e) {
    OCTET_CHECK(false, "oneDNN {}: {} ({})", what, e.what(), ToString(s));
  }
}

// oneDNN 2.6 gathers the pixels that a strided 1x1 convolution reads before it makes the weight gradient, and writes
// past its scratch memory when their channels are no multiple of 16 (13 channels and two threads: a corrupted heap).
bool GatherOverruns(const ConvShape& s) {
  const std::array<int64_t, 2> one = {1, 1}, none = {0, 0};
  return s.kernel == one && s.strides != one && s.pad_begin == none && s.in_channels / s.group % 16 != 0;
}

// The same convolution with stride 1, of only the pixels that it reads.
ConvShape GatherPixels(const ConvShape& s, const float* x, std::vector<float>* gathered) {
  gathered->reserve(static_cast<size_t>(s.batch * s.out[0] * s.out[1] * s.in_channels));
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t h = 0; h < s.out[0]; ++h) {
      for (int64_t w = 0; w < s.out[1]; ++w) {
        const float* pixel = x + ((n * s.in[0] + h * s.strides[0]) * s.in[1] + w * s.strides[1]) * s.in_channels;
        gathered->insert(gathered->end(), pixel, pixel + s.in_channels);
      }
    }
  }
  ConvShape dense = s;
  dense.in = s.out;
  dense.strides = {1, 1};
  dense.pad_end = {0, 0};
  return dense;
}

}  // namespace

std::string ToString(const ConvShape& s) {
  return fmt::format("{}x{}x{}x{} -> {} channels, kernel {}x{}, group {}", s.batch, s.in_channels, s.in[0], s.in[1],
                     s.out_channels, s.kernel[0], s.kernel[1], s.group);
}

void ConvForward(const ConvShape& shape, const float* x, const float* weight, const float* bias, float* y) {
  Guard("convolution", shape, [&] {
    const auto compiled = Compile(shape, kForward, bias != nullptr);
    const Compiled& c = *compiled;
    std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, DnnlWrap(c.described.x, x)},
                                            {DNNL_ARG_WEIGHTS, PackedWeight(c, weight)},
                                            {DNNL_ARG_DST, DnnlWrap(c.described.y, y)}};
    if (bias != nullptr) args.emplace(DNNL_ARG_BIAS, DnnlWrap(c.described.bias, bias));
    c.primitive.execute(DnnlStream(), args);
  });
}

void ConvBackwardData(const ConvShape& shape, const float* dy, const float* weight, float* dx) {
  Guard("convolution, data gradient", shape, [&] {
    const auto compiled = Compile(shape, kData, false);
    const Compiled& c = *compiled;
    c.primitive.execute(DnnlStream(), {{DNNL_ARG_DIFF_DST, DnnlWrap(c.described.y, dy)},
                                       {DNNL_ARG_WEIGHTS, PackedWeight(c, weight)},
                                       {DNNL_ARG_DIFF_SRC, DnnlWrap(c.described.x, dx)}});
  });
}

void ConvBackwardWeight(const ConvShape& shape, const float* x, const float* dy, float* dweight, float* dbias) {
  if (GatherOverruns(shape)) {
    std::vector<float> pixels;
    const ConvShape dense = GatherPixels(shape, x, &pixels);
    return ConvBackwardWeight(dense, pixels.data(), dy, dweight, dbias);
  }
  Guard("convolution, weight gradient", shape, [&] {
    const auto compiled = Compile(shape, kWeight, dbias != nullptr);
    const Compiled& c = *compiled;
    memory user = DnnlWrap(c.described.weight, dweight);
    const bool direct = c.weight == c.described.weight;
    memory packed = direct ? user : memory(c.weight, DnnlEngine());
    std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, DnnlWrap(c.described.x, x)},
                                            {DNNL_ARG_DIFF_DST, DnnlWrap(c.described.y, dy)},
                                            {DNNL_ARG_DIFF_WEIGHTS, packed}};
    if (dbias != nullptr) args.emplace(DNNL_ARG_DIFF_BIAS, DnnlWrap(c.described.bias, dbias));
    c.primitive.execute(DnnlStream(), args);
    if (!direct) dnnl::reorder(packed, user).execute(DnnlStream(), packed, user);
  });
}

}  // namespace octet::train
