// Operators that move elements.
#include <limits>

#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

using Tensors = std::vector<at::Tensor>;

int64_t Axis(int64_t axis, int64_t rank) {
  return axis < 0 ? axis + rank : axis;
}

Tensors Flatten(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t axis = Axis(call.Int("axis", 1), x.dim());
  int64_t rows = 1;
  for (int64_t i = 0; i < axis; ++i) rows *= x.size(i);
  return {x.reshape({rows, rows == 0 ? 0 : x.numel() / rows})};
}

Tensors Reshape(OpCall& call) {
  const at::Tensor& x = call.input(0);
  std::vector<int64_t> shape = call.Ints(1);
  if (call.Int("allowzero", 0) == 0) {
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 0) shape[i] = x.size(static_cast<int64_t>(i));
    }
  }
  return {x.reshape(shape)};
}

Tensors Transpose(OpCall& call) {
  const at::Tensor& x = call.input(0);
  std::vector<int64_t> perm = call.IntList("perm", {});
  if (perm.empty()) {
    for (int64_t i = x.dim(); i-- > 0;) perm.push_back(i);
  }
  return {x.permute(perm)};
}

Tensors Concat(OpCall& call) {
  return {at::cat(call.inputs, call.Int("axis", 0))};
}

Tensors Split(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t axis = Axis(call.Int("axis", 0), x.dim());
  std::vector<int64_t> sizes = call.IntList("split", {});
  if (sizes.empty()) sizes = call.Ints(1);
  if (sizes.empty()) {
    const auto parts = static_cast<int64_t>(call.node.outputs.size());
    const int64_t size = (x.size(axis) + parts - 1) / parts;
    for (int64_t i = 0; i < parts; ++i) sizes.push_back(std::min(size, x.size(axis) - i * size));
  }
  return at::split_with_sizes(x, sizes, axis);
}

Tensors Slice(OpCall& call) {
  at::Tensor x = call.input(0);
  const std::vector<int64_t> starts = call.Ints(1);
  const std::vector<int64_t> ends = call.Ints(2);
  std::vector<int64_t> axes = call.Ints(3);
  std::vector<int64_t> steps = call.Ints(4);
  if (axes.empty()) {
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = Axis(axes[i], x.dim());
    const int64_t size = x.size(axis);
    int64_t begin = starts[i] < 0 ? starts[i] + size : starts[i];
    int64_t end = ends[i] < -size ? -1 : ends[i] < 0 ? ends[i] + size : ends[i];
    if (steps[i] > 0) {
      begin = std::clamp<int64_t>(begin, 0, size);
      end = std::clamp<int64_t>(end, begin, size);
      x = at::slice(x, axis, begin, end, steps[i]);
    } else {
      // Backwards: flip, then slice with the mirrored bounds.
      begin = std::clamp<int64_t>(begin, 0, size - 1);
      end = std::clamp<int64_t>(end, -1, begin);
      x = at::slice(at::flip(x, {axis}), axis, size - 1 - begin, size - 1 - end, -steps[i]);
    }
  }
  return {x};
}

Tensors Pad(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const std::vector<int64_t> onnx = call.Ints(1);  // begins of all axes, then ends
  const int64_t rank = x.dim();
  OCTET_REQUIRE(static_cast<int64_t>(onnx.size()) == 2 * rank, "node '{}' (Pad): {} pads for rank {}", call.node.name,
                onnx.size(), rank);
  std::vector<int64_t> pads;
  for (int64_t i = rank; i-- > 0;) {
    pads.push_back(onnx[i]);
    pads.push_back(onnx[i + rank]);
  }
  const std::string mode = call.String("mode", "constant");
  if (mode == "constant") return {at::constant_pad_nd(x, pads, call.Scalar(2, 0))};
  OCTET_REQUIRE(rank == 4 && onnx[0] == 0 && onnx[1] == 0 && onnx[4] == 0 && onnx[5] == 0,
                "node '{}' (Pad): mode {} is supported on the last two of four axes", call.node.name, mode);
  pads.resize(4);
  return {mode == "reflect" ? at::reflection_pad2d(x, pads) : at::replication_pad2d(x, pads)};
}

