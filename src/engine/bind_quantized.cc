// Steps of the lowered operators (ops/quantized).
#include <algorithm>

#include "base/error.h"
#include "engine/bind.h"
#include "ops/quantized/epilogue.h"

namespace octet::engine {
namespace {

using ir::kNoValue;
using ir::Node;
using ir::ValueId;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float ScaleOf(const Node& node, const char* attr) {
  const float scale = node.attr_float(attr, 0.0f);
  OCTET_REQUIRE(scale > 0.0f && scale < kInfinity,
                "engine: node '{}' ({}): {} is {}; a scale must be positive and finite", node.name, node.op, attr,
                scale);
  return scale;
}

// The scale of a quantized result; 0 for an f32 result. Checks that it goes with the type of the output.
float ResultScale(const Node& node, const Place& out) {
  const float scale = node.attr_float("y_scale", 0.0f);
  OCTET_REQUIRE((scale != 0.0f) == out.codes, "engine: node '{}' ({}): y_scale {} does not go with a result of type {}",
                node.name, node.op, scale, ir::ToString(out.type));
  return scale == 0.0f ? 0.0f : ScaleOf(node, "y_scale");
}

// A clip is done on the codes.
Quantizer QuantizerOf(float y_scale, const quant::Activation& a) {
  return a.kind == quant::ActivationKind::kClip ? MakeQuantizer(y_scale, a.alpha, a.beta) : MakeQuantizer(y_scale);
}

float* F32(const Place& p) {
  return reinterpret_cast<float*>(p.dense);
}

struct Window {
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, bottom, right;
};

Window WindowOf(const Node& node, int64_t kernel_h, int64_t kernel_w) {
  const std::vector<int64_t> strides = node.attr_ints("strides", {1, 1});
  const std::vector<int64_t> dilations = node.attr_ints("dilations", {1, 1});
  const std::vector<int64_t> pads = node.attr_ints("pads", {0, 0, 0, 0});
  const auto two = [](const std::vector<int64_t>& v, size_t i) { return v.empty() ? 1 : v.at(i); };
  const auto four = [](const std::vector<int64_t>& v, size_t i) { return v.empty() ? 0 : v.at(i); };
  OCTET_REQUIRE((strides.empty() || strides.size() == 2) && (dilations.empty() || dilations.size() == 2) &&
                    (pads.empty() || pads.size() == 4),
                "engine: node '{}' ({}): strides, dilations and pads must be two-dimensional", node.name, node.op);
  Window w{kernel_h,          kernel_w,      two(strides, 0), two(strides, 1), two(dilations, 0),
           two(dilations, 1), four(pads, 0), four(pads, 1),   four(pads, 2),   four(pads, 3)};
  OCTET_REQUIRE(std::min({w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w}) >= 1 &&
                    std::min({w.top, w.left, w.bottom, w.right}) >= 0,
                "engine: node '{}' ({}): a size, stride, dilation or pad is out of range", node.name, node.op);
  return w;
}

Window ConvWindow(const ir::Graph& graph, const Node& node) {
  const Shape& w = graph.value(node.input(1)).type.shape;
  OCTET_REQUIRE(w.size() == 4, "engine: node '{}': the weight has shape {}; expected OIHW", node.name, ToString(w));
  return WindowOf(node, w[2], w[3]);
}

// A dense convolution's runs: a row of taps is one run where the taps' bytes lie side by side.
void DenseRuns(const Window& w, const Codes& in, int64_t steps, ConvArgs& args, std::vector<int64_t>& offsets) {
  const bool rows = w.dilation_w == 1 && in.pixel == steps * 4;
  for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < (rows ? 1 : w.kernel_w); ++kw) {
      offsets.push_back(kh * w.dilation_h * in.row + kw * w.dilation_w * in.pixel);
    }
  }
  args.runs = static_cast<int64_t>(offsets.size());
  args.run_steps = rows ? w.kernel_w * steps : steps;
}

