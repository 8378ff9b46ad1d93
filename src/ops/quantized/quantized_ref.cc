// The oracle. Sums are exact in int32; after them each fp32 operation is one statement, so that its rounding can be
// seen.
#include <algorithm>
#include <vector>

#include "base/error.h"
#include "ops/pool/window_loops.h"
#include "ops/quantized/epilogue.h"
#include "ops/quantized/quantized.h"

namespace octet::ops {
namespace {

// sum[o] += weight * x[o*stride + offset], over the output positions whose input lies inside (padding is code 0).
void AddShifted(const Window3& w, const int8_t* x, int32_t weight, const int64_t offset[3], int32_t* sum) {
  const Range rd = InsideRange(w.in[0], w.out[0], w.stride[0], offset[0]);
  const Range rh = InsideRange(w.in[1], w.out[1], w.stride[1], offset[1]);
  const Range rw = InsideRange(w.in[2], w.out[2], w.stride[2], offset[2]);
  for (int64_t d = rd.first; d < rd.last; ++d) {
    for (int64_t h = rh.first; h < rh.last; ++h) {
      const int8_t* row =
          x + ((d * w.stride[0] + offset[0]) * w.in[1] + h * w.stride[1] + offset[1]) * w.in[2] + offset[2];
      int32_t* to = sum + (d * w.out[1] + h) * w.out[2];
      for (int64_t v = rw.first; v < rw.last; ++v) to[v] += weight * static_cast<int32_t>(row[v * w.stride[2]]);
    }
  }
}

void AddKernel(const Window3& w, const int8_t* x, const int8_t* weight, int32_t* sum) {
  int64_t tap = 0;
  for (int64_t d = 0; d < w.kernel[0]; ++d) {
    for (int64_t h = 0; h < w.kernel[1]; ++h) {
      for (int64_t v = 0; v < w.kernel[2]; ++v, ++tap) {
        const int64_t offset[3] = {d * w.dilation[0] - w.begin[0], h * w.dilation[1] - w.begin[1],
                                   v * w.dilation[2] - w.begin[2]};
        if (weight[tap] != 0) AddShifted(w, x, weight[tap], offset, sum);
      }
    }
  }
}

Window3 PoolWindow(const Node& node, const Tensor& x) {
  const Shape spatial = Spatial(x.shape());
  return ToWindow3(ResolveWindow(node, spatial, node.attr_ints("kernel_shape", {})), spatial);
}

int64_t PlaneOf(const int64_t size[3]) {
  return size[0] * size[1] * size[2];
}

// The mean of codes in fp32: the exact sum times the rounded quotient scale / count.
float MeanOfCodes(int32_t sum, float x_scale, int64_t count) {
  const float multiplier = x_scale / static_cast<float>(count);
  return static_cast<float>(sum) * multiplier;
}

}  // namespace

Tensors QQuantizeReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const float scale = node.attr_float("scale", 0);
  const float* x = inputs[0].data<float>();
  int8_t* to = y.mutable_data<int8_t>();
  for (int64_t i = 0; i < y.size(); ++i) to[i] = quant::QuantizeToS8(x[i], scale);
  return {y};
}

Tensors QDequantizeReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const float scale = node.attr_float("scale", 0);
  const int8_t* x = inputs[0].data<int8_t>();
  float* to = y.mutable_data<float>();
  for (int64_t i = 0; i < y.size(); ++i) to[i] = quant::Dequantize(x[i], scale);
  return {y};
}

Tensors QConvReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  const Window3 w = ToWindow3(ResolveWindow(node, Spatial(x.shape()), Spatial(weight.shape())), Spatial(x.shape()));
  const int64_t channels = weight.dim(1), filters = weight.dim(0);
  const int64_t filters_per_group = filters / node.attr_int("group", 1);
  const int64_t in_plane = PlaneOf(w.in), out_plane = PlaneOf(w.out), taps = PlaneOf(w.kernel);
  const float* multiplier = inputs[2].data<float>();
  const float* bias = Has(inputs, 3) ? inputs[3].data<float>() : nullptr;
  const int8_t* residual = Has(inputs, 4) ? inputs[4].data<int8_t>() : nullptr;
  const float residual_scale = node.attr_float("residual_scale", 0);
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  std::vector<int32_t> sum(static_cast<size_t>(out_plane));
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t k = 0; k < filters; ++k) {
      std::fill(sum.begin(), sum.end(), 0);
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t plane = n * x.dim(1) + k / filters_per_group * channels + c;
        AddKernel(w, x.data<int8_t>() + plane * in_plane, weight.data<int8_t>() + (k * channels + c) * taps,
                  sum.data());
      }
      for (int64_t i = 0; i < out_plane; ++i) {
        const int64_t at = (n * filters + k) * out_plane + i;
        float v = static_cast<float>(sum[i]);
        v = v * multiplier[k];
        if (bias != nullptr) v = v + bias[k];
        if (residual != nullptr) {
          const float r = static_cast<float>(residual[at]) * residual_scale;
          v = v + r;
        }
        writer.Write(at, v);
      }
    }
  }
  return {y};
}

