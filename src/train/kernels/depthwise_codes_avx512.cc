// All three run along a row with 16 channels at a time; what neighbouring pixels share stays in registers.
#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "train/kernels/depthwise_codes.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kMostKernel = 5;

__mmask16 MaskFor(int64_t left) {
  return left >= kLanes ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
}

inline __m512 LoadCodes(const int8_t* codes, __mmask16 mask) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, codes)));
}

// A row of zeros stands for rows outside the image.
template <typename T>
const T* Zeros(int64_t count) {
  thread_local std::vector<T> zeros;
  if (static_cast<int64_t>(zeros.size()) < count) zeros.assign(static_cast<size_t>(count), T{0});
  return zeros.data();
}

// Outputs [w0, w0 + count) of a row, stride 1: each column of codes is read once and added to the K outputs it meets.
template <int K>
void SumRow(const ConvShape& s, const int8_t* const* rows, const float* spread, int64_t w0, int64_t count,
            int32_t* to) {
  const int64_t channels = s.in_channels, first = w0 - s.pad_begin[1];
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512 weight[K * K], acc[K];
#pragma GCC unroll 32
    for (int t = 0; t < K * K; ++t) weight[t] = _mm512_maskz_loadu_ps(mask, spread + t * channels + c);
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) acc[i] = _mm512_setzero_ps();
    // acc[i] belongs to output w = j + pad - (K - 1) + i, and meets column j with tap K - 1 - i.
    for (int64_t j = first; j < first + count + K - 1; ++j) {
      if (j >= 0 && j < s.in[1]) {
#pragma GCC unroll 8
        for (int r = 0; r < K; ++r) {
          const __m512 x = LoadCodes(rows[r] + j * channels + c, mask);
#pragma GCC unroll 8
          for (int i = 0; i < K; ++i) acc[i] = _mm512_fmadd_ps(x, weight[r * K + K - 1 - i], acc[i]);
        }
      }
      const int64_t w = j - first - (K - 1);
      if (w >= 0) _mm512_mask_storeu_epi32(to + w * channels + c, mask, _mm512_cvtps_epi32(acc[0]));
#pragma GCC unroll 8
      for (int i = 0; i + 1 < K; ++i) acc[i] = acc[i + 1];
      acc[K - 1] = _mm512_setzero_ps();
    }
  }
}

// The same with stride 2, four outputs at a time where all their columns lie inside.
template <int K, int kPixels>
void SumPixels(const ConvShape& s, const int8_t* const* rows, const float* spread, int64_t w, int32_t* to) {
  const int64_t channels = s.in_channels, left = w * s.strides[1] - s.pad_begin[1];
  const int64_t begin = std::max<int64_t>(0, -left), end = std::min<int64_t>(K, s.in[1] - left);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512 acc[kPixels];
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) acc[i] = _mm512_setzero_ps();
    for (int r = 0; r < K; ++r) {
      for (int64_t q = kPixels > 1 ? 0 : begin; q < (kPixels > 1 ? K : end); ++q) {
        const __m512 weight = _mm512_maskz_loadu_ps(mask, spread + (r * K + q) * channels + c);
        const int8_t* x = rows[r] + (left + q) * channels + c;
#pragma GCC unroll 4
        for (int i = 0; i < kPixels; ++i) {
          acc[i] = _mm512_fmadd_ps(LoadCodes(x + i * s.strides[1] * channels, mask), weight, acc[i]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) {
      _mm512_mask_storeu_epi32(to + i * channels + c, mask, _mm512_cvtps_epi32(acc[i]));
    }
  }
}

template <int K>
void SumStretch(const ConvShape& s, const int8_t* const* rows, const float* spread, int64_t w0, int64_t count,
                int32_t* to) {
  if (s.strides[1] == 1) return SumRow<K>(s, rows, spread, w0, count, to);
  for (int64_t i = 0; i < count;) {
    const int64_t left = (w0 + i) * s.strides[1] - s.pad_begin[1];
    if (i + 4 <= count && left >= 0 && left + 3 * s.strides[1] + K <= s.in[1]) {
      SumPixels<K, 4>(s, rows, spread, w0 + i, to + i * s.in_channels);
      i += 4;
    } else {
      SumPixels<K, 1>(s, rows, spread, w0 + i, to + i * s.in_channels);
      ++i;
    }
  }
}

// One row of dx from the R rows of the gradient that meet it, with the rows of taps that they meet it with: each column
// of the gradient is read once and added to the K columns of dx it meets.
template <int K, int S, int R>
void DataRow(const ConvShape& s, const float* const* rows, const float* const* taps, const float* scale, float* dx) {
  const int64_t channels = s.in_channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    const __m512 by = _mm512_maskz_loadu_ps(mask, scale + c);
    __m512 weight[R * K], acc[K];
#pragma GCC unroll 32
    for (int t = 0; t < R * K; ++t) weight[t] = _mm512_maskz_loadu_ps(mask, taps[t / K] + t % K * channels + c);
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i) acc[i] = _mm512_setzero_ps();
    // acc[i] belongs to column w + i of dx.
    int64_t w = -s.pad_begin[1];
    for (int64_t j = 0; w < s.in[1]; ++j, w += S) {
      if (j < s.out[1]) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const __m512 g = _mm512_maskz_loadu_ps(mask, rows[r] + j * channels + c);
#pragma GCC unroll 8
          for (int i = 0; i < K; ++i) acc[i] = _mm512_fmadd_ps(g, weight[r * K + i], acc[i]);
        }
      }
