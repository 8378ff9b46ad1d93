// Normalisation, pooling and reductions.
#include <algorithm>
#include <limits>

#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// running = momentum * running + (1 - momentum) * batch, with the unbiased batch variance (as PyTorch and TensorFlow
// do).
Tensors BatchNormalization(OpCall& call) {
  const double momentum = call.Float("momentum", 0.9f);
  const double epsilon = call.Float("epsilon", 1e-5f);
  const bool by_batch = call.batch_statistics;
  return {at::batch_norm(call.input(0), call.input(1), call.input(2), call.input(3), call.input(4), by_batch,
                         1.0 - momentum, epsilon, /*cudnn_enabled=*/true)};
}

Tensors InstanceNormalization(OpCall& call) {
  return {at::instance_norm(call.input(0), call.input(1), call.input(2), {}, {}, true, 0.0,
                            call.Float("epsilon", 1e-5f), true)};
}

Tensors LayerNormalization(OpCall& call) {
  const at::Tensor& x = call.input(0);
  int64_t axis = call.Int("axis", -1);
  if (axis < 0) axis += x.dim();
  const at::Tensor bias = call.has(2) ? call.inputs[2] : at::Tensor();
  return {
      at::layer_norm(x, x.sizes().slice(static_cast<size_t>(axis)), call.input(1), bias, call.Float("epsilon", 1e-5f))};
}

// y = x / (bias + alpha / size * sum of squares over `size` channels around)^beta
Tensors Lrn(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t size = call.Int("size", 1), channels = x.size(1);
  const int64_t before = (size - 1) / 2;
  std::vector<int64_t> pads(static_cast<size_t>(2 * (x.dim() - 1)), 0);
  pads[pads.size() - 2] = before;
  pads[pads.size() - 1] = size - 1 - before;
  const at::Tensor squares = at::constant_pad_nd(x * x, pads, 0);
  at::Tensor sum = squares.narrow(1, 0, channels);
  for (int64_t k = 1; k < size; ++k) sum = sum + squares.narrow(1, k, channels);
  const double alpha = call.Float("alpha", 1e-4f), beta = call.Float("beta", 0.75f), bias = call.Float("bias", 1.0f);
  return {x / at::pow(sum * (alpha / static_cast<double>(size)) + bias, beta)};
}

Tensors MaxPool(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  Window w = ReadWindow(call, x, call.IntList("kernel_shape", {}));
  const bool ceil_mode = call.Int("ceil_mode", 0) != 0;
  bool fits = w.symmetric();
  for (size_t i = 0; i < w.kernel.size(); ++i) fits = fits && 2 * w.begin[i] <= w.kernel[i];
  if (w.kernel.size() == 2 && fits) {
    return {at::max_pool2d(x, w.kernel, w.strides, w.begin, w.dilations, ceil_mode)};
  }
  const at::Tensor padded = PadSpatial(x, w, -std::numeric_limits<float>::infinity());
  const std::vector<int64_t> none(w.kernel.size(), 0);
  if (w.kernel.size() == 1) return {at::max_pool1d(padded, w.kernel, w.strides, none, w.dilations, ceil_mode)};
  if (w.kernel.size() == 3) return {at::max_pool3d(padded, w.kernel, w.strides, none, w.dilations, ceil_mode)};
  return {at::max_pool2d(padded, w.kernel, w.strides, none, w.dilations, ceil_mode)};
}

// The plain sum of every window; padding counts as zero.
at::Tensor WindowSum(const at::Tensor& padded, const Window& w, bool ceil_mode) {
  return at::avg_pool2d(padded, w.kernel, w.strides, {0, 0}, ceil_mode, true, /*divisor_override=*/1);
}

Tensors AveragePool(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  Window w = ReadWindow(call, x, call.IntList("kernel_shape", {}));
  const bool ceil_mode = call.Int("ceil_mode", 0) != 0;
  const bool include_pad = call.Int("count_include_pad", 0) != 0;
  OCTET_REQUIRE(w.kernel.size() == 2, "node '{}': AveragePool with {} spatial dimensions; expected 2", call.node.name,
                w.kernel.size());
  bool fits = w.symmetric();
  bool dilated = false;
  for (size_t i = 0; i < 2; ++i) {
    fits = fits && 2 * w.begin[i] <= w.kernel[i];
    dilated = dilated || w.dilations[i] != 1;
  }
  OCTET_REQUIRE(!dilated, "node '{}': AveragePool with dilations", call.node.name);
  if (fits) return {at::avg_pool2d(x, w.kernel, w.strides, w.begin, ceil_mode, include_pad)};
  const at::Tensor sum = WindowSum(PadSpatial(x, w, 0), w, ceil_mode);
  const at::Tensor ones = at::ones({1, 1, x.size(2), x.size(3)}, x.options());
  const at::Tensor count = WindowSum(PadSpatial(ones, w, include_pad ? 1 : 0), w, ceil_mode);
  return {sum / count};
}

