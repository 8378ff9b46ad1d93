// Pools, quantize, dequantize and FP32 Gemm on AVX-512. All work on up to 64 consecutive channels of a pixel.
#include <algorithm>

#include "engine/kernels/avx512_epilogue.h"

namespace octet::engine::avx512 {
namespace {

struct Window {
  int64_t h0, h1, w0, w1;
  Window(const PoolArgs& a, int64_t oh, int64_t ow) {
    h0 = std::max<int64_t>(oh * a.stride_h - a.pad_top, 0);
    h1 = std::min<int64_t>(oh * a.stride_h - a.pad_top + a.kernel_h, a.in_h);
    w0 = std::max<int64_t>(ow * a.stride_w - a.pad_left, 0);
    w1 = std::min<int64_t>(ow * a.stride_w - a.pad_left + a.kernel_w, a.in_w);
  }
};

}  // namespace

void MaxPool(const PoolArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.out_h;
    const int64_t oh = row % a.out_h;
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      const Window window(a, oh, ow);
      uint8_t* out = a.out.at(n, oh, ow);
      for (int64_t c = 0; c < a.channels; c += 64) {
        const __mmask64 mask = ByteMask(a.channels - c);
        __m512i best = _mm512_setzero_si512();
        for (int64_t h = window.h0; h < window.h1; ++h) {
          const uint8_t* in = a.in.at(n, h, window.w0) + c;
          for (int64_t w = window.w0; w < window.w1; ++w, in += a.in.pixel) {
            best = _mm512_max_epu8(best, _mm512_maskz_loadu_epi8(mask, in));
          }
        }
        _mm512_mask_storeu_epi8(out + c, mask, best);
      }
    }
  }
}

void AveragePool(const PoolArgs& a, int part, int parts) {
  const Epilogue epilogue(a.quantizer);
  const int64_t chunks = (a.channels + 63) / 64;
  const Range work = Share(a.batch * a.out_h * chunks, part, parts);
  for (int64_t item = work.begin; item < work.end; ++item) {
    const int64_t c = item % chunks * 64;
    const int64_t n = item / chunks / a.out_h;
    const int64_t oh = item / chunks % a.out_h;
    const __mmask64 mask = ByteMask(a.channels - c);
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      const Window window(a, oh, ow);
      const int64_t padded_h = std::min(a.kernel_h, a.in_h + a.pad_top + a.pad_bottom - oh * a.stride_h);
      const int64_t padded_w = std::min(a.kernel_w, a.in_w + a.pad_left + a.pad_right - ow * a.stride_w);
      const int64_t inside = (window.h1 - window.h0) * (window.w1 - window.w0);
      const int64_t count = a.count_include_pad ? padded_h * padded_w : inside;
      const __m512 scale = _mm512_set1_ps(a.x_scale / static_cast<float>(count));
      __m512i sum[4];
      for (__m512i& s : sum) s = _mm512_set1_epi32(static_cast<int>(-128 * inside));
      for (int64_t h = window.h0; h < window.h1; ++h) {
        const uint8_t* in = a.in.at(n, h, window.w0) + c;
        for (int64_t w = window.w0; w < window.w1; ++w, in += a.in.pixel) {
          __m512i x[4];
          LoadMasked(in, mask, x);
          for (int i = 0; i < 4; ++i) sum[i] = _mm512_add_epi32(sum[i], x[i]);
        }
      }
      __m512 y[4];
      for (int i = 0; i < 4; ++i) y[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i]), scale);
      if (a.out.data) {
        _mm512_mask_storeu_epi8(a.out.at(n, oh, ow) + c, mask, QuantizePack<4>(y, epilogue));
      } else {
        StoreF32(y, a.channels - c, a.out_f32 + ((n * a.channels + c) * a.out_h + oh) * a.out_w + ow,
                 a.out_h * a.out_w);
      }
    }
  }
}

namespace {

// 16 values -> 16 codes (s32) + 128, clipped; the division is done as QuantizePack does it.
inline __attribute__((always_inline)) __m512i Quantize16(__m512 x, const Epilogue& e, __m512i lo, __m512i hi) {
  __m512 t = _mm512_mul_ps(x, e.inverse);
  const __m512 rest = _mm512_abs_ps(_mm512_reduce_ps(t, 8));
  if (__builtin_expect(_mm512_cmp_ps_mask(rest, e.limit, _CMP_GT_OQ) != 0, 0)) t = _mm512_div_ps(x, e.scale);
  const __m512i q = _mm512_cvtps_epi32(_mm512_min_ps(t, _mm512_set1_ps(127.0f)));
  return _mm512_min_epi32(_mm512_max_epi32(q, lo), hi);
}

}  // namespace

