// The sliding window of Conv, ConvTranspose and the pools, with auto_pad and ceil_mode turned into explicit numbers.
// The importers of other backends use it too: after this, begin/end/out are plain facts.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph.h"

namespace octet::ops {

struct Window {  // one entry per spatial axis
  std::vector<int64_t> kernel, strides, dilations;
  // Explicit padding as written, or as auto_pad gives it. With ceil_mode a last window may hang over in + end.
  std::vector<int64_t> begin, end;
  Shape out;  // output sizes; kDynamic where the input size is
};

// Reads strides, dilations, pads, auto_pad, ceil_mode. Throws a user Error naming the node when lengths do not fit or
// the window is larger than the padded input.
Window ResolveWindow(const ir::Node& node, const Shape& input_spatial, const std::vector<int64_t>& kernel);

// ConvTranspose: also output_padding and output_shape. begin/end may not both come from pads then.
Window ResolveTransposedWindow(const ir::Node& node, const Shape& input_spatial, const std::vector<int64_t>& kernel);

// The same with exactly three axes (leading axes of size 1 added), for loops written once. Shapes must be known.
struct Window3 {
  int64_t in[3], out[3], kernel[3], stride[3], dilation[3], begin[3], end[3];
};
Window3 ToWindow3(const Window& window, const Shape& input_spatial);

// The output positions o for which 0 <= o*stride + offset < in, within [0, out): [first, last).
struct Range {
  int64_t first, last;
};
Range InsideRange(int64_t in, int64_t out, int64_t stride, int64_t offset);

}  // namespace octet::ops