Tensors QMaxPoolReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Tensor& x = inputs[0];
  const Window3 w = PoolWindow(node, x);
  const int64_t in_plane = PlaneOf(w.in), out_plane = PlaneOf(w.out);
  const int8_t* from = x.data<int8_t>();
  int8_t* to = y.mutable_data<int8_t>();
  ForEachWindow(w, x.dim(0) * x.dim(1), [&](int64_t plane, int64_t at, const int64_t start[3]) {
    int8_t best = -128;
    ForEachInside(w, start, [&](int64_t i) { best = std::max(best, from[plane * in_plane + i]); });
    to[plane * out_plane + at] = best;
  });
  return {y};
}

Tensors QAveragePoolReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Tensor& x = inputs[0];
  const Window3 w = PoolWindow(node, x);
  const int64_t in_plane = PlaneOf(w.in), out_plane = PlaneOf(w.out);
  const bool include_pad = node.attr_int("count_include_pad", 0) != 0;
  const float x_scale = node.attr_float("x_scale", 0);
  const int8_t* from = x.data<int8_t>();
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  ForEachWindow(w, x.dim(0) * x.dim(1), [&](int64_t plane, int64_t at, const int64_t start[3]) {
    int32_t sum = 0;
    int64_t inside = 0;
    ForEachInside(w, start, [&](int64_t i) {
      sum += from[plane * in_plane + i];
      ++inside;
    });
    const int64_t count = include_pad ? PaddedCount(w, start) : inside;
    OCTET_REQUIRE(count > 0, "{}: a window lies wholly in the padding", Label(node));
    writer.Write(plane * out_plane + at, MeanOfCodes(sum, x_scale, count));
  });
  return {y};
}

Tensors QGlobalAveragePoolReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const Tensor& x = inputs[0];
  const int64_t plane = Product(x.shape(), 2, x.shape().size());
  OCTET_REQUIRE(plane > 0 && plane < (int64_t{1} << 24), "{}: {} elements a plane", Label(node), plane);
  const float x_scale = node.attr_float("x_scale", 0);
  const int8_t* from = x.data<int8_t>();
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  for (int64_t p = 0; p < y.size(); ++p) {
    int32_t sum = 0;
    for (int64_t i = 0; i < plane; ++i) sum += from[p * plane + i];
    writer.Write(p, MeanOfCodes(sum, x_scale, plane));
  }
  return {y};
}

Tensors QAddReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const float a_scale = node.attr_float("a_scale", 0), b_scale = node.attr_float("b_scale", 0);
  const int8_t* a = inputs[0].data<int8_t>();
  const int8_t* b = inputs[1].data<int8_t>();
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  for (int64_t i = 0; i < y.size(); ++i) {
    const float left = static_cast<float>(a[i]) * a_scale;
    const float right = static_cast<float>(b[i]) * b_scale;
    writer.Write(i, left + right);
  }
  return {y};
}

Tensors QMulReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const float a_scale = node.attr_float("a_scale", 0), b_scale = node.attr_float("b_scale", 0);
  const int8_t* a = inputs[0].data<int8_t>();
  const int8_t* b = inputs[1].data<int8_t>();
  const int64_t repeat = inputs[1].size() == 0 ? 1 : y.size() / inputs[1].size();  // elements of a for one of b
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  for (int64_t i = 0; i < y.size(); ++i) {
    const float left = static_cast<float>(a[i]) * a_scale;
    const float right = static_cast<float>(b[i / repeat]) * b_scale;
    writer.Write(i, left * right);
  }
  return {y};
}

Tensors QSumReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const std::vector<float> scales = node.attr_floats("scales", {});
  const EpilogueWriter writer(Epilogue::Of(node), &y);
  for (int64_t i = 0; i < y.size(); ++i) {
    float sum = static_cast<float>(inputs[0].data<int8_t>()[i]) * scales[0];
    for (size_t k = 1; k < inputs.size(); ++k) {
      const float term = static_cast<float>(inputs[k].data<int8_t>()[i]) * scales[k];
      sum = sum + term;
    }
    writer.Write(i, sum);
  }
  return {y};
}

Tensors QLutReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const int8_t* x = inputs[0].data<int8_t>();
  const int8_t* table = inputs[1].data<int8_t>();
  for (int64_t i = 0; i < y.size(); ++i) y.mutable_data<int8_t>()[i] = table[x[i] + 128];
  return {y};
}

}  // namespace octet::ops