// The weights which the next dense convolution or Gemm in the order of execution reads first, up to half a megabyte.
void FindNextWeights(const Network& network, ir::NodeId id, ConvArgs& args) {
  auto at = std::find(network.order.begin(), network.order.end(), id);
  while (++at < network.order.end()) {
    const auto gemm = network.gemm.find(*at);
    if (gemm != network.gemm.end()) {
      args.next_weights = reinterpret_cast<const int8_t*>(gemm->second.weights.data());
      args.next_weights_bytes = std::min<int64_t>(1 << 19, gemm->second.weights.size() * sizeof(float));
      return;
    }
    const auto next = network.conv.find(*at);
    if (next == network.conv.end() || next->second.path != ConvWeights::kDense) continue;
    const PackedConv& packed = next->second.dense[0];
    args.next_weights = packed.weights.data();
    args.next_weights_bytes = packed.taps * packed.steps * packed.blocks[0].vectors * 64;
    return;
  }
}

void BindConv(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const ConvWeights& weights = session.network().conv.at(id);
  const Place& x = CodesInput(session, node, 0);
  const Place& y = session.place(node.output());
  const Tensor& w = session.graph().value(node.input(1)).constant;
  const Window window = ConvWindow(session.graph(), node);
  const quant::Activation activation = ops::Epilogue::Of(node).activation;
  const float y_scale = ResultScale(node, y);

  ConvArgs a;
  a.batch = y.nchw.n;
  a.groups = node.attr_int("group", 1);
  a.in_c = w.dim(1);
  a.out_c = w.dim(0);
  OCTET_REQUIRE(x.nchw.c == a.in_c * a.groups && y.nchw.c == a.out_c,
                "engine: node '{}': weight {} in {} groups does not fit an input of {} channels", node.name,
                ToString(w.shape()), a.groups, x.nchw.c);
  a.out_h = y.nchw.h;
  a.out_w = y.nchw.w;
  a.kernel_h = window.kernel_h;
  a.kernel_w = window.kernel_w;
  a.stride_h = window.stride_h;
  a.stride_w = window.stride_w;
  a.dilation_h = window.dilation_h;
  a.dilation_w = window.dilation_w;
  a.in = x.view;
  a.in.data = x.view.at(0, -window.top, -window.left);
  if (y.codes) {
    a.out = y.view;
    a.quantizer = QuantizerOf(y_scale, activation);
  } else {
    a.out_f32 = F32(y);
    a.out_f32_channels = a.out_c;
  }
  a.activation = activation;
  if (node.input(4) != kNoValue) {
    const Place& r = CodesInput(session, node, 4);
    OCTET_REQUIRE(r.type.shape == y.type.shape, "engine: node '{}': residual {} does not fit the result {}", node.name,
                  ir::ToString(r.type), ir::ToString(y.type));
    a.residual = r.view;
    a.residual_scale = ScaleOf(node, "residual_scale");
  }
  a.weights = w.data<int8_t>();
  a.mul = session.graph().value(node.input(2)).constant.data<float>();
  if (node.input(3) != kNoValue) a.bias = session.graph().value(node.input(3)).constant.data<float>();
  step.macs = static_cast<double>(a.batch * a.out_h * a.out_w * a.out_c) * a.in_c * a.kernel_h * a.kernel_w;

  const KernelSet& kernels = *session.network().kernels;
  if (weights.path == ConvWeights::kReference) {
    step.run = [a, &y](int part, int parts) {
      if (part == 0) Fill(y);
      ReferenceKernels().conv(a, part, parts);
    };
  } else if (weights.path == ConvWeights::kDepthwise) {
    std::vector<int64_t> offsets(weights.depthwise.quads * 4, 0);
    for (int64_t tap = 0; tap < a.kernel_h * a.kernel_w; ++tap) {
      offsets[tap] = tap / a.kernel_w * a.dilation_h * a.in.row + tap % a.kernel_w * a.dilation_w * a.in.pixel;
    }
    a.packed_depthwise = &weights.depthwise;
    a.packed_rows = &weights.depthwise_rows;
    step.run = [a, offsets, &y, run = kernels.depthwise](int part, int parts) mutable {
      if (part == 0) Fill(y);
      ConvArgs args = a;
      args.offsets = offsets.data();
      run(args, part, parts);
    };
  } else {
    std::vector<int64_t> offsets;
    DenseRuns(window, a.in, weights.dense[0].steps, a, offsets);
    FindNextWeights(session.network(), id, a);
    a.groups = 1;
    a.out_c /= weights.splits;
    step.run = [a, offsets, &y, &weights, run = kernels.conv](int part, int parts) {
      if (part == 0) Fill(y);
      for (int64_t g = 0; g < weights.splits; ++g) {
        ConvArgs args = a;
        args.offsets = offsets.data();
        args.packed = &weights.dense[g];
        args.in.data += g * a.in_c;
        if (args.out.data) args.out.data += g * a.out_c;
        if (args.out_f32) args.out_f32 += g * a.out_c * a.out_h * a.out_w;
        if (args.residual.data) args.residual.data += g * a.out_c;
        run(args, part, parts);
      }
    };
  }
}