// nearest with asymmetric coordinates and floor; linear with half_pixel, asymmetric or align_corners.
Tensors Resize(OpCall& call) {
  const at::Tensor x = ChannelsLast(call.input(0));
  const std::string mode = call.String("mode", "nearest");
  const std::string coordinates = call.String("coordinate_transformation_mode", "half_pixel");
  OCTET_REQUIRE(x.dim() == 4, "node '{}' (Resize): rank {}; expected 4", call.node.name, x.dim());
  std::vector<int64_t> sizes = call.Ints(3);
  double scale[2];
  if (sizes.empty()) {
    const ir::ValueId id = call.node.input(2);
    OCTET_REQUIRE(id != ir::kNoValue && call.graph.value(id).is_constant(),
                  "node '{}' (Resize): neither constant scales nor sizes", call.node.name);
    const std::vector<double> scales = call.graph.value(id).constant.ToVector<double>();
    for (int i = 0; i < 4; ++i) sizes.push_back(static_cast<int64_t>(x.size(i) * scales[i]));
    scale[0] = scales[2];
    scale[1] = scales[3];
  } else {
    scale[0] = static_cast<double>(sizes[2]) / x.size(2);
    scale[1] = static_cast<double>(sizes[3]) / x.size(3);
  }
  const bool repeats = mode == "nearest" && coordinates == "asymmetric" &&
                       call.String("nearest_mode", "round_prefer_floor") == "floor" && sizes[2] % x.size(2) == 0 &&
                       sizes[3] % x.size(3) == 0;
  if (repeats && scale[0] * x.size(2) == sizes[2] && scale[1] * x.size(3) == sizes[3]) {
    return {at::upsample_nearest2d(x, {sizes[2], sizes[3]})};
  }
  // Source positions of every output row and column; two gathers each. Slow but exact for every mode.
  const auto positions = [&](int64_t in, int64_t out, double s) {
    const at::Tensor i = at::arange(out, at::kDouble);
    if (coordinates == "align_corners") return out > 1 ? i * (static_cast<double>(in - 1) / (out - 1)) : i * 0;
    if (coordinates == "asymmetric") return i / s;
    if (coordinates == "pytorch_half_pixel" && out <= 1) return i * 0;
    return (i + 0.5) / s - 0.5;
  };
  at::Tensor y = x;
  for (int axis = 2; axis < 4; ++axis) {
    const int64_t in = x.size(axis);
    const at::Tensor at_source = positions(in, sizes[axis], scale[axis - 2]);
    if (mode == "nearest") {
      const std::string rounding = call.String("nearest_mode", "round_prefer_floor");
      at::Tensor index = rounding == "floor"               ? at_source.floor()
                         : rounding == "ceil"              ? at_source.ceil()
                         : rounding == "round_prefer_ceil" ? (at_source + 0.5).floor()
                                                           : (at_source - 0.5).ceil();
      index = index.clamp(0, in - 1).to(at::kLong).to(x.device());
      y = y.index_select(axis, index);
    } else {
      OCTET_REQUIRE(mode == "linear", "node '{}' (Resize): mode {}; expected nearest or linear", call.node.name, mode);
      const at::Tensor low = at_source.floor();
      std::vector<int64_t> shape(4, 1);
      shape[axis] = sizes[axis];
      const at::Tensor part = (at_source - low).to(x.scalar_type()).reshape(shape).to(x.device());
      const at::Tensor a = y.index_select(axis, low.clamp(0, in - 1).to(at::kLong).to(x.device()));
      const at::Tensor b = y.index_select(axis, (low + 1).clamp(0, in - 1).to(at::kLong).to(x.device()));
      y = a * (1 - part) + b * part;
    }
  }
  return {y};
}

Tensors Squeeze(OpCall& call) {
  at::Tensor x = call.input(0);
  std::vector<int64_t> axes = call.IntList("axes", {});
  if (axes.empty()) axes = call.Ints(1);
  if (axes.empty()) return {x.squeeze()};
  for (int64_t& a : axes) a = Axis(a, x.dim());
  std::sort(axes.rbegin(), axes.rend());
  for (const int64_t a : axes) x = x.squeeze(a);
  return {x};
}

