// Sums, gates, tables and gathers of codes on AVX-512.
#include <algorithm>
#include <cstring>

#include "engine/kernels/avx512_epilogue.h"

namespace octet::engine::avx512 {
namespace {

inline __attribute__((always_inline)) void Real(const uint8_t* from, __mmask64 mask, __m512 scale, __m512 (&y)[4]) {
  __m512i q[4];
  LoadMasked(from, mask, q);
  const __m512i offset = _mm512_set1_epi32(128);
  Unroll<4>(OCTET_UNROLLED(i) { y[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(q[i], offset)), scale); });
}

// y of up to 64 channels of pixel (n, h, w), from channel c on; in a flat run c counts bytes from that pixel.
template <typename Args>
inline __attribute__((always_inline)) void Finish(const Args& a, const Epilogue& e, __m512 (&y)[4], int64_t n,
                                                  int64_t h, int64_t w, int64_t c, __mmask64 mask) {
  if (a.out.data) {
    if (e.activation) Unroll<4>(OCTET_UNROLLED(i) { y[i] = Activate(y[i], *e.activation); });
    _mm512_mask_storeu_epi8(a.out.at(n, h, w) + c, mask, QuantizePack<4>(y, e));
  } else {
    Unroll<4>(OCTET_UNROLLED(i) { y[i] = Activate(y[i], a.activation); });
    StoreF32(y, a.channels - c, a.out_f32 + ((n * a.channels + c) * a.h + h) * a.w + w, a.h * a.w);
  }
}

template <int kCount>
void SumOf(const SumArgs& a, int part, int parts) {
  const int count = kCount ? kCount : a.count;
  const Epilogue epilogue(a.quantizer, 0.0f, nullptr, &a.activation);
  // Rows whose pixels lie side by side in all tensors are one flat run.
  bool flat = a.out.data != nullptr;
  for (int i = 0; i < count; ++i) flat = flat && a.in[i].pixel == a.out.pixel;
  const int64_t bytes = flat ? a.w * a.out.pixel : a.channels;
  const int64_t strips = flat ? 1 : a.w;
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t s = 0; s < strips; ++s) {
      for (int64_t c = 0; c < bytes; c += 64) {
        const __mmask64 mask = ByteMask(bytes - c);
        __m512 y[4];
        Real(a.in[0].at(n, h, s) + c, mask, _mm512_set1_ps(a.scale[0]), y);
        for (int i = 1; i < count; ++i) {
          __m512 term[4];
          Real(a.in[i].at(n, h, s) + c, mask, _mm512_set1_ps(a.scale[i]), term);
          Unroll<4>(OCTET_UNROLLED(k) { y[k] = _mm512_add_ps(y[k], term[k]); });
        }
        Finish(a, epilogue, y, n, h, s, c, mask);
      }
    }
  }
}

// The gate's factors of image n in the order of a row's 64-byte chunks: chunk after chunk begins with group 0, 4, 8,
// ... of 16 channels, and the groups repeat from pixel to pixel. Returns how many chunks until that repeats.
int64_t GateFactors(const MulArgs& a, int64_t n, float* factors) {
  const int64_t groups = (a.channels + 15) / 16;
  const int64_t chunks = groups % 4 == 0 ? groups / 4 : groups % 2 == 0 ? groups / 2 : groups;
  const uint8_t* b = a.b.at(n, 0, 0);
  const __m512 scale = _mm512_set1_ps(a.b_scale);
  for (int64_t k = 0; k < chunks; ++k) {
    alignas(64) uint8_t bytes[64];
    for (int64_t i = 0; i < 4; ++i) std::memcpy(bytes + i * 16, b + (k * 4 + i) % groups * 16, 16);
    __m512 y[4];
    Real(bytes, ~0ull, scale, y);
    for (int i = 0; i < 4; ++i) _mm512_storeu_ps(factors + k * 64 + i * 16, y[i]);
  }
  return chunks;
}

