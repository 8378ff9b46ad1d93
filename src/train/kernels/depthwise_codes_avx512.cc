#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "train/kernels/depthwise_codes.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;

__mmask16 MaskFor(int64_t left) {
  return left >= kLanes ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
}

inline __m512 LoadCodes(const int8_t* codes, __mmask16 mask) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, codes)));
}

// Taps [begin, end) of one dimension that lie inside the input when their first lies at `at`.
struct Reach {
  int64_t begin, end;
};
Reach ReachOf(int64_t at, int64_t taps, int64_t dilation, int64_t size) {
  Reach r{0, taps};
  while (r.begin < taps && at + r.begin * dilation < 0) ++r.begin;
  while (r.end > r.begin && at + (r.end - 1) * dilation >= size) --r.end;
  return r;
}

// kPixels neighbouring outputs of a row, all of whose columns lie inside.
template <int kPixels>
void SumPixels(const ConvShape& s, const int8_t* from, const float* spread, Reach rows, Reach columns, int32_t* to) {
  const int64_t channels = s.in_channels, line = s.in[1] * channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512 acc[kPixels];
    for (int i = 0; i < kPixels; ++i) acc[i] = _mm512_setzero_ps();
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t q = columns.begin; q < columns.end; ++q) {
        const __m512 w = _mm512_maskz_loadu_ps(mask, spread + (r * s.kernel[1] + q) * channels + c);
        const int8_t* x = from + r * s.dilations[0] * line + q * s.dilations[1] * channels + c;
        for (int i = 0; i < kPixels; ++i) {
          acc[i] = _mm512_fmadd_ps(LoadCodes(x + i * s.strides[1] * channels, mask), w, acc[i]);
        }
      }
    }
    for (int i = 0; i < kPixels; ++i) {
      _mm512_mask_storeu_epi32(to + i * channels + c, mask, _mm512_cvtps_epi32(acc[i]));
    }
  }
}

template <int K>
void WeightGradientRow(const ConvShape& s, const float* dy, const float* const* lines, float* dspread) {
  const int64_t channels = s.in_channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512 acc[K * K];
#pragma GCC unroll 32
    for (int t = 0; t < K * K; ++t) acc[t] = _mm512_maskz_loadu_ps(mask, dspread + t * channels + c);
    for (int64_t w = 0; w < s.out[1]; ++w) {
      const __m512 g = _mm512_maskz_loadu_ps(mask, dy + w * channels + c);
      const int64_t at = w * s.strides[1] * channels + c;
#pragma GCC unroll 8
      for (int r = 0; r < K; ++r) {
#pragma GCC unroll 8
        for (int q = 0; q < K; ++q) {
          acc[r * K + q] = _mm512_fmadd_ps(
              g, _mm512_maskz_loadu_ps(mask, lines[r] + at + q * s.dilations[1] * channels), acc[r * K + q]);
        }
      }
    }
#pragma GCC unroll 32
    for (int t = 0; t < K * K; ++t) _mm512_mask_storeu_ps(dspread + t * channels + c, mask, acc[t]);
  }
}

// Floats in a line of activations with its pads.
int64_t LineSize(const ConvShape& s) {
  const int64_t last = (s.out[1] - 1) * s.strides[1] + (s.kernel[1] - 1) * s.dilations[1] + 1;
  return std::max(last, s.pad_begin[1] + s.in[1]) * s.in_channels;
}

}  // namespace

bool IsDepthwise(const ConvShape& s) {
  return s.group > 1 && s.group == s.in_channels && s.group == s.out_channels && s.kernel[0] == s.kernel[1] &&
         (s.kernel[0] == 3 || s.kernel[0] == 5);
}

void SpreadDepthwise(const ConvShape& s, const int8_t* weight, float* spread) {
  const int64_t taps = s.kernel[0] * s.kernel[1];
  for (int64_t c = 0; c < s.in_channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) spread[t * s.in_channels + c] = static_cast<float>(weight[c * taps + t]);
  }
}

void DepthwiseSums(const ConvShape& s, const int8_t* x, const float* spread, int64_t first, int64_t count,
                   int32_t* sums) {
  const int64_t channels = s.in_channels, image = s.in[0] * s.in[1] * channels;
  int64_t w = first % s.out[1], h = first / s.out[1] % s.out[0], n = first / s.out[1] / s.out[0];
  for (int64_t i = 0; i < count;) {
    const int64_t top = h * s.strides[0] - s.pad_begin[0], left = w * s.strides[1] - s.pad_begin[1];
    const Reach rows = ReachOf(top, s.kernel[0], s.dilations[0], s.in[0]);
    const Reach columns = ReachOf(left, s.kernel[1], s.dilations[1], s.in[1]);
    const int8_t* from = x + n * image + (top * s.in[1] + left) * channels;
    const Reach last = ReachOf(left + 3 * s.strides[1], s.kernel[1], s.dilations[1], s.in[1]);
    const bool four = i + 4 <= count && w + 4 <= s.out[1] && columns.begin == 0 && last.end == s.kernel[1];
    const int64_t done = four ? 4 : 1;
    if (four) {
      SumPixels<4>(s, from, spread, rows, columns, sums + i * channels);
    } else {
      SumPixels<1>(s, from, spread, rows, columns, sums + i * channels);
    }
    i += done;
    w += done;
    if (w == s.out[1]) {
      w = 0;
      if (++h == s.out[0]) {
        h = 0;
        ++n;
      }
    }
  }
}