Tensors Unsqueeze(OpCall& call) {
  at::Tensor x = call.input(0);
  std::vector<int64_t> axes = call.IntList("axes", {});
  if (axes.empty()) axes = call.Ints(1);
  const int64_t rank = x.dim() + static_cast<int64_t>(axes.size());
  for (int64_t& a : axes) a = Axis(a, rank);
  std::sort(axes.begin(), axes.end());
  for (const int64_t a : axes) x = x.unsqueeze(a);
  return {x};
}

Tensors Expand(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const at::Tensor like = at::empty({1}, x.options()).expand(call.Ints(1));
  return {at::broadcast_tensors({x, like})[0]};
}

Tensors Tile(OpCall& call) {
  return {call.input(0).repeat(call.Ints(1))};
}

Tensors Gather(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t axis = Axis(call.Int("axis", 0), x.dim());
  at::Tensor index = call.input(1).to(at::kLong);
  index = at::where(index < 0, index + x.size(axis), index);
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().begin() + axis);
  shape.insert(shape.end(), index.sizes().begin(), index.sizes().end());
  shape.insert(shape.end(), x.sizes().begin() + axis + 1, x.sizes().end());
  return {x.index_select(axis, index.reshape({-1})).reshape(shape)};
}

// A tuple of indices names a slice: a row of x with the axes in front of slices flattened.
Tensors GatherNd(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const at::Tensor indices = call.input(1).to(at::kLong);
  const int64_t batch_dims = call.Int("batch_dims", 0), length = indices.size(-1);
  at::Tensor row = at::zeros_like(indices.select(-1, 0));
  int64_t batches = 1, rows = 1;
  for (int64_t a = 0; a < batch_dims; ++a) batches *= x.size(a);
  for (int64_t k = 0; k < length; ++k) {
    const int64_t size = x.size(batch_dims + k);
    const at::Tensor i = indices.select(-1, k);
    row = row * size + at::where(i < 0, i + size, i);
    rows *= size;
  }
  row = row.reshape({batches, -1}) + at::arange(batches, row.options()).unsqueeze(1) * rows;
  std::vector<int64_t> shape(indices.sizes().begin(), indices.sizes().end() - 1);
  shape.insert(shape.end(), x.sizes().begin() + batch_dims + length, x.sizes().end());
  const at::Tensor slices = x.reshape({batches * rows, x.numel() / (batches * rows)});
  return {slices.index_select(0, row.reshape({-1})).reshape(shape)};
}

Tensors ShapeOf(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::tensor(x.sizes(), at::kLong).to(x.device())};
}

Tensors DepthToSpace(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t b = call.Int("blocksize", 1);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const at::Tensor y = call.String("mode", "DCR") == "DCR"
                           ? x.reshape({n, b, b, c / (b * b), h, w}).permute({0, 3, 4, 1, 5, 2})
                           : x.reshape({n, c / (b * b), b, b, h, w}).permute({0, 1, 4, 2, 5, 3});
  return {y.reshape({n, c / (b * b), h * b, w * b})};
}

Tensors SpaceToDepth(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const int64_t b = call.Int("blocksize", 1);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  return {x.reshape({n, c, h / b, b, w / b, b}).permute({0, 3, 5, 1, 2, 4}).reshape({n, c * b * b, h / b, w / b})};
}

}  // namespace

std::vector<NamedKernel> ShapeKernels() {
  return {{"Flatten", Flatten},
          {"Reshape", Reshape},
          {"Transpose", Transpose},
          {"Concat", Concat},
          {"Split", Split},
          {"Slice", Slice},
          {"Pad", Pad},
          {"Resize", Resize},
          {"Squeeze", Squeeze},
          {"Unsqueeze", Unsqueeze},
          {"Expand", Expand},
          {"Tile", Tile},
          {"Gather", Gather},
          {"GatherND", GatherNd},
          {"Shape", ShapeOf},
          {"DepthToSpace", DepthToSpace},
          {"SpaceToDepth", SpaceToDepth}};
}

}  // namespace octet::train