#pragma GCC unroll 2
      for (int i = 0; i < S; ++i) {
        if (w + i < 0 || w + i >= s.in[1]) continue;
        _mm512_mask_storeu_ps(dx + (w + i) * channels + c, mask, _mm512_mul_ps(acc[i], by));
      }
#pragma GCC unroll 8
      for (int i = 0; i + S < K; ++i) acc[i] = acc[i + S];
#pragma GCC unroll 2
      for (int i = K - S; i < K; ++i) acc[i] = _mm512_setzero_ps();
    }
  }
}

template <int K, int S>
void DataRowOf(const ConvShape& s, int64_t count, const float* const* rows, const float* const* taps,
               const float* scale, float* dx) {
  if constexpr (S == 1) {
    DataRow<K, S, K>(s, rows, taps, scale, dx);
  } else if (count == (K + 1) / 2) {
    DataRow<K, S, (K + 1) / 2>(s, rows, taps, scale, dx);
  } else {
    DataRow<K, S, K / 2>(s, rows, taps, scale, dx);
  }
}

// What one row of the gradient adds to dspread. Column j = S m - pad + t of x meets gradient m - u with tap t + S u.
template <int K, int S>
void WeightRow(const ConvShape& s, const float* gradient, const int8_t* const* rows, float* dspread) {
  constexpr int kWindow = (K + S - 1) / S;
  const int64_t channels = s.in_channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskFor(channels - c);
    __m512 acc[K * K], window[kWindow];
#pragma GCC unroll 32
    for (int t = 0; t < K * K; ++t) acc[t] = _mm512_maskz_loadu_ps(mask, dspread + t * channels + c);
#pragma GCC unroll 8
    for (int u = 0; u < kWindow; ++u) window[u] = _mm512_setzero_ps();
    for (int64_t m = 0; m < s.out[1] + kWindow - 1; ++m) {
#pragma GCC unroll 8
      for (int u = kWindow - 1; u > 0; --u) window[u] = window[u - 1];
      window[0] = m < s.out[1] ? _mm512_maskz_loadu_ps(mask, gradient + m * channels + c) : _mm512_setzero_ps();
#pragma GCC unroll 2
      for (int t = 0; t < S; ++t) {
        const int64_t j = S * m - s.pad_begin[1] + t;
        if (j < 0 || j >= s.in[1]) continue;
#pragma GCC unroll 8
        for (int r = 0; r < K; ++r) {
          const __m512 x = LoadCodes(rows[r] + j * channels + c, mask);
#pragma GCC unroll 8
          for (int u = 0; t + S * u < K; ++u) {
            acc[r * K + t + S * u] = _mm512_fmadd_ps(x, window[u], acc[r * K + t + S * u]);
          }
        }
      }
    }
#pragma GCC unroll 32
    for (int t = 0; t < K * K; ++t) _mm512_mask_storeu_ps(dspread + t * channels + c, mask, acc[t]);
  }
}

