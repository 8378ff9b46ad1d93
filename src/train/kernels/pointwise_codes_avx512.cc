#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "train/kernels/pointwise_codes.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kBlock = 64;

template <typename F, int... I>
__attribute__((always_inline)) inline void UnrollImpl(F&& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>()), ...);
}
template <int N, typename F>
__attribute__((always_inline)) inline void Unroll(F&& f) {
  UnrollImpl(std::forward<F>(f), std::make_integer_sequence<int, N>());
}
#define OCTET_UNROLLED(i) [&](auto i) __attribute__((always_inline))

// In assembly for the reason given in product_s16_tile.h.
__attribute__((always_inline)) inline void AddProducts(__m512i* sum, __m512i u8, __m512i s8) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(u8), "v"(s8));
}

// MR pixels times NV vectors of outputs. A signed code is read as code + 128; `start` takes that out again.
template <int MR, int NV, bool kSigned>
__attribute__((noinline)) void Tile(const int8_t* x, int64_t in, const int8_t* weights, const int32_t* start,
                                    int32_t* to, int64_t to_row, __mmask16 last) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i acc[MR * NV];
  Unroll<NV>(OCTET_UNROLLED(j) {
    const __m512i init = _mm512_loadu_si512(start + j * kLanes);
    Unroll<MR>(OCTET_UNROLLED(i) { acc[i * NV + j] = init; });
  });
  for (int64_t c = 0; c < in; c += 4) {
    __m512i w[NV];
    Unroll<NV>(OCTET_UNROLLED(j) { w[j] = _mm512_loadu_si512(weights + j * 64); });
    weights += NV * 64;
    Unroll<MR>(OCTET_UNROLLED(i) {
      int32_t four;
      std::memcpy(&four, x + i * in + c, 4);
      __m512i v = _mm512_set1_epi32(four);
      if constexpr (kSigned) v = _mm512_xor_si512(v, flip);
      Unroll<NV>(OCTET_UNROLLED(j) { AddProducts(&acc[i * NV + j], v, w[j]); });
    });
  }
  Unroll<MR>(OCTET_UNROLLED(i) {
    Unroll<NV>(OCTET_UNROLLED(j) {
      _mm512_mask_storeu_epi32(to + i * to_row + j * kLanes, j + 1 < NV ? __mmask16{0xffff} : last, acc[i * NV + j]);
    });
  });
}

template <int NV, bool kSigned>
void TileFor(int64_t rows, const int8_t* x, int64_t in, const int8_t* weights, const int32_t* start, int32_t* to,
             int64_t to_row, __mmask16 last) {
  switch (rows) {
    case 1: return Tile<1, NV, kSigned>(x, in, weights, start, to, to_row, last);
    case 2: return Tile<2, NV, kSigned>(x, in, weights, start, to, to_row, last);
    case 3: return Tile<3, NV, kSigned>(x, in, weights, start, to, to_row, last);
    case 4: return Tile<4, NV, kSigned>(x, in, weights, start, to, to_row, last);
    case 5: return Tile<5, NV, kSigned>(x, in, weights, start, to, to_row, last);
    default: return Tile<6, NV, kSigned>(x, in, weights, start, to, to_row, last);
  }
}

}  // namespace

bool IsFewChannelPointwise(const ConvShape& s) {
  for (size_t d = 0; d < 2; ++d) {
    if (s.kernel[d] != 1 || s.strides[d] != 1 || s.pad_begin[d] != 0 || s.in[d] != s.out[d]) return false;
  }
  return s.group == 1 && s.in_channels <= 320 && s.in_channels % 4 == 0;
}

PackedPointwise PackPointwise(const ConvShape& s, const int8_t* weight, bool non_negative) {
  PackedPointwise p;
  p.in = s.in_channels;
  p.out = s.out_channels;
  p.non_negative = non_negative;
  const int64_t padded = (p.out + kLanes - 1) / kLanes * kLanes;
  p.weights.assign(static_cast<size_t>(padded * p.in), 0);
  p.start.assign(static_cast<size_t>(padded), 0);
  for (int64_t o = 0; o < p.out; ++o) {
    const int64_t block = o / kBlock * kBlock, width = std::min(kBlock, padded - block);
    int32_t sum = 0;
    for (int64_t c = 0; c < p.in; ++c) {
      const int8_t code = weight[o * p.in + c];
      p.weights[static_cast<size_t>(block * p.in + (c / 4 * width + o - block) * 4 + c % 4)] = code;
      sum += code;
    }
    if (!non_negative) p.start[static_cast<size_t>(o)] = -128 * sum;
  }
  return p;
}

namespace {

template <bool kSigned>
void SumsOf(const PackedPointwise& p, const int8_t* x, int64_t count, int32_t* sums) {
  const int64_t padded = (p.out + kLanes - 1) / kLanes * kLanes;
  constexpr int64_t kRows = 6;
  // Block after block: its weights stay in the L1 cache.
  for (int64_t block = 0; block < p.out; block += kBlock) {
    const int64_t vectors = std::min(kBlock, padded - block) / kLanes;
    const int64_t lanes = std::min(kBlock, p.out - block) - (vectors - 1) * kLanes;
    const auto last = static_cast<__mmask16>((1u << lanes) - 1);
    const int8_t* w = p.weights.data() + block * p.in;
    const int32_t* start = p.start.data() + block;
    for (int64_t at = 0; at < count; at += kRows) {
      const int64_t rows = std::min(kRows, count - at);
      int32_t* to = sums + at * p.out + block;
      switch (vectors) {
        case 1: TileFor<1, kSigned>(rows, x + at * p.in, p.in, w, start, to, p.out, last); break;
        case 2: TileFor<2, kSigned>(rows, x + at * p.in, p.in, w, start, to, p.out, last); break;
        case 3: TileFor<3, kSigned>(rows, x + at * p.in, p.in, w, start, to, p.out, last); break;
        default: TileFor<4, kSigned>(rows, x + at * p.in, p.in, w, start, to, p.out, last); break;
      }
    }
  }
}

}  // namespace

void PointwiseSums(const PackedPointwise& p, const int8_t* x, int64_t count, int32_t* sums) {
  return p.non_negative ? SumsOf<false>(p, x, count, sums) : SumsOf<true>(p, x, count, sums);
}

}  // namespace octet::train