void Quantize(const QuantizeArgs& a, int part, int parts) {
  const Epilogue e(a.quantizer);
  const __m512i lo = _mm512_set1_epi32(static_cast<int>(a.quantizer.lo) - 128);
  const __m512i hi = _mm512_set1_epi32(static_cast<int>(a.quantizer.hi) - 128);
  const __m512i offset = _mm512_set1_epi32(128);
  const int64_t plane = a.h * a.w;
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    const float* in = a.in + n * a.channels * plane + h * a.w;
    uint8_t* out = a.out.at(n, h, 0);
    for (int64_t w = 0; w < a.w; w += 16) {
      const int64_t count = std::min<int64_t>(16, a.w - w);
      const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1);
      for (int64_t c = 0; c < a.channels; c += 4) {
        // Four channels of 16 pixels make 16 dwords; absent channels are code 0.
        __m512i bytes = _mm512_setzero_si512();
        for (int64_t i = 3; i >= 0; --i) {
          __m512i q = offset;
          if (c + i < a.channels) {
            q = _mm512_add_epi32(Quantize16(_mm512_maskz_loadu_ps(mask, in + (c + i) * plane + w), e, lo, hi), offset);
          }
          bytes = _mm512_or_si512(_mm512_slli_epi32(bytes, 8), q);
        }
        if (a.out.pixel == 4) {
          _mm512_mask_storeu_epi32(out + w * 4, mask, bytes);
        } else {
          alignas(64) int32_t dwords[16];
          _mm512_store_si512(dwords, bytes);
          for (int64_t i = 0; i < count; ++i) __builtin_memcpy(out + (w + i) * a.out.pixel + c, dwords + i, 4);
        }
      }
    }
  }
}

void Dequantize(const DequantizeArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    if (a.channels_last) {
      float* out = a.out + row * a.w * a.channels;
      for (int64_t w = 0; w < a.w; ++w, out += a.channels) {
        const uint8_t* in = a.in.at(n, h, w);
        for (int64_t c = 0; c < a.channels; c += 16) {
          const int64_t left = a.channels - c;
          const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
          const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, in + c));
          const __m512 y = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(128)));
          _mm512_mask_storeu_ps(out + c, mask, _mm512_mul_ps(y, _mm512_set1_ps(a.scale)));
        }
      }
      continue;
    }
    // A strided walk over the codes, left to the compiler.
    for (int64_t c = 0; c < a.channels; ++c) {
      const uint8_t* in = a.in.at(n, h, 0) + c;
      float* out = a.out + ((n * a.channels + c) * a.h + h) * a.w;
      for (int64_t w = 0; w < a.w; ++w)
        out[w] = static_cast<float>(static_cast<int>(in[w * a.in.pixel]) - 128) * a.scale;
    }
  }
}

void Gemm(const GemmArgs& a, int part, int parts) {
  const PackedGemm& p = *a.packed;
  const Range blocks = Share((p.outputs + 63) / 64, part, parts);
  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    for (int64_t r = 0; r < a.rows; ++r) {
      const float* w = p.weights.data() + b * p.inputs * 64;
      __m512 y[4];
      for (int i = 0; i < 4; ++i) y[i] = _mm512_loadu_ps(p.bias.data() + b * 64 + i * 16);
      for (int64_t c = 0; c < p.inputs; ++c, w += 64) {
        const __m512 x = _mm512_set1_ps(a.x[r * p.inputs + c]);
        for (int i = 0; i < 4; ++i) y[i] = _mm512_add_ps(y[i], _mm512_mul_ps(x, _mm512_loadu_ps(w + i * 16)));
      }
      for (int i = 0; i < 4; ++i) {
        const int64_t left = p.outputs - b * 64 - i * 16;
        if (left <= 0) break;
        const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
        _mm512_mask_storeu_ps(a.y + r * p.outputs + b * 64 + i * 16, mask, y[i]);
      }
    }
  }
}

}  // namespace octet::engine::avx512
