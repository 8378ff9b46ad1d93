#include "engine/float_conv_dnnl.h"

#include <dnnl.hpp>
#include <unordered_map>

#include "base/error.h"

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
// runs: both must happen under the caller's number.
class ThreadsOfOpenMp {
 public:
  explicit ThreadsOfOpenMp(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~ThreadsOfOpenMp() { omp_set_num_threads(before_); }
  ThreadsOfOpenMp(const ThreadsOfOpenMp&) = delete;
  ThreadsOfOpenMp& operator=(const ThreadsOfOpenMp&) = delete;

 private:
  int before_;
};

dnnl::convolution_forward::primitive_desc Describe(const dnnl::engine& engine, const FloatConvShape& s, bool bias,
                                                   const memory::dims& weight_dims) {
  using Tag = memory::format_tag;
  const memory::desc src = Plain({s.batch, s.in_c, s.in_h, s.in_w}, Tag::any);
  const memory::desc dst = Plain({s.batch, s.out_c, s.out_h, s.out_w}, Tag::any);
  const memory::desc weights = Plain(weight_dims, Tag::any);
  const memory::desc bias_desc = bias ? Plain({s.out_c}, Tag::x) : memory::desc();
  const memory::dims strides = {s.stride_h, s.stride_w};
  const memory::dims dilations = {s.dilation_h - 1, s.dilation_w - 1};
  const memory::dims begin = {s.pad_top, s.pad_left};
  const memory::dims end = {s.pad_bottom, s.pad_right};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {engine, kind, algorithm, src, weights, bias_desc, dst, strides, dilations, begin, end};
  return {engine, kind, algorithm, src, weights, dst, strides, dilations, begin, end};
#else
  if (bias) return {{kind, algorithm, src, weights, bias_desc, dst, strides, dilations, begin, end}, engine};
  return {{kind, algorithm, src, weights, dst, strides, dilations, begin, end}, engine};
#endif
}

}  // namespace

struct FloatConv::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::convolution_forward::primitive_desc desc;
  dnnl::convolution_forward conv;
  memory user_src, user_dst, src, dst, weights, bias;
  dnnl::reorder to_src, from_dst;
  std::unordered_map<int, memory> args;
};

FloatConv::FloatConv(const FloatConvShape& s, const float* weights, const float* bias, int threads)
    : threads_(threads), state_(std::make_unique<State>()) {
  const ThreadsOfOpenMp limit(threads_);
  using Tag = memory::format_tag;
  State& st = *state_;
  try {
    memory::dims dims = {s.out_c, s.in_c / s.groups, s.kernel_h, s.kernel_w};
    if (s.groups > 1) dims = {s.groups, s.out_c / s.groups, s.in_c / s.groups, s.kernel_h, s.kernel_w};
    st.desc = Describe(st.engine, s, bias != nullptr, dims);
    st.conv = dnnl::convolution_forward(st.desc);
    st.user_src = memory(Plain({s.batch, s.in_c, s.in_h, s.in_w}, Tag::nchw), st.engine, nullptr);
    st.user_dst = memory(Plain({s.batch, s.out_c, s.out_h, s.out_w}, Tag::nchw), st.engine, nullptr);
    st.src = memory(st.desc.src_desc(), st.engine);
    st.dst = memory(st.desc.dst_desc(), st.engine);
    st.to_src = dnnl::reorder(st.user_src, st.src);
    st.from_dst = dnnl::reorder(st.dst, st.user_dst);
    memory plain(Plain(dims, s.groups > 1 ? Tag::goihw : Tag::oihw), st.engine, const_cast<float*>(weights));
    st.weights = memory(st.desc.weights_desc(), st.engine);
    dnnl::reorder(plain, st.weights).execute(st.stream, plain, st.weights);
    st.args = {{DNNL_ARG_SRC, st.src}, {DNNL_ARG_WEIGHTS, st.weights}, {DNNL_ARG_DST, st.dst}};
    if (bias) {
      memory plain_bias(Plain({s.out_c}, Tag::x), st.engine, const_cast<float*>(bias));
      st.bias = memory(st.desc.bias_desc(), st.engine);
      dnnl::reorder(plain_bias, st.bias).execute(st.stream, plain_bias, st.bias);
      st.args[DNNL_ARG_BIAS] = st.bias;
    }
    st.stream.wait();
  } catch (const dnnl::error& e) {
    OCTET_FAIL("oneDNN has no FP32 convolution {}x{} of {} to {} channels: {}", s.kernel_h, s.kernel_w, s.in_c, s.out_c,
               e.what());
  }
}

FloatConv::~FloatConv() = default;

void FloatConv::Run(const float* x, float* y) {
  State& st = *state_;
  const ThreadsOfOpenMp limit(threads_);
  st.user_src.set_data_handle(const_cast<float*>(x));
  st.user_dst.set_data_handle(y);
  try {
    st.to_src.execute(st.stream, st.user_src, st.src);
    st.conv.execute(st.stream, st.args);
    st.from_dst.execute(st.stream, st.dst, st.user_dst);
    st.stream.wait();
  } catch (const dnnl::error& e) {
    OCTET_CHECK(false, "oneDNN: {}", e.what());
  }
}

}  // namespace octet::engine