std::vector<int64_t> SpatialAxes(const at::Tensor& x) {
  std::vector<int64_t> axes;
  for (int64_t i = 2; i < x.dim(); ++i) axes.push_back(i);
  return axes;
}

Tensors GlobalAveragePool(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  return {at::mean(x, SpatialAxes(x), /*keepdim=*/true)};
}

Tensors GlobalMaxPool(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::amax(x, SpatialAxes(x), /*keepdim=*/true)};
}

// Axes from the attribute or from input 1; all of them when absent.
std::vector<int64_t> ReduceAxes(const OpCall& call, const at::Tensor& x) {
  std::vector<int64_t> axes = call.IntList("axes", {});
  if (axes.empty()) axes = call.Ints(1);
  if (axes.empty()) {
    for (int64_t i = 0; i < x.dim(); ++i) axes.push_back(i);
  }
  return axes;
}

at::Tensor WithoutAxes(const at::Tensor& x, const std::vector<int64_t>& axes) {
  std::vector<int64_t> shape;
  for (int64_t i = 0; i < x.dim(); ++i) {
    const bool gone = std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return (a < 0 ? a + x.dim() : a) == i; });
    if (!gone) shape.push_back(x.size(i));
  }
  return x.reshape(shape);
}

Tensors ReduceMean(OpCall& call) {
  return {at::mean(call.input(0), ReduceAxes(call, call.input(0)), call.Int("keepdims", 1) != 0)};
}
Tensors ReduceSum(OpCall& call) {
  return {at::sum(call.input(0), ReduceAxes(call, call.input(0)), call.Int("keepdims", 1) != 0)};
}
Tensors ReduceProd(OpCall& call) {
  at::Tensor y = call.input(0);
  for (int64_t axis : ReduceAxes(call, y)) y = at::prod(y, axis, /*keepdim=*/true);
  return {call.Int("keepdims", 1) != 0 ? y : WithoutAxes(y, ReduceAxes(call, call.input(0)))};
}
Tensors ReduceSumSquare(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::sum(x * x, ReduceAxes(call, x), call.Int("keepdims", 1) != 0)};
}
Tensors ReduceL1(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::sum(x.abs(), ReduceAxes(call, x), call.Int("keepdims", 1) != 0)};
}
Tensors ReduceL2(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::sum(x * x, ReduceAxes(call, x), call.Int("keepdims", 1) != 0).sqrt()};
}
template <at::Tensor (*F)(const at::Tensor&, c10::optional<int64_t>, bool)>
Tensors Arg(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t axis = call.Int("axis", 0);
  const bool keep = call.Int("keepdims", 1) != 0;
  if (call.Int("select_last_index", 0) == 0) return {F(x, axis, keep)};
  return {x.size(axis) - 1 - F(at::flip(x, {axis}), axis, keep)};
}
Tensors ReduceMax(OpCall& call) {
  return {at::amax(call.input(0), ReduceAxes(call, call.input(0)), call.Int("keepdims", 1) != 0)};
}
Tensors ReduceMin(OpCall& call) {
  return {at::amin(call.input(0), ReduceAxes(call, call.input(0)), call.Int("keepdims", 1) != 0)};
}

Tensors CumSum(OpCall& call) {
  at::Tensor x = call.input(0);
  const int64_t axis = call.Ints(1).at(0);
  const bool reverse = call.Int("reverse", 0) != 0;
  if (reverse) x = at::flip(x, {axis});
  at::Tensor y = at::cumsum(x, axis, x.scalar_type());
  if (call.Int("exclusive", 0) != 0) y = y - x;
  return {reverse ? at::flip(y, {axis}) : y};
}

}  // namespace

std::vector<NamedKernel> NormPoolKernels() {
  return {{"BatchNormalization", BatchNormalization},
          {"InstanceNormalization", InstanceNormalization},
          {"MaxPool", MaxPool},
          {"AveragePool", AveragePool},
          {"GlobalAveragePool", GlobalAveragePool},
          {"GlobalMaxPool", GlobalMaxPool},
          {"ReduceMean", ReduceMean},
          {"ReduceSum", ReduceSum},
          {"ReduceMax", ReduceMax},
          {"ReduceMin", ReduceMin},
          {"ReduceProd", ReduceProd},
          {"ReduceSumSquare", ReduceSumSquare},
          {"ReduceL1", ReduceL1},
          {"ReduceL2", ReduceL2},
          {"ArgMax", Arg<at::argmax>},
          {"ArgMin", Arg<at::argmin>},
          {"CumSum", CumSum},
          {"LayerNormalization", LayerNormalization},
          {"LRN", Lrn}};
}

}  // namespace octet::train
