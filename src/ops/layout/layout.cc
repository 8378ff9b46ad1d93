// Definitions of the operators that copy.
#include "ops/layout/layout.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace octet::ops {
namespace {

constexpr int64_t kLargestCount = 1 << 20;  // of repeats and pads: products with sizes still count in 64 bits

using ir::InputRole;

int64_t RankOf(const Node& node, const Inputs& inputs) {
  return static_cast<int64_t>(ShapeAt(node, inputs, 0).size());
}

std::vector<int64_t> Permutation(const Node& node, size_t rank) {
  std::vector<int64_t> perm = node.attr_ints("perm", {});
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool ok = sorted.size() == rank;
  for (size_t i = 0; ok && i < rank; ++i) ok = sorted[i] == static_cast<int64_t>(i);
  OCTET_REQUIRE(ok, "{}: attribute perm {} is not an order of {} axes", Label(node), octet::ToString(perm), rank);
  return perm;
}

Types InferTranspose(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  Shape out;
  for (const int64_t axis : Permutation(node, in.size())) out.push_back(in[axis]);
  return One(inputs[0]->type.dtype, out);
}

Types InferConcat(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const int64_t axis = NormalAxis(node, node.attr_int("axis", 0), RankOf(node, inputs));
  for (size_t i = 1; i < inputs.size(); ++i) {
    const Shape& other = ShapeAt(node, inputs, i);
    bool fits = other.size() == out.size() && inputs[i]->type.dtype == inputs[0]->type.dtype;
    for (size_t a = 0; fits && a < out.size(); ++a) {
      if (static_cast<int64_t>(a) == axis) {
        out[a] = out[a] < 0 || other[a] < 0 ? kDynamic : out[a] + other[a];
      } else {
        fits = out[a] == other[a] || out[a] < 0 || other[a] < 0;
        out[a] = std::max(out[a], other[a]);
      }
    }
    OCTET_REQUIRE(fits, "{}: {} and {} do not concatenate along axis {}: type and all other sizes must be equal",
                  Label(node), Describe(inputs[0]), Describe(inputs[i]), axis);
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferSplit(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const int64_t axis = NormalAxis(node, node.attr_int("axis", 0), RankOf(node, inputs));
  const std::vector<int64_t> wanted =
      Has(inputs, 1) ? RequireConstInts(node, inputs, 1, "split") : std::vector<int64_t>();
  OCTET_REQUIRE(out[axis] >= 0, "{}: the size of axis {} of {} must be known", Label(node), axis, Describe(inputs[0]));
  Types types;
  for (const int64_t size : SplitSizes(node, out[axis], wanted)) {
    out[axis] = size;
    types.push_back({inputs[0]->type.dtype, out});
  }
  return types;
}

Types InferSlice(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const auto starts = ConstInts(inputs, 1), ends = ConstInts(inputs, 2);
  const auto axes = Has(inputs, 3) ? ConstInts(inputs, 3) : std::vector<int64_t>();
  const auto steps = Has(inputs, 4) ? ConstInts(inputs, 4) : std::vector<int64_t>();
  At(node, inputs, 1);
  At(node, inputs, 2);
  if (!starts || !ends || !axes || !steps) {
    for (int64_t& d : out) d = kDynamic;
    return One(inputs[0]->type.dtype, out);
  }
  for (const SliceAxis& s : NormalSlice(node, out, *starts, *ends, *axes, *steps)) out[s.axis] = s.count;
  return One(inputs[0]->type.dtype, out);
}

Types InferPad(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const std::string mode = node.attr_string("mode", "constant");
  OCTET_REQUIRE(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap",
                "{}: attribute mode is '{}', expected constant, reflect, edge or wrap", Label(node), mode);
  const auto axes = Has(inputs, 3) ? RequireConstInts(node, inputs, 3, "axes") : std::vector<int64_t>();
  const PadAmounts pads = NormalPads(node, out.size(), RequireConstInts(node, inputs, 1, "pads"), axes);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] < 0) {
      OCTET_REQUIRE(pads.begin[i] == 0 && pads.end[i] == 0,
                    "{}: axis {} of {} has an unknown size and cannot be padded", Label(node), i, Describe(inputs[0]));
      continue;
    }
    if (mode == "reflect") {
      OCTET_REQUIRE(std::max(pads.begin[i], pads.end[i]) <= 0 || out[i] > 0,
                    "{}: axis {} of {} is empty: nothing to reflect", Label(node), i, Describe(inputs[0]));
    }
    out[i] += pads.begin[i] + pads.end[i];
    OCTET_REQUIRE(out[i] >= 0, "{}: pads {},{} cut more than axis {} of {} has", Label(node), pads.begin[i],
                  pads.end[i], i, Describe(inputs[0]));
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferGather(const Node& node, const Inputs& inputs) {
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& indices = ShapeAt(node, inputs, 1);
  const DType type = DTypeAt(node, inputs, 1);
  OCTET_REQUIRE(type == DType::kS64 || type == DType::kS32, "{}: indices {}: expected element type s64 or s32",
                Label(node), Describe(inputs[1]));
  const int64_t axis = NormalAxis(node, node.attr_int("axis", 0), RankOf(node, inputs));
  Shape out(x.begin(), x.begin() + axis);
  out.insert(out.end(), indices.begin(), indices.end());
  out.insert(out.end(), x.begin() + axis + 1, x.end());
  return One(inputs[0]->type.dtype, out);
}

Types InferExpand(const Node& node, const Inputs& inputs) {
  return One(DTypeAt(node, inputs, 0),
             BroadcastShape(node, ShapeAt(node, inputs, 0), RequireConstInts(node, inputs, 1, "shape")));
}

Types InferTile(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const std::vector<int64_t> repeats = RequireConstInts(node, inputs, 1, "repeats");
  OCTET_REQUIRE(repeats.size() == out.size(), "{}: {} repeats for {}", Label(node), repeats.size(),
                Describe(inputs[0]));
  for (size_t i = 0; i < out.size(); ++i) {
    OCTET_REQUIRE(repeats[i] >= 0 && repeats[i] <= kLargestCount, "{}: repeats {} hold {}", Label(node),
                  octet::ToString(repeats), repeats[i]);
    if (out[i] >= 0) out[i] *= repeats[i];
  }
  return One(inputs[0]->type.dtype, out);
}

int64_t BlockSize(const Node& node) {
  const int64_t block = node.attr_int("blocksize", 0);
  OCTET_REQUIRE(block >= 1, "{}: attribute blocksize is {}, expected at least 1", Label(node), block);
  return block;
}

Types InferDepthToSpace(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 4, 4);
  Shape x = inputs[0]->type.shape;
  const int64_t b = BlockSize(node);
  const std::string mode = node.attr_string("mode", "DCR");
  OCTET_REQUIRE(mode == "DCR" || mode == "CRD", "{}: attribute mode is '{}', expected DCR or CRD", Label(node), mode);
  OCTET_REQUIRE(x[1] >= 0 && x[1] % (b * b) == 0, "{}: {} channels of {} do not divide by blocksize squared, {}",
                Label(node), x[1], Describe(inputs[0]), b * b);
  x[1] /= b * b;
  for (size_t i = 2; i < 4; ++i) x[i] = x[i] < 0 ? kDynamic : x[i] * b;
  return One(inputs[0]->type.dtype, x);
}

Types InferSpaceToDepth(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 4, 4);
  Shape x = inputs[0]->type.shape;
  const int64_t b = BlockSize(node);
  x[1] = x[1] < 0 ? kDynamic : x[1] * b * b;
  for (size_t i = 2; i < 4; ++i) {
    OCTET_REQUIRE(x[i] < 0 || x[i] % b == 0, "{}: size {} of {} does not divide by blocksize {}", Label(node), x[i],
                  Describe(inputs[0]), b);
    x[i] = x[i] < 0 ? kDynamic : x[i] / b;
  }
  return One(inputs[0]->type.dtype, x);
}

