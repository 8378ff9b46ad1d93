// Resize (ONNX opset 11 to 19): nearest, linear, cubic; all coordinate modes; sizes or scales; axes; antialias.
#pragma once

#include "ops/rules.h"

namespace octet::ops {

void InstallResize();

// What Resize does along one axis of its data.
struct ResizeAxis {
  int64_t in, out;
  double scale;                       // out / in as the node means it
  double roi_begin = 0, roi_end = 1;  // of tf_crop_and_resize
};
// For concrete data. `scales` and `sizes` are the inputs' elements, one of them empty; `roi` may be empty.
std::vector<ResizeAxis> ResolveResize(const Node& node, const Shape& shape, const std::vector<float>& roi,
                                      const std::vector<float>& scales, const std::vector<int64_t>& sizes);

// The position in the input that output index `at` samples, before any rounding.
double SourcePosition(const std::string& coordinate_mode, const ResizeAxis& axis, int64_t at);

// Nearest neighbour of a source position, clamped into [0, in).
int64_t NearestIndex(const std::string& nearest_mode, double position, int64_t in);

// One axis as taps: out[i] = sum of weight * in[index].
struct ResizeTap {
  int64_t index;
  double weight;
};
std::vector<std::vector<ResizeTap>> ResizeTaps(const Node& node, const ResizeAxis& axis);

Tensors ResizeReference(const Node& node, const Tensors& inputs);

}  // namespace octet::ops
