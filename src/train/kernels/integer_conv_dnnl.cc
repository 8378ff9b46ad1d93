#include "train/kernels/integer_conv_dnnl.h"

#include <cstring>
#include <vector>

#include "base/error.h"
#include "train/kernels/common_dnnl.h"
#include "train/step_profile.h"

namespace octet::train {
namespace {

using dnnl::memory;
using Dims = memory::dims;

// Where the primitive wants each weight: the sum of an offset for its output channel, its tap and its input channel.
// oneDNN's own reorder of signed bytes from this order is its slow reference (2.6: a tenth of a training step).
struct Places {
  std::vector<int64_t> out, tap, in;  // empty: unknown; the reorder does it
  bool quads = false;                 // four input channels lie side by side
};

struct Compiled {
  Places places;
  memory::desc x, y;
  memory::desc given, weight;  // as the caller holds it; as the primitive wants it
  memory packed;
  dnnl::reorder pack;
  dnnl::convolution_forward primitive;
};

#if DNNL_VERSION_MAJOR < 3
// Offsets along one dimension of a blocked layout.
std::vector<int64_t> OffsetsOf(const dnnl_memory_desc_t& d, int dimension, int64_t size) {
  const dnnl_blocking_desc_t& blocking = d.format_desc.blocking;
  int64_t whole = 1;  // elements of this dimension in all inner blocks
  for (int i = 0; i < blocking.inner_nblks; ++i) {
    if (blocking.inner_idxs[i] == dimension) whole *= blocking.inner_blks[i];
  }
  std::vector<int64_t> offsets;
  for (int64_t at = 0; at < size; ++at) {
    int64_t offset = at / whole * blocking.strides[dimension], rest = at % whole, stride = 1;
    for (int i = blocking.inner_nblks; i-- > 0;) {
      if (blocking.inner_idxs[i] == dimension) {
        offset += rest % blocking.inner_blks[i] * stride;
        rest /= blocking.inner_blks[i];
      }
      stride *= blocking.inner_blks[i];
    }
    offsets.push_back(offset);
  }
  return offsets;
}
#endif

Places PlacesOf(const ConvShape& s, const memory::desc& weight) {
  Places p;
#if DNNL_VERSION_MAJOR < 3
  const dnnl_memory_desc_t& d = weight.data;
  if (s.group != 1 || d.format_kind != dnnl_blocked || d.extra.flags != 0 || d.offset0 != 0) return p;
  p.out = OffsetsOf(d, 0, s.out_channels);
  p.in = OffsetsOf(d, 1, s.in_channels);
  const std::vector<int64_t> rows = OffsetsOf(d, 2, s.kernel[0]), columns = OffsetsOf(d, 3, s.kernel[1]);
  for (const int64_t r : rows) {
    for (const int64_t q : columns) p.tap.push_back(r + q);
  }
  p.quads = s.in_channels % 4 == 0;
  for (size_t i = 0; i < p.in.size(); ++i)
    p.quads = p.quads && p.in[i] == p.in[i / 4 * 4] + static_cast<int64_t>(i % 4);
#endif
  return p;
}

void Place(const Places& p, const int8_t* weight, int8_t* packed, const ParallelFor& parallel) {
  const auto taps = static_cast<int64_t>(p.tap.size()), in = static_cast<int64_t>(p.in.size());
  constexpr int64_t kJobs = 16;
  const auto filters = static_cast<int64_t>(p.out.size());
  parallel(kJobs, [&](int64_t job) {
    for (int64_t o = filters * job / kJobs; o < filters * (job + 1) / kJobs; ++o) {
      for (int64_t t = 0; t < taps; ++t) {
        int8_t* to = packed + p.out[static_cast<size_t>(o)] + p.tap[static_cast<size_t>(t)];
        const int8_t* from = weight + (o * taps + t) * in;
        if (p.quads) {
          for (int64_t i = 0; i < in; i += 4) std::memcpy(to + p.in[static_cast<size_t>(i)], from + i, 4);
        } else {
          for (int64_t i = 0; i < in; ++i) to[p.in[static_cast<size_t>(i)]] = from[i];
        }
      }
    }
  });
}

Compiled Build(const ConvShape& s, bool non_negative) {
  Compiled c;
  const int64_t in = s.in_channels / s.group, out = s.out_channels / s.group;
  c.x = memory::desc({s.batch, s.in_channels, s.in[0], s.in[1]},
                     non_negative ? memory::data_type::u8 : memory::data_type::s8, memory::format_tag::nhwc);
  c.y = memory::desc({s.batch, s.out_channels, s.out[0], s.out[1]}, memory::data_type::s32, memory::format_tag::nhwc);
  const int64_t row = s.kernel[1] * in, filter = s.kernel[0] * row;
  Dims dims = {out, in, s.kernel[0], s.kernel[1]}, strides = {filter, 1, row, in};
  if (s.group > 1) {
    dims.insert(dims.begin(), s.group);
    strides.insert(strides.begin(), out * filter);
  }
  const auto s8 = memory::data_type::s8;
  c.given = memory::desc(dims, s8, strides);
  const memory::desc any(dims, s8, memory::format_tag::any);
  const Dims stride = {s.strides[0], s.strides[1]}, dilate = {s.dilations[0] - 1, s.dilations[1] - 1};
  const Dims begin = {s.pad_begin[0], s.pad_begin[1]}, end = {s.pad_end[0], s.pad_end[1]};
  const auto kind = dnnl::prop_kind::forward_training;
  const auto direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_forward::primitive_desc desc(DnnlEngine(), kind, direct, c.x, any, memory::desc(), c.y,
                                                       stride, dilate, begin, end);
#else
  const dnnl::convolution_forward::desc operation(kind, direct, c.x, any, c.y, stride, dilate, begin, end);
  const dnnl::convolution_forward::primitive_desc desc(operation, DnnlEngine());
#endif
  c.weight = desc.weights_desc();
  c.packed = memory(c.weight, DnnlEngine());
  c.places = PlacesOf(s, c.weight);
  std::memset(c.packed.get_data_handle(), 0, c.weight.get_size());  // what pads the blocks stays zero
  c.pack = dnnl::reorder(dnnl::reorder::primitive_desc(DnnlEngine(), c.given, DnnlEngine(), c.weight));
  c.primitive = dnnl::convolution_forward(desc);
  return c;
}

}  // namespace

void ConvSumsS8(const ConvShape& s, const int8_t* x, bool non_negative, const int8_t* weight, int32_t* sums,
                const ParallelFor& parallel) {
  static auto* cache = new DnnlCache<Compiled>;
  static std::mutex packing;  // calls of one shape share `packed`
  try {
    const auto compiled = cache->Get({non_negative}, s, [&] { return Build(s, non_negative); });
    Compiled& c = *compiled;
    const std::lock_guard<std::mutex> lock(packing);
    const memory given = DnnlWrap(c.given, weight);
    {
      const StepProfile::Scope profile("weights packed");
      if (!c.places.out.empty()) {
        Place(c.places, weight, static_cast<int8_t*>(c.packed.get_data_handle()), parallel);
      } else {
        c.pack.execute(DnnlStream(), const_cast<memory&>(given), c.packed);
        DnnlStream().wait();
      }
    }
    const StepProfile::Scope profile("conv forward");
    c.primitive.execute(
        DnnlStream(),
        {{DNNL_ARG_SRC, DnnlWrap(c.x, x)}, {DNNL_ARG_WEIGHTS, c.packed}, {DNNL_ARG_DST, DnnlWrap(c.y, sums)}});
    DnnlStream().wait();
  } catch (const dnnl::error& e) {
    OCTET_CHECK(false, "oneDNN INT8 convolution: {} ({})", e.what(), ToString(s));
  }
}

}  // namespace octet::train