// A Transpose, Slice or Pad that leaves batch and channels alone.
ir::ChannelFlow SpatialOnly(bool spatial) {
  return spatial ? ir::ChannelFlow::kThrough : ir::ChannelFlow::kBarrier;
}

ir::ChannelFlow TransposeFlow(const Node& node, const Inputs& inputs) {
  const std::vector<int64_t> perm = Permutation(node, ShapeAt(node, inputs, 0).size());
  return SpatialOnly(perm.size() > 2 && perm[0] == 0 && perm[1] == 1);
}

ir::ChannelFlow SliceFlow(const Node& node, const Inputs& inputs) {
  if (!Has(inputs, 3)) return ir::ChannelFlow::kBarrier;
  const auto axes = ConstInts(inputs, 3);
  const int64_t rank = RankOf(node, inputs);
  return SpatialOnly(
      axes && std::all_of(axes->begin(), axes->end(), [&](int64_t a) { return NormalAxis(node, a, rank) >= 2; }));
}

ir::ChannelFlow PadFlow(const Node& node, const Inputs& inputs) {
  const auto axes = Has(inputs, 3) ? RequireConstInts(node, inputs, 3, "axes") : std::vector<int64_t>();
  const auto rank = static_cast<size_t>(RankOf(node, inputs));
  const PadAmounts pads = NormalPads(node, rank, RequireConstInts(node, inputs, 1, "pads"), axes);
  return SpatialOnly(rank > 2 && pads.begin[0] == 0 && pads.end[0] == 0 && pads.begin[1] == 0 && pads.end[1] == 0);
}

