// The loops of pooling kernels, shared by the float and the integer pools.
#pragma once

#include <cstdint>

#include "ops/window.h"

namespace octet::ops {

// Calls f(plane, output index within the plane, position of the window's first tap on each axis).
template <typename F>
void ForEachWindow(const Window3& w, int64_t planes, F&& f) {
  for (int64_t p = 0; p < planes; ++p) {
    int64_t at = 0;
    for (int64_t d = 0; d < w.out[0]; ++d) {
      for (int64_t h = 0; h < w.out[1]; ++h) {
        for (int64_t v = 0; v < w.out[2]; ++v, ++at) {
          const int64_t start[3] = {d * w.stride[0] - w.begin[0], h * w.stride[1] - w.begin[1],
                                    v * w.stride[2] - w.begin[2]};
          f(p, at, start);
        }
      }
    }
  }
}

// Calls f(index within the input plane) for every tap of a window that lies inside the input.
template <typename F>
void ForEachInside(const Window3& w, const int64_t start[3], F&& f) {
  for (int64_t a = 0; a < w.kernel[0]; ++a) {
    const int64_t d = start[0] + a * w.dilation[0];
    if (d < 0 || d >= w.in[0]) continue;
    for (int64_t b = 0; b < w.kernel[1]; ++b) {
      const int64_t h = start[1] + b * w.dilation[1];
      if (h < 0 || h >= w.in[1]) continue;
      for (int64_t c = 0; c < w.kernel[2]; ++c) {
        const int64_t v = start[2] + c * w.dilation[2];
        if (v >= 0 && v < w.in[2]) f((d * w.in[1] + h) * w.in[2] + v);
      }
    }
  }
}

// How many taps lie inside the input with its explicit padding (the divisor with count_include_pad); ceil_mode's
// overhang does not count.
inline int64_t PaddedCount(const Window3& w, const int64_t start[3]) {
  int64_t count = 1;
  for (int axis = 0; axis < 3; ++axis) {
    int64_t inside = 0;
    for (int64_t k = 0; k < w.kernel[axis]; ++k) {
      if (start[axis] + k * w.dilation[axis] < w.in[axis] + w.end[axis]) ++inside;
    }
    count *= inside;
  }
  return count;
}

}  // namespace octet::ops