void DepthwiseDataGradient(const ConvShape& s, const float* dy, const float* spread, const float* scale, float* dx) {
  const int64_t channels = s.in_channels, line = s.out[1] * channels;
  struct Tap {
    int64_t at, weight;
  };
  // Which outputs a column of dx meets: the same in every row.
  std::vector<std::vector<Tap>> columns(static_cast<size_t>(s.in[1]));
  for (int64_t w = 0; w < s.in[1]; ++w) {
    for (int64_t q = 0; q < s.kernel[1]; ++q) {
      const int64_t at = w + s.pad_begin[1] - q * s.dilations[1];
      if (at < 0 || at % s.strides[1] != 0 || at / s.strides[1] >= s.out[1]) continue;
      columns[static_cast<size_t>(w)].push_back({at / s.strides[1] * channels, q * channels});
    }
  }
  for (int64_t h = 0; h < s.in[0]; ++h) {
    std::vector<Tap> rows;
    for (int64_t r = 0; r < s.kernel[0]; ++r) {
      const int64_t at = h + s.pad_begin[0] - r * s.dilations[0];
      if (at < 0 || at % s.strides[0] != 0 || at / s.strides[0] >= s.out[0]) continue;
      rows.push_back({at / s.strides[0] * line, r * s.kernel[1] * channels});
    }
    for (int64_t w = 0; w < s.in[1]; ++w) {
      float* to = dx + (h * s.in[1] + w) * channels;
      for (int64_t c = 0; c < channels; c += kLanes) {
        const __mmask16 mask = MaskFor(channels - c);
        __m512 acc = _mm512_setzero_ps();
        for (const Tap& row : rows) {
          for (const Tap& column : columns[static_cast<size_t>(w)]) {
            acc = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, dy + row.at + column.at + c),
                                  _mm512_maskz_loadu_ps(mask, spread + row.weight + column.weight + c), acc);
          }
        }
        _mm512_mask_storeu_ps(to + c, mask, _mm512_mul_ps(acc, _mm512_maskz_loadu_ps(mask, scale + c)));
      }
    }
  }
}

int64_t DepthwiseLines(const ConvShape& s) {
  return (s.kernel[0] + 1) * LineSize(s);
}

void DepthwiseWeightGradient(const ConvShape& s, const float* dy, const int8_t* x, float* dspread, float* lines) {
  const int64_t channels = s.in_channels, size = LineSize(s), inside = s.in[1] * channels;
  std::fill(dspread, dspread + s.kernel[0] * s.kernel[1] * channels, 0.0f);
  // A ring of lines as f32 with their pads; the last one is empty, for rows outside.
  std::fill(lines, lines + DepthwiseLines(s), 0.0f);
  const float* empty = lines + s.kernel[0] * size;
  std::vector<int64_t> held(static_cast<size_t>(s.kernel[0]), -1);
  for (int64_t h = 0; h < s.out[0]; ++h) {
    const float* rows[5];
    for (int64_t r = 0; r < s.kernel[0]; ++r) {
      const int64_t at = h * s.strides[0] - s.pad_begin[0] + r * s.dilations[0];
      if (at < 0 || at >= s.in[0]) {
        rows[r] = empty;
        continue;
      }
      // With a dilation the rows of one output may share a place of the ring: then each has the place of its tap.
      const int64_t slot = s.dilations[0] == 1 ? at % s.kernel[0] : r;
      float* line = lines + slot * size;
      if (held[static_cast<size_t>(slot)] != at) {
        held[static_cast<size_t>(slot)] = at;
        float* to = line + s.pad_begin[1] * channels;
        for (int64_t i = 0; i < inside; i += kLanes) {
          const __mmask16 mask = MaskFor(inside - i);
          _mm512_mask_storeu_ps(to + i, mask, LoadCodes(x + at * inside + i, mask));
        }
      }
      rows[r] = line;
    }
    if (s.kernel[0] == 3) {
      WeightGradientRow<3>(s, dy + h * s.out[1] * channels, rows, dspread);
    } else {
      WeightGradientRow<5>(s, dy + h * s.out[1] * channels, rows, dspread);
    }
  }
}

}  // namespace octet::train