OpDef Def(const char* name, int min_inputs, int max_inputs, bool commutes) {
  OpDef def;
  def.name = name;
  def.min_inputs = min_inputs;
  def.max_inputs = max_inputs;
  def.roles = {InputRole::kData, InputRole::kConst};
  def.quant.commutes = def.quant.moves = commutes;
  return def;
}

}  // namespace

std::vector<SliceAxis> NormalSlice(const Node& node, const Shape& shape, const std::vector<int64_t>& starts,
                                   const std::vector<int64_t>& ends, const std::vector<int64_t>& axes,
                                   const std::vector<int64_t>& steps) {
  const auto rank = static_cast<int64_t>(shape.size());
  OCTET_REQUIRE(starts.size() == ends.size() && (axes.empty() || axes.size() == starts.size()) &&
                    (steps.empty() || steps.size() == starts.size()),
                "{}: {} starts, {} ends, {} axes, {} steps: expected equally many", Label(node), starts.size(),
                ends.size(), axes.size(), steps.size());
  std::vector<SliceAxis> out;
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = NormalAxis(node, axes.empty() ? static_cast<int64_t>(i) : axes[i], rank);
    const int64_t step = steps.empty() ? 1 : steps[i];
    const int64_t size = shape[axis];
    OCTET_REQUIRE(step != 0, "{}: step 0 on axis {}", Label(node), axis);
    if (size < 0) {
      // The whole of an unknown axis is the only slice whose size is known to be the axis's own.
      OCTET_REQUIRE(starts[i] == 0 && step == 1 && ends[i] >= INT32_MAX,
                    "{}: axis {} has an unknown size and cannot be sliced from {} to {}", Label(node), axis, starts[i],
                    ends[i]);
      continue;
    }
    // ONNX: negative numbers count from the end, then clamp; for a negative step the end may be "before the first".
    const auto place = [&](int64_t at, int64_t low, int64_t high) {
      return std::max(low, std::min(at < 0 ? at + size : at, high));
    };
    const int64_t start = step > 0 ? place(starts[i], 0, size) : place(starts[i], 0, size - 1);
    const int64_t end = step > 0 ? place(ends[i], 0, size) : place(std::max(ends[i], -size - 1), -1, size - 1);
    const int64_t span = step > 0 ? end - start : start - end;
    const int64_t stride = step > 0 ? step : -std::max(step, -INT64_MAX);
    out.push_back({axis, start, step, size == 0 || span <= 0 ? 0 : (span - 1) / stride + 1});
  }
  return out;
}

PadAmounts NormalPads(const Node& node, size_t rank, const std::vector<int64_t>& pads,
                      const std::vector<int64_t>& axes) {
  const size_t count = axes.empty() ? rank : axes.size();
  OCTET_REQUIRE(pads.size() == 2 * count, "{}: {} pads, expected {} (begin and end of {} axes)", Label(node),
                pads.size(), 2 * count, count);
  PadAmounts out{std::vector<int64_t>(rank, 0), std::vector<int64_t>(rank, 0)};
  for (size_t i = 0; i < count; ++i) {
    const int64_t axis = axes.empty() ? static_cast<int64_t>(i) : NormalAxis(node, axes[i], static_cast<int64_t>(rank));
    for (const int64_t pad : {pads[i], pads[count + i]}) {
      OCTET_REQUIRE(pad >= -kLargestCount && pad <= kLargestCount, "{}: a pad of {}", Label(node), pad);
    }
    out.begin[axis] = pads[i];
    out.end[axis] = pads[count + i];
  }
  return out;
}

