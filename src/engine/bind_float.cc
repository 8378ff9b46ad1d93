// Steps of the FP32 operators that stand at a classifier's end and around float layers.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "engine/bind.h"
#include "engine/float_conv_dnnl.h"
#include "engine/layout.h"
#include "ops/quantized/epilogue.h"
#include "ops/window.h"
#include "passes/lower_activation.h"

namespace octet::engine {
namespace {

using ir::Node;

void BindGemm(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  const PackedGemm& packed = session.network().gemm.at(id);
  GemmArgs a;
  a.rows = y.nchw.n;
  a.packed = &packed;
  step.macs = 0;
  step.run = [a, &x, &y, run = session.network().kernels->gemm](int part, int parts) {
    GemmArgs args = a;
    args.x = reinterpret_cast<const float*>(x.dense);
    args.y = reinterpret_cast<float*>(y.dense);
    run(args, part, parts);
  };
}

void BindSoftmax(const Place& x, const Place& y, Step& step) {
  step.parallel = false;
  const int64_t count = y.type.shape.back();
  const int64_t rows = NumElements(y.type.shape) / count;
  step.run = [&x, &y, rows, count](int, int) {
    for (int64_t r = 0; r < rows; ++r) {
      const float* in = reinterpret_cast<const float*>(x.dense) + r * count;
      float* out = reinterpret_cast<float*>(y.dense) + r * count;
      const float top = *std::max_element(in, in + count);
      float sum = 0.0f;
      for (int64_t i = 0; i < count; ++i) {
        out[i] = std::exp(in[i] - top);
        sum += out[i];
      }
      for (int64_t i = 0; i < count; ++i) out[i] /= sum;
    }
  };
}

bool BindFloatConv(Session& session, const Node& node, const Place& x, const Place& y, Step& step) {
  const ir::Graph& graph = session.graph();
  if (!IsFloatConv(graph, node)) return false;
  const ir::Value& weight = graph.value(node.input(1));
  const bool has_bias = node.input(2) != ir::kNoValue;
  const Shape& w = weight.type.shape;
  const ops::Window window = ops::ResolveWindow(node, {x.nchw.h, x.nchw.w}, {w[2], w[3]});
  FloatConvShape s{};
  s.batch = x.nchw.n;
  s.in_c = x.nchw.c;
  s.in_h = x.nchw.h;
  s.in_w = x.nchw.w;
  s.out_c = y.nchw.c;
  s.out_h = y.nchw.h;
  s.out_w = y.nchw.w;
  s.groups = node.attr_int("group", 1);
  s.kernel_h = w[2];
  s.kernel_w = w[3];
  s.stride_h = window.strides[0];
  s.stride_w = window.strides[1];
  s.dilation_h = window.dilations[0];
  s.dilation_w = window.dilations[1];
  s.pad_top = window.begin[0];
  s.pad_left = window.begin[1];
  s.pad_bottom = window.end[0];
  s.pad_right = window.end[1];
  s.in_channels_last = x.channels_last;
  s.out_channels_last = y.channels_last;
  auto conv = std::make_shared<FloatConv>(s, weight.constant.data<float>(),
                                          has_bias ? graph.value(node.input(2)).constant.data<float>() : nullptr,
                                          session.options().threads);
  step.macs = static_cast<double>(NumElements(y.type.shape)) * w[1] * w[2] * w[3];
  step.run = [conv, &x, &y](int part, int) {
    conv->Run(reinterpret_cast<const float*>(x.dense), reinterpret_cast<float*>(y.dense), part);
  };
  return true;
}

float* F32(const Place& p) {
  return reinterpret_cast<float*>(p.dense);
}

// Add, Mul, Sub and Div of two tensors, of which one may be a constant or have its sizes on only some axes.
bool BindTwo(Session& session, const Node& node, Step& step) {
  const ir::Graph& graph = session.graph();
  if (node.inputs.size() != 2) return false;
  const Place& y = session.place(node.output());
  struct Operand {
    const Place* place = nullptr;  // null: a constant
    const float* values = nullptr;
    Shape shape;
    const float* data() const { return place != nullptr ? F32(*place) : values; }
  };
  Operand operands[2];
  for (size_t i = 0; i < 2; ++i) {
    const ir::Value& value = graph.value(node.input(i));
    if (value.type.dtype != DType::kF32) return false;
    if (value.is_constant()) {
      operands[i] = {nullptr, value.constant.data<float>(), value.constant.shape()};
    } else {
      const Place& p = session.place(node.input(i));
      if (p.codes) return false;
      operands[i] = {&p, nullptr, p.type.shape};
    }
  }
  Operand &a = operands[0], &b = operands[1];
  const bool swapped = NumElements(a.shape) < NumElements(b.shape);
  if (swapped) std::swap(a, b);
  if (a.shape != y.type.shape) return false;
  Shape padded(y.type.shape.size() - std::min(y.type.shape.size(), b.shape.size()), 1);
  padded.insert(padded.end(), b.shape.begin(), b.shape.end());
  // From the back, b has: 1 on axes of `repeat` elements, the result's sizes (`inner`), 1 again (`skip`), the result's
  // sizes again (`outer`), and 1 on the rest.
  int64_t repeat = 1, inner = 1, skip = 1, outer = 1;
  size_t axis = padded.size();
  for (; axis > 0 && padded[axis - 1] == 1; --axis) repeat *= y.type.shape[axis - 1];
  for (; axis > 0 && padded[axis - 1] == y.type.shape[axis - 1]; --axis) inner *= padded[axis - 1];
  for (; axis > 0 && padded[axis - 1] == 1; --axis) skip *= y.type.shape[axis - 1];
  for (; axis > 0 && padded[axis - 1] == y.type.shape[axis - 1]; --axis) outer *= padded[axis - 1];
  if (inner * outer != NumElements(b.shape) || NumElements(y.type.shape) == 0) return false;
  const auto run = [&](auto f) {
    step.run = [=, &y](int part, int parts) {
      const Range range = Share(NumElements(y.type.shape) / repeat, part, parts);
      const float* x0 = a.data();
      const float* x1 = b.data();
      for (int64_t i = range.begin; i < range.end; ++i) {
        const float v = x1[i % inner + i / (inner * skip) % outer * inner];
        for (int64_t k = i * repeat; k < (i + 1) * repeat; ++k) F32(y)[k] = swapped ? f(v, x0[k]) : f(x0[k], v);
      }
    };
  };
  if (node.op == "Add") {
    run([](float left, float right) { return left + right; });
  } else if (node.op == "Mul") {
    run([](float left, float right) { return left * right; });
  } else if (node.op == "Sub") {
    run([](float left, float right) { return left - right; });
  } else {
    run([](float left, float right) { return left / right; });
  }
  return true;
}

// Batch norm that no convolution took in (in front of it: DenseNet, ResNet V2), at inference.
bool BindBatchNorm(const ir::Graph& graph, const Node& node, const Place& x, const Place& y, Step& step) {
  if (node.attr_int("training_mode", 0) != 0 || x.type.shape.size() < 2) return false;
  for (size_t i = 1; i < 5; ++i) {
    if (!graph.value(node.input(i)).is_constant()) return false;
  }
  const auto values = [&](size_t i) { return graph.value(node.input(i)).constant.ToVector<double>(); };
  const std::vector<double> scale = values(1), bias = values(2), mean = values(3);
  std::vector<double> deviation = values(4);
  for (double& v : deviation) v = std::sqrt(v + static_cast<double>(node.attr_float("epsilon", 1e-5f)));
  const int64_t channels = x.type.shape[1], rows = x.type.shape[0] * channels;
  const int64_t plane = rows == 0 ? 0 : NumElements(x.type.shape) / rows;
  step.run = [=, &x, &y](int part, int parts) {
    const Range range = Share(rows, part, parts);
    for (int64_t r = range.begin; r < range.end; ++r) {
      const auto c = static_cast<size_t>(r % channels);
      // In double, as the reference does: what follows may round.
      for (int64_t i = r * plane; i < (r + 1) * plane; ++i) {
        F32(y)[i] = static_cast<float>((F32(x)[i] - mean[c]) / deviation[c] * scale[c] + bias[c]);
      }
    }
  };
  return true;
}

// An activation that an epilogue knows too: the same function.
bool BindActivation(Session& session, const Node& node, const Place& x, const Place& y, Step& step) {
  const std::optional<ir::Attrs> attrs =
      passes::EpilogueOf(session.graph(), session.graph().value(node.output()).producer);
  if (!attrs || node.op == "Mul" || x.bytes != y.bytes) return false;
  Node lowered;
  lowered.name = node.name;
  lowered.op = node.op;
  lowered.attrs = *attrs;
  const quant::Activation f = ops::Epilogue::Of(lowered).activation;
  const int64_t count = NumElements(y.type.shape);
  step.run = [f, &x, &y, count](int part, int parts) {
    const Range range = Share(count, part, parts);
    for (int64_t i = range.begin; i < range.end; ++i) F32(y)[i] = f(F32(x)[i]);
  };
  return true;
}

// Axes in another order: runs of the output's last axis, gathered from the input with one stride.
bool BindTranspose(const Node& node, const Place& x, const Place& y, Step& step) {
  const Shape& shape = x.type.shape;
  const size_t rank = shape.size();
  std::vector<int64_t> perm = node.attr_ints("perm", {});
  if (perm.empty()) {
    for (size_t i = 0; i < rank; ++i) perm.push_back(static_cast<int64_t>(rank - 1 - i));
  }
  if (rank < 2 || rank > 6 || perm.size() != rank) return false;
  std::vector<int64_t> strides(rank, 1), steps(rank);  // of the input; of the input along each output axis
  for (size_t i = rank - 1; i-- > 0;) strides[i] = strides[i + 1] * shape[i + 1];
  for (size_t i = 0; i < rank; ++i) steps[i] = strides.at(static_cast<size_t>(perm[i]));
  const Shape out = y.type.shape;
  const int64_t run = out.back();
  const int64_t runs = NumElements(out) / std::max<int64_t>(run, 1);
  step.run = [=, &x, &y](int part, int parts) {
    const Range range = Share(runs, part, parts);
    for (int64_t r = range.begin; r < range.end; ++r) {
      const float* from = F32(x);
      for (int64_t axis = static_cast<int64_t>(rank) - 2, rest = r; axis >= 0; --axis) {
        from += rest % out[axis] * steps[axis];
        rest /= out[axis];
      }
      float* to = F32(y) + r * run;
      for (int64_t i = 0; i < run; ++i) to[i] = from[i * steps.back()];
    }
  };
  return true;
}

bool BindGlobalAveragePool(const Place& x, const Place& y, Step& step) {
  if (x.type.shape.size() != 4) return false;
  const int64_t plane = x.nchw.h * x.nchw.w, count = x.nchw.n * x.nchw.c;
  step.run = [&x, &y, plane, count](int part, int parts) {
    const Range range = Share(count, part, parts);
    for (int64_t p = range.begin; p < range.end; ++p) {
      double sum = 0;
      for (int64_t i = 0; i < plane; ++i) sum += F32(x)[p * plane + i];
      F32(y)[p] = static_cast<float>(sum / static_cast<double>(plane));
    }
  };
  return true;
}

bool BindFloatConcat(Session& session, const Node& node, const Place& y, Step& step) {
  const int64_t axis = node.attr_int("axis", 0);
  if (axis != 1 && axis != 1 - static_cast<int64_t>(y.type.shape.size())) return false;
  std::vector<const Place*> inputs;
  for (const ir::ValueId id : node.inputs) {
    if (session.graph().value(id).is_constant() || session.place(id).codes) return false;
    inputs.push_back(&session.place(id));
  }
  step.run = [inputs, &y](int part, int parts) {
    std::byte* to = y.dense;
    for (int64_t n = 0; n < y.nchw.n; ++n) {
      for (const Place* x : inputs) {
        const int64_t bytes = x->bytes / x->nchw.n;
        const Range share = Share(bytes, part, parts);
        std::memcpy(to + share.begin, x->dense + n * bytes + share.begin, static_cast<size_t>(share.end - share.begin));
        to += bytes;
      }
    }
  };
  return true;
}

}  // namespace

bool BindFloat(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const ir::Graph& graph = session.graph();
  if (node.op == "Add" || node.op == "Mul" || node.op == "Sub" || node.op == "Div") {
    const Place& y = session.place(node.output());
    return !y.codes && y.type.dtype == DType::kF32 && BindTwo(session, node, step);
  }
  if (graph.value(node.input(0)).is_constant()) return false;
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  if (x.codes || y.codes || x.type.dtype != DType::kF32 || y.type.dtype != DType::kF32) return false;
  if (session.network().gemm.count(id) != 0) {
    BindGemm(session, id, step);
    return true;
  }
  if (node.op == "BatchNormalization") return BindBatchNorm(graph, node, x, y, step);
  if (node.op == "GlobalAveragePool") return BindGlobalAveragePool(x, y, step);
  if (node.op == "Transpose") return BindTranspose(node, x, y, step);
  if (node.op == "Concat") return BindFloatConcat(session, node, y, step);
  if (BindActivation(session, node, x, y, step)) return true;
  if (node.op == "Conv") return BindFloatConv(session, node, x, y, step);
  if (node.op == "Softmax") {
    const int64_t rank = static_cast<int64_t>(y.type.shape.size());
    const int64_t axis = node.attr_int("axis", -1);
    if (rank == 0 || (axis != -1 && axis != rank - 1)) return false;
    BindSoftmax(x, y, step);
    return true;
  }
  if (node.op == "Flatten" || node.op == "Reshape" || node.op == "Identity" || node.op == "Squeeze" ||
      node.op == "Unsqueeze") {
    step.parallel = false;
    step.run = [&x, &y](int, int) { std::memcpy(y.dense, x.dense, y.bytes); };
    return true;
  }
  return false;
}

}  // namespace octet::engine
