#include "train/kernels/gradient_bf16_dnnl.h"

#include <cstdlib>
#include <string>

#include "base/error.h"
#include "train/kernels/common_dnnl.h"

namespace octet::train {
namespace {

using dnnl::memory;
using Dims = memory::dims;
using Type = memory::data_type;

struct Compiled {
  memory::desc x, y, given, weight;  // `given`: the weight as the caller holds it; `weight`: as the primitive wants it
  dnnl::primitive primitive;
};

struct Geometry {
  Dims x, weight;  // sizes
  Dims strides, dilates, begin, end;
};

dnnl::convolution_forward::primitive_desc Hint(const Compiled& c, const Geometry& g) {
  const memory::desc x(g.x, Type::bf16, memory::format_tag::nhwc);
  const memory::desc weight(g.weight, Type::bf16, memory::format_tag::any);
  const auto kind = dnnl::prop_kind::forward_training;
  const auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {DnnlEngine(), kind, direct, x, weight, memory::desc(), c.y, g.strides, g.dilates, g.begin, g.end};
#else
  return {dnnl::convolution_forward::desc(kind, direct, x, weight, c.y, g.strides, g.dilates, g.begin, g.end),
          DnnlEngine()};
#endif
}

Compiled Build(const ConvShape& s, bool of_weight) {
  Compiled c;
  const int64_t row = s.kernel[1] * s.in_channels, filter = s.kernel[0] * row;
  const Type gradient = Type::f32, operand = Type::bf16;
  const Dims dims = {s.out_channels, s.in_channels, s.kernel[0], s.kernel[1]};
  c.x = memory::desc({s.batch, s.in_channels, s.in[0], s.in[1]}, of_weight ? operand : gradient,
                     memory::format_tag::nhwc);
  c.y = memory::desc({s.batch, s.out_channels, s.out[0], s.out[1]}, operand, memory::format_tag::nhwc);
  c.given = memory::desc(dims, of_weight ? gradient : operand, Dims{filter, 1, row, s.in_channels});
  const memory::desc any(dims, of_weight ? gradient : operand, memory::format_tag::any);
  const Geometry g = {{s.batch, s.in_channels, s.in[0], s.in[1]},
                      dims,
                      {s.strides[0], s.strides[1]},
                      {s.dilations[0] - 1, s.dilations[1] - 1},
                      {s.pad_begin[0], s.pad_begin[1]},
                      {s.pad_end[0], s.pad_end[1]}};
  const auto direct = dnnl::algorithm::convolution_direct;
  if (of_weight) {
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_weights::primitive_desc desc(DnnlEngine(), direct, c.x, any, memory::desc(), c.y,
                                                                  g.strides, g.dilates, g.begin, g.end, Hint(c, g));
#else
    const dnnl::convolution_backward_weights::primitive_desc desc(
        dnnl::convolution_backward_weights::desc(direct, c.x, any, c.y, g.strides, g.dilates, g.begin, g.end),
        DnnlEngine(), Hint(c, g));
#endif
    c.weight = desc.diff_weights_desc();
    c.primitive = dnnl::convolution_backward_weights(desc);
  } else {
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_data::primitive_desc desc(DnnlEngine(), direct, c.x, any, c.y, g.strides,
                                                               g.dilates, g.begin, g.end, Hint(c, g));
#else
    const dnnl::convolution_backward_data::primitive_desc desc(
        dnnl::convolution_backward_data::desc(direct, c.x, any, c.y, g.strides, g.dilates, g.begin, g.end),
        DnnlEngine(), Hint(c, g));
#endif
    c.weight = desc.weights_desc();
    c.primitive = dnnl::convolution_backward_data(desc);
  }
  return c;
}

void Run(const ConvShape& s, bool of_weight, const void* x, const void* weight, const uint16_t* dy) {
  static auto* cache = new DnnlCache<Compiled>;
  try {
    const auto compiled = cache->Get({of_weight}, s, [&] { return Build(s, of_weight); });
    const Compiled& c = *compiled;
    dnnl::stream& stream = DnnlStream();
    memory user = DnnlWrap(c.given, weight);
    memory packed = c.weight == c.given ? user : memory(c.weight, DnnlEngine());
    if (of_weight) {
      c.primitive.execute(
          stream,
          {{DNNL_ARG_SRC, DnnlWrap(c.x, x)}, {DNNL_ARG_DIFF_DST, DnnlWrap(c.y, dy)}, {DNNL_ARG_DIFF_WEIGHTS, packed}});
      if (c.weight != c.given) dnnl::reorder(packed, user).execute(stream, packed, user);
    } else {
      if (c.weight != c.given) dnnl::reorder(user, packed).execute(stream, user, packed);
      c.primitive.execute(
          stream,
          {{DNNL_ARG_DIFF_SRC, DnnlWrap(c.x, x)}, {DNNL_ARG_DIFF_DST, DnnlWrap(c.y, dy)}, {DNNL_ARG_WEIGHTS, packed}});
    }
    stream.wait();
  } catch (const dnnl::error& e) {
    OCTET_CHECK(false, "oneDNN bfloat16 gradient: {} ({})", e.what(), ToString(s));
  }
}

}  // namespace

bool PrefersBf16Gradients() {
  const char* forced = std::getenv("OCTET_FORCE_BF16");
  if (forced != nullptr && std::string(forced) == "1") return true;
  static const bool amx = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_amx;
  return amx;
}

void DataGradientBf16(const ConvShape& shape, const uint16_t* dy, const uint16_t* weight, float* dx) {
  Run(shape, false, dx, weight, dy);
}

void WeightGradientBf16(const ConvShape& shape, const uint16_t* x, const uint16_t* dy, float* dweight) {
  Run(shape, true, x, dweight, dy);
}

}  // namespace octet::train