void BindPool(Session& session, const Node& node, Step& step) {
  const Place& x = CodesInput(session, node, 0);
  const Place& y = session.place(node.output());
  PoolArgs a;
  a.batch = x.nchw.n;
  a.channels = x.nchw.c;
  a.in_h = x.nchw.h;
  a.in_w = x.nchw.w;
  a.out_h = y.nchw.h;
  a.out_w = y.nchw.w;
  a.kernel_h = a.in_h;
  a.kernel_w = a.in_w;
  if (node.op != "QGlobalAveragePool") {
    const std::vector<int64_t> kernel = node.attr_ints("kernel_shape", {});
    OCTET_REQUIRE(kernel.size() == 2, "engine: node '{}' ({}): kernel_shape must have two sizes", node.name, node.op);
    OCTET_REQUIRE(node.attr_ints("dilations", {1, 1}) == (std::vector<int64_t>{1, 1}),
                  "engine: node '{}' ({}): dilation is not supported", node.name, node.op);
    const Window w = WindowOf(node, kernel[0], kernel[1]);
    a.kernel_h = w.kernel_h;
    a.kernel_w = w.kernel_w;
    a.stride_h = w.stride_h;
    a.stride_w = w.stride_w;
    a.pad_top = w.top;
    a.pad_left = w.left;
    a.pad_bottom = w.bottom;
    a.pad_right = w.right;
    a.count_include_pad = node.attr_int("count_include_pad", 0) != 0;
    OCTET_REQUIRE(std::max(a.pad_top, a.pad_bottom) < a.kernel_h && std::max(a.pad_left, a.pad_right) < a.kernel_w,
                  "engine: node '{}' ({}): a window can lie wholly in the padding", node.name, node.op);
  }
  a.in = x.view;
  if (y.codes) {
    a.out = y.view;
  } else {
    a.out_f32 = F32(y);
  }
  const KernelSet& kernels = *session.network().kernels;
  auto* run = kernels.max_pool;
  if (node.op != "QMaxPool") {
    a.x_scale = ScaleOf(node, "x_scale");
    const float y_scale = ResultScale(node, y);
    if (y_scale != 0.0f) a.quantizer = MakeQuantizer(y_scale);
    run = kernels.average_pool;
  }
  step.run = [a, &y, run](int part, int parts) {
    if (part == 0) Fill(y);
    run(a, part, parts);
  };
}