std::vector<int64_t> SplitSizes(const Node& node, int64_t size, const std::vector<int64_t>& wanted) {
  const auto parts = static_cast<int64_t>(node.outputs.size());
  if (!wanted.empty()) {
    for (const int64_t part : wanted) {
      OCTET_REQUIRE(part >= 0 && part <= size, "{}: split {} of an axis of size {}", Label(node),
                    octet::ToString(wanted), size);
    }
    const int64_t sum = std::accumulate(wanted.begin(), wanted.end(), int64_t{0});
    OCTET_REQUIRE(static_cast<int64_t>(wanted.size()) == parts && sum == size,
                  "{}: split {} does not cover {} outputs of an axis of size {}", Label(node), octet::ToString(wanted),
                  parts, size);
    return wanted;
  }
  OCTET_REQUIRE(parts >= 1, "{}: no outputs", Label(node));
  // Equal parts; the last one is smaller when they do not come out even (opset 18).
  const int64_t each = (size + parts - 1) / parts;
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < parts; ++i) sizes.push_back(std::max<int64_t>(0, std::min(each, size - i * each)));
  return sizes;
}

void InstallLayout() {
  OpDef transpose = Def("Transpose", 1, 1, true);
  transpose.attrs = {Ints("perm")};
  transpose.prune.flow = TransposeFlow;
  transpose.infer = InferTranspose;
  transpose.reference = TransposeReference;
  ir::RegisterOp(transpose);

  OpDef concat = Def("Concat", 1, -1, false);
  concat.roles = {InputRole::kData};
  concat.attrs = {Required(Int("axis", 0))};
  concat.prune.flow = Always(ir::ChannelFlow::kConcat);
  concat.infer = InferConcat;
  concat.reference = ConcatReference;
  ir::RegisterOp(concat);

  OpDef split = Def("Split", 1, 2, true);
  split.max_outputs = -1;
  split.attrs = {Int("axis", 0), Int("num_outputs", 0)};
  split.infer = InferSplit;
  split.reference = SplitReference;
  ir::RegisterOp(split);

  OpDef slice = Def("Slice", 3, 5, true);
  slice.prune.flow = SliceFlow;
  slice.infer = InferSlice;
  slice.reference = SliceReference;
  ir::RegisterOp(slice);

  OpDef pad = Def("Pad", 2, 4, false);
  pad.attrs = {String("mode", "constant")};
  pad.prune.flow = PadFlow;
  pad.infer = InferPad;
  pad.reference = PadReference;
  ir::RegisterOp(pad);

  OpDef gather = Def("Gather", 2, 2, true);
  gather.attrs = {Int("axis", 0)};
  gather.infer = InferGather;
  gather.reference = GatherReference;
  ir::RegisterOp(gather);

  OpDef expand = Def("Expand", 2, 2, true);
  expand.infer = InferExpand;
  expand.reference = ExpandReference;
  ir::RegisterOp(expand);

  OpDef tile = Def("Tile", 2, 2, true);
  tile.infer = InferTile;
  tile.reference = TileReference;
  ir::RegisterOp(tile);

  OpDef depth_to_space = Def("DepthToSpace", 1, 1, true);
  depth_to_space.attrs = {Required(Int("blocksize", 0)), String("mode", "DCR")};
  depth_to_space.infer = InferDepthToSpace;
  depth_to_space.reference = DepthToSpaceReference;
  ir::RegisterOp(depth_to_space);

  OpDef space_to_depth = Def("SpaceToDepth", 1, 1, true);
  space_to_depth.attrs = {Required(Int("blocksize", 0))};
  space_to_depth.infer = InferSpaceToDepth;
  space_to_depth.reference = SpaceToDepthReference;
  ir::RegisterOp(space_to_depth);
}

}  // namespace octet::ops
