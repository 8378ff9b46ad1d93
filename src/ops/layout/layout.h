// Operators that copy elements to other places: Transpose, Concat, Split, Slice, Pad, Gather, Expand, Tile,
// DepthToSpace, SpaceToDepth. Any element type.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallLayout();

// One axis of a Slice node, normalized: `count` elements from `start` in steps of `step` (which may be negative).
struct SliceAxis {
  int64_t axis, start, step, count;
};
// From data shape and constant starts / ends / axes / steps (axes and steps may be empty). A dynamic axis must not be
// sliced.
std::vector<SliceAxis> NormalSlice(const Node& node, const Shape& shape, const std::vector<int64_t>& starts,
                                   const std::vector<int64_t>& ends, const std::vector<int64_t>& axes,
                                   const std::vector<int64_t>& steps);

// Begin and end padding of every axis of the data, from Pad's pads and axes.
struct PadAmounts {
  std::vector<int64_t> begin, end;
};
PadAmounts NormalPads(const Node& node, size_t rank, const std::vector<int64_t>& pads,
                      const std::vector<int64_t>& axes);

// Sizes of the parts of a Split along its axis.
std::vector<int64_t> SplitSizes(const Node& node, int64_t size, const std::vector<int64_t>& wanted);

Tensors TransposeReference(const Node& node, const Tensors& inputs);
Tensors ConcatReference(const Node& node, const Tensors& inputs);
Tensors SplitReference(const Node& node, const Tensors& inputs);
Tensors SliceReference(const Node& node, const Tensors& inputs);
Tensors PadReference(const Node& node, const Tensors& inputs);
Tensors GatherReference(const Node& node, const Tensors& inputs);
Tensors ExpandReference(const Node& node, const Tensors& inputs);
Tensors TileReference(const Node& node, const Tensors& inputs);
Tensors DepthToSpaceReference(const Node& node, const Tensors& inputs);
Tensors SpaceToDepthReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
