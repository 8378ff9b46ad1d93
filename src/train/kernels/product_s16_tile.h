// The tile of which both gradients of product_s16.h are made: MR rows times NV vectors of 16 sums. A row's operand is
// read as pairs of s16 (broadcast), the vectors' as 16 pairs; pairs run along output channels (data gradient) or along
// two neighbouring pixels of a row (weight gradient). Only *_avx512.cc files include this.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace octet::train {

// A copy of its own in each file: one that was compiled with AVX-512 flags must not be picked for another.
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kBlock = 64;  // channels side by side in a tile
constexpr int64_t kPairBytes = 2 * sizeof(int16_t);

template <typename F, int... I>
__attribute__((always_inline)) inline void UnrollImpl(F&& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>()), ...);
}
template <int N, typename F>
__attribute__((always_inline)) inline void Unroll(F&& f) {
  UnrollImpl(std::forward<F>(f), std::make_integer_sequence<int, N>());
}
#define OCTET_UNROLLED(i) [&](auto i) __attribute__((always_inline))

// A stretch of products that lie evenly in memory: byte offsets of its first pair in both operands.
struct Run {
  int64_t a, b;
};

struct Strip {
  const Run* runs;
  int64_t count;
  int64_t steps;           // pairs in each run
  int64_t a_step, b_step;  // bytes from pair to pair
};

inline int32_t Load4(const char* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

// In assembly, because GCC 12 otherwise keeps a second copy of the sums in memory.
__attribute__((always_inline)) inline void AddProducts(__m512i* sum, __m512i x, __m512i v) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(v));
}

// acc += products. kAdjacent: row i's operand lies 4 * i bytes behind a[0].
template <int MR, int NV, bool kAdjacent>
__attribute__((always_inline)) inline void Accumulate(const char* const* a, const char* b, const Strip& s,
                                                      __m512i* acc) {
  for (int64_t r = 0; r < s.count; ++r) {
    const char* row[kAdjacent ? 1 : MR];
    Unroll<kAdjacent ? 1 : MR>(OCTET_UNROLLED(i) { row[i] = a[i] + s.runs[r].a; });
    const char* w = b + s.runs[r].b;
    int64_t at = 0;
    for (int64_t k = 0; k < s.steps; ++k) {
      __m512i v[NV];
      Unroll<NV>(OCTET_UNROLLED(j) { v[j] = _mm512_loadu_si512(w + j * 64); });
      Unroll<MR>(OCTET_UNROLLED(i) {
        const __m512i x = _mm512_set1_epi32(Load4(kAdjacent ? row[0] + at + 4 * i : row[kAdjacent ? 0 : i] + at));
        Unroll<NV>(OCTET_UNROLLED(j) { AddProducts(&acc[i * NV + j], x, v[j]); });
      });
      w += s.b_step;
      at += s.a_step;
    }
  }
}

}  // namespace

}  // namespace octet::train