template <int K, int S>
void Gradients(const ConvShape& s, const GradientRow& gradient, const float* spread, const float* scale,
               const int8_t* x, float* dx, float* dspread, float* ring) {
  const int64_t channels = s.in_channels, line = s.out[1] * channels, in_line = s.in[1] * channels;
  const auto* no_gradient = Zeros<float>(line);
  const auto* no_codes = Zeros<int8_t>(in_line);
  if (dspread != nullptr) std::fill(dspread, dspread + K * K * channels, 0.0f);
  int64_t next = 0;  // row of dx
  for (int64_t h = 0; h < s.out[0]; ++h) {
    float* now = ring + h % K * line;
    gradient(h, now);
    if (dspread != nullptr) {
      const int8_t* rows[K];
      for (int r = 0; r < K; ++r) {
        const int64_t at = h * S - s.pad_begin[0] + r;
        rows[r] = at >= 0 && at < s.in[0] ? x + at * in_line : no_codes;
      }
      WeightRow<K, S>(s, now, rows, dspread);
    }
    // The rows of dx that meet no later row of the gradient.
    const int64_t ready = h + 1 == s.out[0] ? s.in[0] : std::min(s.in[0], (h + 1) * S - s.pad_begin[0]);
    for (; dx != nullptr && next < ready; ++next) {
      const float *rows[K], *taps[K];
      int64_t count = 0;
      for (int r = 0; r < K; ++r) {
        const int64_t at = next + s.pad_begin[0] - r;
        if (((at % S) + S) % S != 0) continue;
        const int64_t row = at < 0 ? -1 : at / S;
        taps[count] = spread + r * K * channels;
        rows[count++] = row >= 0 && row < s.out[0] ? ring + row % K * line : no_gradient;
      }
      DataRowOf<K, S>(s, count, rows, taps, scale, dx + next * in_line);
    }
  }
}

}  // namespace

bool IsDepthwise(const ConvShape& s) {
  const int64_t k = s.kernel[0], stride = s.strides[0];
  return s.group > 1 && s.group == s.in_channels && s.group == s.out_channels && s.kernel[1] == k &&
         (k == 3 || k == kMostKernel) && s.strides[1] == stride && (stride == 1 || stride == 2) &&
         s.dilations[0] == 1 && s.dilations[1] == 1 && s.pad_begin[0] < k && s.pad_begin[1] < k;
}

void SpreadDepthwise(const ConvShape& s, const int8_t* weight, float* spread) {
  const int64_t taps = s.kernel[0] * s.kernel[1];
  for (int64_t c = 0; c < s.in_channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) spread[t * s.in_channels + c] = static_cast<float>(weight[c * taps + t]);
  }
}

void DepthwiseSums(const ConvShape& s, const int8_t* x, const float* spread, int64_t first, int64_t count,
                   int32_t* sums) {
  const int64_t line = s.in[1] * s.in_channels;
  const auto* empty = Zeros<int8_t>(line);
  for (int64_t done = 0; done < count;) {
    const int64_t pixel = first + done, w = pixel % s.out[1];
    const int64_t h = pixel / s.out[1] % s.out[0], n = pixel / s.out[1] / s.out[0];
    const int64_t now = std::min(count - done, s.out[1] - w);
    const int8_t* rows[kMostKernel];
    for (int64_t r = 0; r < s.kernel[0]; ++r) {
      const int64_t at = h * s.strides[0] - s.pad_begin[0] + r;
      rows[r] = at >= 0 && at < s.in[0] ? x + (n * s.in[0] + at) * line : empty;
    }
    int32_t* to = sums + done * s.in_channels;
    if (s.kernel[0] == 3) {
      SumStretch<3>(s, rows, spread, w, now, to);
    } else {
      SumStretch<5>(s, rows, spread, w, now, to);
    }
    done += now;
  }
}

int64_t DepthwiseScratch(const ConvShape& s) {
  return s.kernel[0] * s.out[1] * s.in_channels;
}

void DepthwiseGradients(const ConvShape& s, const GradientRow& gradient, const float* spread, const float* scale,
                        const int8_t* x, float* dx, float* dspread, float* scratch) {
  const bool three = s.kernel[0] == 3, one = s.strides[0] == 1;
  const auto run = three ? (one ? Gradients<3, 1> : Gradients<3, 2>) : (one ? Gradients<5, 1> : Gradients<5, 2>);
  run(s, gradient, spread, scale, x, dx, dspread, scratch);
}

}  // namespace octet::train
