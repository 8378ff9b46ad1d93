#include "engine/float_conv_dnnl.h"

#include <algorithm>
#include <dnnl.hpp>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "engine/kernels/kernels.h"

// oneDNN's threads are OpenMP's; declared here because this is all of OpenMP that the engine needs.
extern "C" int omp_get_max_threads(void);
extern "C" void omp_set_num_threads(int threads);

namespace octet::engine {
namespace {

using dnnl::memory;

memory::desc Plain(const memory::dims& dims, memory::format_tag tag) {
  return memory::desc(dims, memory::data_type::f32, tag);
}

// oneDNN decides when it makes a primitive among how many threads that will divide its work, and takes as many when it
// runs. The engine has threads of its own, so both happen under one.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Rows of one image, as they lie in memory of the caller.
memory::desc RowsOf(int64_t channels, int64_t rows, int64_t h, int64_t w, bool channels_last) {
  const memory::dims dims = {1, channels, rows, w};
  return channels_last
             ? memory::desc(dims, memory::data_type::f32, memory::dims{h * w * channels, 1, w * channels, channels})
             : memory::desc(dims, memory::data_type::f32, memory::dims{channels * h * w, h * w, w, 1});
}

using Description = dnnl::convolution_forward::primitive_desc;

// Of `rows` output rows of one image.
Description Describe(const dnnl::engine& engine, const FloatConvShape& s, bool bias, const memory::dims& weight_dims,
                     int64_t in_rows, int64_t rows, int64_t pad_top, int64_t pad_bottom, memory::format_tag tag) {
  const memory::desc src = Plain({1, s.in_c, in_rows, s.in_w}, tag);
  const memory::desc dst = Plain({1, s.out_c, rows, s.out_w}, tag);
  const memory::desc weights = Plain(weight_dims, memory::format_tag::any);
  const memory::desc bias_desc = bias ? Plain({s.out_c}, memory::format_tag::x) : memory::desc();
  const memory::dims strides = {s.stride_h, s.stride_w};
  const memory::dims dilations = {s.dilation_h - 1, s.dilation_w - 1};
  const memory::dims begin = {pad_top, s.pad_left};
  const memory::dims end = {pad_bottom, s.pad_right};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // bands run at the same time
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {engine, kind, algorithm, src, weights, bias_desc, dst, strides, dilations, begin, end, attr};
  return {engine, kind, algorithm, src, weights, dst, strides, dilations, begin, end, attr};
#else
  if (bias) return {{kind, algorithm, src, weights, bias_desc, dst, strides, dilations, begin, end}, attr, engine};
  return {{kind, algorithm, src, weights, dst, strides, dilations, begin, end}, attr, engine};
#endif
}

}  // namespace

struct FloatConv::Weights {
  memory weights;
};

struct FloatConv::Band {
  dnnl::stream stream;
  int64_t first_in = 0, first_out = 0;  // elements before the band's first row, in its image
  memory user_src, user_dst, src, dst;
  bool reorder_src = false, reorder_dst = false;
  dnnl::reorder to_src, from_dst;
  dnnl::convolution_forward conv;
  std::unordered_map<int, memory> args;
};

FloatConv::FloatConv(const FloatConvShape& s, const float* weights, const float* bias, int parts) : shape_(s) {
  const OneThread limit;
  using Tag = memory::format_tag;
  memory::dims dims = {s.out_c, s.in_c / s.groups, s.kernel_h, s.kernel_w};
  if (s.groups > 1) dims = {s.groups, s.out_c / s.groups, s.in_c / s.groups, s.kernel_h, s.kernel_w};
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    memory own_bias;
    if (bias) {
      own_bias = memory(Plain({s.out_c}, Tag::x), engine);
      std::copy_n(bias, s.out_c, static_cast<float*>(own_bias.get_data_handle()));
    }
    for (int part = 0; part < parts; ++part) {
      const Range rows = Share(s.out_h, part, parts);
      bands_.push_back(nullptr);
      if (rows.begin == rows.end || s.batch == 0) continue;
      bands_.back() = std::make_unique<Band>();
      Band& b = *bands_.back();
      // Input rows that the band's windows touch; what lies outside the image is padding.
      const int64_t begin = rows.begin * s.stride_h - s.pad_top;
      const int64_t end = (rows.end - 1) * s.stride_h - s.pad_top + (s.kernel_h - 1) * s.dilation_h + 1;
      const int64_t first = std::clamp<int64_t>(begin, 0, s.in_h - 1),
                    last = std::clamp<int64_t>(end, first + 1, s.in_h);
      const auto describe = [&](Tag tag) {
        return Describe(engine, s, bias != nullptr, dims, last - first, rows.end - rows.begin, first - begin,
                        end - last, tag);
      };
      Description desc = describe(Tag::nhwc);
      // Without a kernel for this layout it would be plain loops.
      if (std::string(desc.impl_info_str()).find("ref") != std::string::npos) desc = describe(Tag::any);
      b.stream = stream;
      b.first_in = first * s.in_w * (s.in_channels_last ? s.in_c : 1);
      b.first_out = rows.begin * s.out_w * (s.out_channels_last ? s.out_c : 1);
      b.conv = dnnl::convolution_forward(desc);
      const memory::desc in = RowsOf(s.in_c, last - first, s.in_h, s.in_w, s.in_channels_last);
      const memory::desc out = RowsOf(s.out_c, rows.end - rows.begin, s.out_h, s.out_w, s.out_channels_last);
      const bool direct = desc.src_desc() == Plain({1, s.in_c, last - first, s.in_w}, Tag::nhwc);
      b.reorder_src = !(s.in_channels_last && direct);
      b.reorder_dst =
          !(s.out_channels_last && desc.dst_desc() == Plain({1, s.out_c, rows.end - rows.begin, s.out_w}, Tag::nhwc));
      b.src = b.reorder_src ? memory(desc.src_desc(), engine) : memory(desc.src_desc(), engine, nullptr);
      b.dst = b.reorder_dst ? memory(desc.dst_desc(), engine) : memory(desc.dst_desc(), engine, nullptr);
      if (b.reorder_src) {
        b.user_src = memory(in, engine, nullptr);
        b.to_src = dnnl::reorder(b.user_src, b.src);
      }
      if (b.reorder_dst) {
        b.user_dst = memory(out, engine, nullptr);
        b.from_dst = dnnl::reorder(b.dst, b.user_dst);
      }
      const Weights* packed = nullptr;
      for (const auto& w : weights_) packed = w->weights.get_desc() == desc.weights_desc() ? w.get() : packed;
      if (packed == nullptr) {
        weights_.push_back(std::make_unique<Weights>(Weights{memory(desc.weights_desc(), engine)}));
        packed = weights_.back().get();
        memory plain(Plain(dims, s.groups > 1 ? Tag::goihw : Tag::oihw), engine, const_cast<float*>(weights));
        memory to = packed->weights;
        dnnl::reorder(plain, to).execute(stream, plain, to);
      }
      b.args = {{DNNL_ARG_SRC, b.src},
                {DNNL_ARG_WEIGHTS, packed->weights},
                {DNNL_ARG_DST, b.dst},
                {DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine)}};
      if (bias) b.args[DNNL_ARG_BIAS] = own_bias;
    }
    stream.wait();
  } catch (const dnnl::error& e) {
    OCTET_FAIL("oneDNN has no FP32 convolution {}x{} of {} to {} channels: {}", s.kernel_h, s.kernel_w, s.in_c, s.out_c,
               e.what());
  }
}

FloatConv::~FloatConv() = default;

void FloatConv::Run(const float* x, float* y, int part) {
  if (bands_[static_cast<size_t>(part)] == nullptr) return;
  Band& b = *bands_[static_cast<size_t>(part)];
  const OneThread limit;
  try {
    for (int64_t n = 0; n < shape_.batch; ++n) {
      auto* from = const_cast<float*>(x) + n * shape_.in_c * shape_.in_h * shape_.in_w + b.first_in;
      float* to = y + n * shape_.out_c * shape_.out_h * shape_.out_w + b.first_out;
      (b.reorder_src ? b.user_src : b.src).set_data_handle(from);
      (b.reorder_dst ? b.user_dst : b.dst).set_data_handle(to);
      if (b.reorder_src) b.to_src.execute(b.stream, b.user_src, b.src);
      b.conv.execute(b.stream, b.args);
      if (b.reorder_dst) b.from_dst.execute(b.stream, b.dst, b.user_dst);
    }
    b.stream.wait();
  } catch (const dnnl::error& e) {
    OCTET_CHECK(false, "oneDNN: {}", e.what());
  }
}

}  // namespace octet::engine