// What QAdd, QSum and QMul share: sizes, result, activation.
template <typename Args>
Args CombineArgs(const Node& node, const Place& y) {
  Args a;
  a.batch = y.nchw.n;
  a.channels = y.nchw.c;
  a.h = y.nchw.h;
  a.w = y.nchw.w;
  a.activation = ops::Epilogue::Of(node).activation;
  const float y_scale = ResultScale(node, y);
  if (y.codes) {
    a.out = y.view;
    a.quantizer = QuantizerOf(y_scale, a.activation);
  } else {
    a.out_f32 = F32(y);
  }
  return a;
}

void BindSum(Session& session, const Node& node, Step& step) {
  const Place& y = session.place(node.output());
  SumArgs a = CombineArgs<SumArgs>(node, y);
  std::vector<float> scales = node.attr_floats("scales", {});
  if (node.op == "QAdd") scales = {ScaleOf(node, "a_scale"), ScaleOf(node, "b_scale")};
  OCTET_REQUIRE(scales.size() == node.inputs.size() && scales.size() <= SumArgs::kMost,
                "engine: node '{}' ({}): {} scales for {} inputs", node.name, node.op, scales.size(),
                node.inputs.size());
  a.count = static_cast<int>(scales.size());
  for (size_t i = 0; i < scales.size(); ++i) {
    const Place& x = CodesInput(session, node, i);
    OCTET_REQUIRE(x.type.shape == y.type.shape, "engine: node '{}' ({}): {} and {} differ in shape", node.name, node.op,
                  ir::ToString(x.type), ir::ToString(y.type));
    a.in[i] = x.view;
    a.scale[i] = scales[i];
  }
  step.run = [a, &y, run = session.network().kernels->sum](int part, int parts) {
    if (part == 0) Fill(y);
    run(a, part, parts);
  };
}

void BindMul(Session& session, const Node& node, Step& step) {
  const Place& x = CodesInput(session, node, 0);
  const Place& b = CodesInput(session, node, 1);
  const Place& y = session.place(node.output());
  MulArgs a = CombineArgs<MulArgs>(node, y);
  const bool fits = b.nchw.n == y.nchw.n && b.nchw.c == y.nchw.c && x.type.shape == y.type.shape;
  a.gate = b.nchw.h * b.nchw.w == 1;
  OCTET_REQUIRE(fits && (a.gate || b.type.shape == y.type.shape),
                "engine: node '{}' (QMul): {} times {} does not fit {}", node.name, ir::ToString(x.type),
                ir::ToString(b.type), ir::ToString(y.type));
  a.a = x.view;
  a.b = b.view;
  a.a_scale = ScaleOf(node, "a_scale");
  a.b_scale = ScaleOf(node, "b_scale");
  std::vector<float> scratch(static_cast<size_t>(a.gate ? (a.channels + 15) / 16 * 64 * session.options().threads : 0));
  step.run = [a, &y, scratch, run = session.network().kernels->mul](int part, int parts) mutable {
    if (part == 0) Fill(y);
    MulArgs args = a;
    args.scratch = scratch.data();
    run(args, part, parts);
  };
}

void BindLut(Session& session, const Node& node, Step& step) {
  const Place& x = CodesInput(session, node, 0);
  const Place& y = session.place(node.output());
  OCTET_REQUIRE(node.input(1) != kNoValue && session.graph().value(node.input(1)).is_constant(),
                "engine: node '{}' (QLut): the table must be a constant", node.name);
  const Tensor& table = session.graph().value(node.input(1)).constant;
  OCTET_REQUIRE(table.dtype() == DType::kS8 && table.size() == 256 && x.type.shape == y.type.shape,
                "engine: node '{}' (QLut): a table of {} entries; expected 256 codes", node.name, table.size());
  LutArgs a;
  a.batch = y.nchw.n;
  a.channels = y.nchw.c;
  a.h = y.nchw.h;
  a.w = y.nchw.w;
  a.in = x.view;
  a.out = y.view;
  for (int i = 0; i < 256; ++i) a.table[i] = static_cast<uint8_t>(table.data<int8_t>()[i]) ^ 0x80;
  step.run = [a, &y, run = session.network().kernels->lut](int part, int parts) {
    if (part == 0) Fill(y);
    run(a, part, parts);
  };
}

