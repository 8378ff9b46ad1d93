// Plain loops over channels inside loops over rows, vectorised by the compiler (simd_clones.h). Float partial sums
// cover at most kBlock rows before they are added to doubles.
#include "train/kernels/normalize_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "train/kernels/simd_clones.h"

namespace octet::train {
namespace {

constexpr int64_t kBlock = 64;
constexpr float kRounder = 12582912.0f;  // fake_quant_cpu.cc

}  // namespace

OCTET_SIMD_CLONES void SumChannels(const float* __restrict x, int64_t rows, int64_t channels,
                                   const float* __restrict shift, const ChannelSums& out) {
  std::vector<float> buffer(static_cast<size_t>(2 * channels));
  float* __restrict s = buffer.data();
  float* __restrict q = buffer.data() + channels;
  float* __restrict low = out.low;
  float* __restrict high = out.high;
  std::fill(out.sum, out.sum + channels, 0.0);
  std::fill(out.squares, out.squares + channels, 0.0);
  std::fill(low, low + channels, INFINITY);
  std::fill(high, high + channels, -INFINITY);
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    const int64_t end = std::min(rows, begin + kBlock);
    std::fill(s, s + 2 * channels, 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      const float* __restrict row = x + r * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float v = row[c];
        const float d = v - shift[c];
        s[c] += d;
        q[c] += d * d;
        low[c] = v < low[c] ? v : low[c];
        high[c] = v > high[c] ? v : high[c];
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      out.sum[c] += s[c];
      out.squares[c] += q[c];
    }
  }
}

OCTET_SIMD_CLONES float NormalizeRows(const float* __restrict x, const float* __restrict residual, int64_t rows,
                                      int64_t channels, const float* __restrict a, const float* __restrict b,
                                      const Tail& tail, float* __restrict y, uint8_t* __restrict passes) {
  const Tail t = tail;
  constexpr int kLanes = 32;
  float lanes[kLanes] = {};
  for (int64_t r = 0; r < rows; ++r) {
    const float* __restrict row = x + r * channels;
    float* __restrict to = y + r * channels;
    if (residual != nullptr) {
      const float* __restrict other = residual + r * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = row[c] * a[c] + b[c] + other[c];
    } else {
      for (int64_t c = 0; c < channels; ++c) to[c] = row[c] * a[c] + b[c];
    }
    // The row is in the nearest cache now: the rest costs arithmetic only.
    if (passes != nullptr) {
      uint8_t* __restrict mask = passes + r * channels;
      for (int64_t c = 0; c < channels; ++c) {
        mask[c] = static_cast<uint8_t>((to[c] >= t.pass_low) & (to[c] <= t.pass_high));
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      float v = to[c] < t.low ? t.low : to[c];
      to[c] = v > t.high ? t.high : v;
    }
    if (t.scale != 0) {
      for (int64_t c = 0; c < channels; ++c) {
        float v = to[c] / t.scale;
        v = v < t.code_low ? t.code_low : v;
        v = v > t.code_high ? t.code_high : v;
        to[c] = ((v + kRounder) - kRounder) * t.scale;
      }
    } else if (t.find_range) {
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) {
        for (int k = 0; k < kLanes; ++k) {
          const float m = __builtin_fabsf(to[c + k]);
          lanes[k] = lanes[k] < m ? m : lanes[k];
        }
      }
      for (; c < channels; ++c) lanes[0] = std::max(lanes[0], std::fabs(to[c]));
    }
  }
  float amax = 0;
  for (const float lane : lanes) amax = std::max(amax, lane);
  return amax;
}

OCTET_SIMD_CLONES void SumGradient(const float* __restrict x, const float* __restrict dy,
                                   const uint8_t* __restrict passes, int64_t rows, int64_t channels,
                                   const float* __restrict a, const float* __restrict b, const Tail& tail,
                                   const float* __restrict mean, double* sum_g, double* sum_gx, float* __restrict g) {
  const float low = tail.pass_low, high = tail.pass_high;
  std::vector<float> buffer(static_cast<size_t>(3 * channels));
  float* __restrict s = buffer.data();
  float* __restrict sx = buffer.data() + channels;
  float* __restrict scratch = buffer.data() + 2 * channels;
  std::fill(sum_g, sum_g + channels, 0.0);
  std::fill(sum_gx, sum_gx + channels, 0.0);
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    const int64_t end = std::min(rows, begin + kBlock);
    std::fill(s, s + 2 * channels, 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      const float* __restrict row = x + r * channels;
      const float* __restrict grad = dy + r * channels;
      float* __restrict gated = g != nullptr ? g + r * channels : scratch;
      if (passes != nullptr) {
        const uint8_t* __restrict mask = passes + r * channels;
        for (int64_t c = 0; c < channels; ++c) {
          const float v = grad[c];
          gated[c] = mask[c] != 0 ? v : 0.0f;
        }
      } else {
        for (int64_t c = 0; c < channels; ++c) {
          const float z = row[c] * a[c] + b[c];
          const float v = grad[c];
          const float up = z >= low ? v : 0.0f;
          gated[c] = z <= high ? up : 0.0f;
        }
      }
      for (int64_t c = 0; c < channels; ++c) {
        s[c] += gated[c];
        sx[c] += gated[c] * (row[c] - mean[c]);
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      sum_g[c] += s[c];
      sum_gx[c] += sx[c];
    }
  }
}

OCTET_SIMD_CLONES void InputGradient(const float* __restrict x, const float* __restrict dy, const float* __restrict g,
                                     int64_t rows, int64_t channels, const float* __restrict a,
                                     const float* __restrict b, const Tail& tail, const float* __restrict p,
                                     const float* __restrict q, float* __restrict dx) {
  const float low = tail.pass_low, high = tail.pass_high;
  for (int64_t r = 0; r < rows; ++r) {
    const float* __restrict row = x + r * channels;
    float* __restrict to = dx + r * channels;
    if (g != nullptr) {
      const float* __restrict gated = g + r * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = a[c] * gated[c] + (p[c] * row[c] + q[c]);
    } else {
      const float* __restrict grad = dy + r * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float z = row[c] * a[c] + b[c];
        const float v = grad[c];
        const float up = z >= low ? v : 0.0f;
        const float gated = z <= high ? up : 0.0f;
        to[c] = a[c] * gated + (p[c] * row[c] + q[c]);
      }
    }
  }
}

}  // namespace octet::train