void Gate(const MulArgs& a, int part, int parts) {
  const Epilogue epilogue(a.quantizer, 0.0f, nullptr, &a.activation);
  const int64_t padded = (a.channels + 15) / 16 * 16;
  const bool flat = a.out.data && a.a.pixel == padded && a.out.pixel == padded;
  const int64_t bytes = flat ? a.w * padded : a.channels;
  const int64_t strips = flat ? 1 : a.w;
  float* factors = a.scratch + part * padded * 4;
  const __m512 scale = _mm512_set1_ps(a.a_scale);
  const Range rows = Share(a.batch * a.h, part, parts);
  int64_t image = -1, chunks = 0;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    if (n != image) {
      chunks = GateFactors(a, n, factors);
      image = n;
    }
    for (int64_t s = 0; s < strips; ++s) {
      int64_t k = 0;
      for (int64_t c = 0; c < bytes; c += 64) {
        const __mmask64 mask = ByteMask(bytes - c);
        __m512 y[4];
        Real(a.a.at(n, h, s) + c, mask, scale, y);
        const float* f = factors + k * 64;
        Unroll<4>(OCTET_UNROLLED(i) { y[i] = _mm512_mul_ps(y[i], _mm512_loadu_ps(f + i * 16)); });
        Finish(a, epilogue, y, n, h, s, c, mask);
        if (++k == chunks) k = 0;
      }
    }
  }
}

}  // namespace

void Sum(const SumArgs& a, int part, int parts) {
  switch (a.count) {
    case 2: return SumOf<2>(a, part, parts);
    case 3: return SumOf<3>(a, part, parts);
    default: return SumOf<0>(a, part, parts);
  }
}

void Mul(const MulArgs& a, int part, int parts) {
  if (a.gate) return Gate(a, part, parts);
  const Epilogue epilogue(a.quantizer, 0.0f, nullptr, &a.activation);
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t w = 0; w < a.w; ++w) {
      for (int64_t c = 0; c < a.channels; c += 64) {
        const __mmask64 mask = ByteMask(a.channels - c);
        __m512 y[4], factor[4];
        Real(a.a.at(n, h, w) + c, mask, _mm512_set1_ps(a.a_scale), y);
        Real(a.b.at(n, h, w) + c, mask, _mm512_set1_ps(a.b_scale), factor);
        Unroll<4>(OCTET_UNROLLED(i) { y[i] = _mm512_mul_ps(y[i], factor[i]); });
        Finish(a, epilogue, y, n, h, w, c, mask);
      }
    }
  }
}

namespace {

// VBMI looks up 64 bytes in 128 with one instruction.
__attribute__((target("avx512vbmi"))) void LookUp64(const uint8_t* table, const uint8_t* in, uint8_t* out,
                                                    int64_t bytes) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (int64_t c = 0; c < bytes; c += 64) {
    const __mmask64 mask = bytes - c >= 64 ? ~0ull : (1ull << (bytes - c)) - 1;
    const __m512i x = _mm512_maskz_loadu_epi8(mask, in + c);
    const __m512i low = _mm512_permutex2var_epi8(t0, x, t1);
    const __m512i high = _mm512_permutex2var_epi8(t2, x, t3);
    _mm512_mask_storeu_epi8(out + c, mask, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
  }
}

void LookUp(const uint8_t* table, const uint8_t* in, uint8_t* out, int64_t bytes) {
  for (int64_t c = 0; c < bytes; ++c) out[c] = table[in[c]];
}

}  // namespace

void Lut(const LutArgs& a, int part, int parts) {
  static const bool vbmi = __builtin_cpu_supports("avx512vbmi");
  auto* look_up = vbmi ? LookUp64 : LookUp;
  const bool flat = a.in.pixel == a.out.pixel;
  const int64_t bytes = flat ? a.w * a.out.pixel : a.channels;
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t s = 0; s < (flat ? 1 : a.w); ++s) {
      look_up(a.table, a.in.at(row / a.h, row % a.h, s), a.out.at(row / a.h, row % a.h, s), bytes);
    }
  }
}

void Gather(const GatherArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t w = 0; w < a.w; ++w) {
      const uint8_t* in = a.in.at(n, a.rows[h], a.columns[w]);
      uint8_t* out = a.out.at(n, h, w);
      for (int64_t c = 0; c < a.channels; c += 64) {
        const __mmask64 mask = ByteMask(a.channels - c);
        _mm512_mask_storeu_epi8(out + c, mask, _mm512_maskz_loadu_epi8(mask, in + c));
      }
    }
  }
}

}  // namespace octet::engine::avx512