void BindQuantize(Session& session, const Node& node, Step& step) {
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  OCTET_REQUIRE(x.type.dtype == DType::kF32 && y.codes, "engine: node '{}' (QQuantize): {} to {}", node.name,
                ir::ToString(x.type), ir::ToString(y.type));
  QuantizeArgs a;
  a.batch = y.nchw.n;
  a.channels = y.nchw.c;
  a.h = y.nchw.h;
  a.w = y.nchw.w;
  a.out = y.view;
  a.quantizer = MakeQuantizer(ScaleOf(node, "scale"));
  step.run = [a, &x, &y, run = session.network().kernels->quantize](int part, int parts) {
    if (part == 0) Fill(y);
    QuantizeArgs args = a;
    args.in = F32(x);  // may be the caller's memory
    run(args, part, parts);
  };
}

void BindDequantize(Session& session, const Node& node, Step& step) {
  const Place& x = CodesInput(session, node, 0);
  const Place& y = session.place(node.output());
  DequantizeArgs a;
  a.batch = x.nchw.n;
  a.channels = x.nchw.c;
  a.h = x.nchw.h;
  a.w = x.nchw.w;
  a.in = x.view;
  a.out = F32(y);
  a.channels_last = y.channels_last;
  a.scale = ScaleOf(node, "scale");
  step.run = [a, run = session.network().kernels->dequantize](int part, int parts) { run(a, part, parts); };
}

}  // namespace

const Place& CodesInput(Session& session, const Node& node, size_t index) {
  const ValueId id = node.input(index);
  OCTET_REQUIRE(id != kNoValue && !session.graph().value(id).is_constant(),
                "engine: node '{}' ({}): input {} is absent or constant", node.name, node.op, index);
  const Place& p = session.place(id);
  OCTET_REQUIRE(p.codes, "engine: node '{}' ({}): input '{}' is {}; expected s8 codes", node.name, node.op, p.name,
                ir::ToString(p.type));
  return p;
}

void Fill(const Place& p) {
  if (p.codes && p.top + p.bottom + p.left + p.right > 0) {
    FillBorder(p.view, p.nchw.n, p.nchw.h, p.nchw.w, p.top, p.bottom, p.left, p.right);
  }
}

Border InputBorder(const ir::Graph& graph, const Node& node) {
  const Window w = ConvWindow(graph, node);
  const Nchw in = AsNchw(graph.value(node.input(0)).type.shape);
  const Nchw out = AsNchw(graph.value(node.output()).type.shape);
  Border border;
  border.top = w.top;
  border.left = w.left;
  const int64_t last_row = (out.h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h - w.top;
  const int64_t last_column = (out.w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w - w.left;
  border.bottom = std::max<int64_t>(0, last_row - (in.h - 1));
  border.right = std::max<int64_t>(0, last_column - (in.w - 1));
  return border;
}

bool BindQuantized(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  if (node.op == "QConv") {
    BindConv(session, id, step);
  } else if (node.op == "QMaxPool" || node.op == "QAveragePool" || node.op == "QGlobalAveragePool") {
    BindPool(session, node, step);
  } else if (node.op == "QAdd" || node.op == "QSum") {
    BindSum(session, node, step);
  } else if (node.op == "QQuantize") {
    BindQuantize(session, node, step);
  } else if (node.op == "QDequantize") {
    BindDequantize(session, node, step);
  } else if (node.op == "QMul") {
    BindMul(session, node, step);
  } else if (node.op == "QLut") {
    BindLut(session, node, step);
  } else {
    return false;
  }
  return true;
}

}  // namespace octet::engine
