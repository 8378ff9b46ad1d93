// All copies are an index map per axis or a permutation of axes (ops/copy.h).
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "ops/copy.h"
#include "ops/elementwise/elementwise.h"
#include "ops/layout/layout.h"

namespace octet::ops {
namespace {

using AxisMaps = std::vector<std::vector<int64_t>>;

AxisMaps IdentityMaps(const Shape& shape) {
  AxisMaps maps;
  for (const int64_t d : shape) {
    maps.emplace_back(static_cast<size_t>(d));
    std::iota(maps.back().begin(), maps.back().end(), 0);
  }
  return maps;
}

std::vector<int64_t> IntsOf(const Tensors& inputs, size_t i) {
  return Has(inputs, i) ? inputs[i].ToVector<int64_t>() : std::vector<int64_t>();
}

// Where index i of an axis of `size` lies after padding by `begin`; -1: in the constant.
int64_t PaddedSource(const std::string& mode, int64_t i, int64_t size) {
  if (i >= 0 && i < size) return i;
  if (mode == "constant") return -1;
  if (mode == "edge") return i < 0 ? 0 : size - 1;
  if (mode == "wrap") return ((i % size) + size) % size;
  if (size == 1) return 0;
  const int64_t period = 2 * (size - 1);
  const int64_t at = ((i % period) + period) % period;
  return at < size ? at : period - at;
}

}  // namespace

Tensors TransposeReference(const Node& node, const Tensors& inputs) {
  std::vector<int64_t> perm = node.attr_ints("perm", {});
  if (perm.empty()) {
    perm.resize(inputs[0].shape().size());
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  TypesOf(node, inputs);  // checks perm
  return {PermuteAxes(inputs[0], perm)};
}

Tensors ConcatReference(const Node& node, const Tensors& inputs) {
  Tensor y = NewOutput(node, inputs);
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 0), inputs[0].rank()));
  const size_t outer = static_cast<size_t>(Product(y.shape(), 0, axis));
  auto* to = static_cast<std::byte*>(y.mutable_raw());
  for (size_t o = 0; o < outer; ++o) {
    for (const Tensor& x : inputs) {
      const size_t block = x.bytes() / outer;
      if (block > 0) std::memcpy(to, static_cast<const std::byte*>(x.raw()) + o * block, block);
      to += block;
    }
  }
  return {y};
}

Tensors SplitReference(const Node& node, const Tensors& inputs) {
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 0), inputs[0].rank()));
  Tensors out;
  int64_t start = 0;
  for (const int64_t size : SplitSizes(node, inputs[0].shape()[axis], IntsOf(inputs, 1))) {
    AxisMaps maps = IdentityMaps(inputs[0].shape());
    maps[axis].resize(static_cast<size_t>(size));
    std::iota(maps[axis].begin(), maps[axis].end(), start);
    out.push_back(MapAxes(inputs[0], maps));
    start += size;
  }
  return out;
}

Tensors SliceReference(const Node& node, const Tensors& inputs) {
  AxisMaps maps = IdentityMaps(inputs[0].shape());
  for (const SliceAxis& s : NormalSlice(node, inputs[0].shape(), IntsOf(inputs, 1), IntsOf(inputs, 2),
                                        IntsOf(inputs, 3), IntsOf(inputs, 4))) {
    maps[s.axis].assign(static_cast<size_t>(s.count), 0);
    for (int64_t i = 0; i < s.count; ++i) maps[s.axis][i] = s.start + i * s.step;
  }
  return {MapAxes(inputs[0], maps)};
}

Tensors PadReference(const Node& node, const Tensors& inputs) {
  const Shape& in = inputs[0].shape();
  const Shape out = TypesOf(node, inputs)[0].shape;
  const PadAmounts pads = NormalPads(node, in.size(), IntsOf(inputs, 1), IntsOf(inputs, 3));
  const std::string mode = node.attr_string("mode", "constant");
  AxisMaps maps(in.size());
  for (size_t a = 0; a < in.size(); ++a) {
    for (int64_t i = 0; i < out[a]; ++i) maps[a].push_back(PaddedSource(mode, i - pads.begin[a], in[a]));
  }
  return {MapAxes(inputs[0], maps, Has(inputs, 2) ? inputs[2] : Tensor())};
}

Tensors GatherReference(const Node& node, const Tensors& inputs) {
  const Shape out = TypesOf(node, inputs)[0].shape;
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 0), inputs[0].rank()));
  const int64_t size = inputs[0].shape()[axis];
  AxisMaps maps = IdentityMaps(inputs[0].shape());
  maps[axis] = inputs[1].ToVector<int64_t>();
  for (int64_t& i : maps[axis]) {
    OCTET_REQUIRE(i >= -size && i < size, "{}: index {} is outside axis {} of size {}", Label(node), i, axis, size);
    if (i < 0) i += size;
  }
  return {MapAxes(inputs[0], maps).Reshaped(out)};
}

Tensors ExpandReference(const Node& node, const Tensors& inputs) {
  return {BroadcastTo(inputs[0], TypesOf(node, inputs)[0].shape)};
}

Tensors TileReference(const Node& node, const Tensors& inputs) {
  const Shape& in = inputs[0].shape();
  const Shape out = TypesOf(node, inputs)[0].shape;
  AxisMaps maps(in.size());
  for (size_t a = 0; a < in.size(); ++a) {
    for (int64_t i = 0; i < out[a]; ++i) maps[a].push_back(i % in[a]);
  }
  return {MapAxes(inputs[0], maps)};
}

Tensors DepthToSpaceReference(const Node& node, const Tensors& inputs) {
  const Shape& x = inputs[0].shape();
  const Shape out = TypesOf(node, inputs)[0].shape;
  const int64_t b = node.attr_int("blocksize", 0);
  const Tensor y = node.attr_string("mode", "DCR") == "DCR"
                       ? PermuteAxes(inputs[0].Reshaped({x[0], b, b, out[1], x[2], x[3]}), {0, 3, 4, 1, 5, 2})
                       : PermuteAxes(inputs[0].Reshaped({x[0], out[1], b, b, x[2], x[3]}), {0, 1, 4, 2, 5, 3});
  return {y.Reshaped(out)};
}

Tensors SpaceToDepthReference(const Node& node, const Tensors& inputs) {
  const Shape& x = inputs[0].shape();
  const Shape out = TypesOf(node, inputs)[0].shape;
  const int64_t b = node.attr_int("blocksize", 0);
  return {PermuteAxes(inputs[0].Reshaped({x[0], x[1], out[2], b, out[3], b}), {0, 3, 5, 1, 2, 4}).Reshaped(out)};
}

}  // namespace octet::ops
