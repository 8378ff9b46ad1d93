// Loops over channels inside, vectorised by the compiler (simd_clones.h).
#include "train/kernels/pool_codes_cpu.h"

#include <algorithm>
#include <vector>

#include "train/kernels/simd_clones.h"

namespace octet::train {

OCTET_SIMD_CLONES void MaxPoolImage(const PoolShape& s, const int8_t* __restrict x, int8_t* __restrict y,
                                    uint8_t* __restrict chosen) {
  std::vector<uint8_t> unused(chosen == nullptr ? static_cast<size_t>(s.channels) : 0);
  for (int64_t oh = 0; oh < s.out_h; ++oh) {
    for (int64_t ow = 0; ow < s.out_w; ++ow) {
      const int64_t to = (oh * s.out_w + ow) * s.channels;
      int8_t* __restrict best = y + to;
      uint8_t* __restrict which = chosen != nullptr ? chosen + to : unused.data();
      bool first = true;
      for (int64_t r = 0; r < s.kernel_h; ++r) {
        const int64_t h = oh * s.stride_h - s.pad_h + r;
        if (h < 0 || h >= s.in_h) continue;
        for (int64_t q = 0; q < s.kernel_w; ++q) {
          const int64_t w = ow * s.stride_w - s.pad_w + q;
          if (w < 0 || w >= s.in_w) continue;
          const int8_t* __restrict from = x + (h * s.in_w + w) * s.channels;
          const auto tap = static_cast<uint8_t>(r * s.kernel_w + q);
          if (first) {
            for (int64_t c = 0; c < s.channels; ++c) {
              best[c] = from[c];
              which[c] = tap;
            }
          } else {
            for (int64_t c = 0; c < s.channels; ++c) {
              const bool more = from[c] > best[c];
              best[c] = more ? from[c] : best[c];
              which[c] = more ? tap : which[c];
            }
          }
          first = false;
        }
      }
    }
  }
}

OCTET_SIMD_CLONES void MaxPoolGradientImage(const PoolShape& s, const float* __restrict dy,
                                            const uint8_t* __restrict chosen, float* __restrict dx) {
  std::fill(dx, dx + s.in_h * s.in_w * s.channels, 0.0f);
  for (int64_t oh = 0; oh < s.out_h; ++oh) {
    for (int64_t ow = 0; ow < s.out_w; ++ow) {
      const int64_t at = (oh * s.out_w + ow) * s.channels;
      const float* __restrict grad = dy + at;
      const uint8_t* __restrict which = chosen + at;
      for (int64_t r = 0; r < s.kernel_h; ++r) {
        const int64_t h = oh * s.stride_h - s.pad_h + r;
        if (h < 0 || h >= s.in_h) continue;
        for (int64_t q = 0; q < s.kernel_w; ++q) {
          const int64_t w = ow * s.stride_w - s.pad_w + q;
          if (w < 0 || w >= s.in_w) continue;
          float* __restrict to = dx + (h * s.in_w + w) * s.channels;
          const auto tap = static_cast<uint8_t>(r * s.kernel_w + q);
          for (int64_t c = 0; c < s.channels; ++c) to[c] += which[c] == tap ? grad[c] : 0.0f;
        }
      }
    }
  }
}

}  // namespace octet::train
