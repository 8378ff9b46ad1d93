// Anchor boxes of EfficientDet and the coding of boxes against them (tao.md 3.2).
//
// Boxes are y1,x1,y2,x2 in pixels of the network's input; anchors are centre y, centre x, height, width. Codes:
//   ty = (y - ya) / ha, tx = (x - xa) / wa, th = ln(h / ha), tw = ln(w / wa); no further factors.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace octet::detection {

struct AspectRatio {
  double width = 1;
  double height = 1;
};

struct AnchorOptions {
  int64_t height = 512;  // of the network's input
  int64_t width = 512;
  int64_t min_level = 3;
  int64_t max_level = 7;
  int64_t num_scales = 3;  // sizes within an octave: 2^(i / num_scales)
  std::vector<AspectRatio> aspect_ratios = {{1.0, 1.0}, {1.4, 0.7}, {0.7, 1.4}};
  double anchor_scale = 4;  // size of the smallest anchor of a level, in strides
  int64_t per_cell() const { return num_scales * static_cast<int64_t>(aspect_ratios.size()); }
};

// "[(1.0, 1.0), (1.4, 0.7)]": factors of width and height. Throws a user Error that begins with `where`.
std::vector<AspectRatio> ParseAspectRatios(const std::string& text, const std::string& where);
std::string ToString(const std::vector<AspectRatio>& ratios);

// f32 [A,4]; by level, row, column, scale, aspect ratio. A cell's centre is at (k + 1/2) strides.
Tensor MakeAnchors(const AnchorOptions& options);

using BoxCode = std::array<float, 4>;
BoxCode EncodeBox(const float* box, const float* anchor);
BoxCode DecodeBox(const float* code, const float* anchor);  // y1,x1,y2,x2

}  // namespace octet::detection
