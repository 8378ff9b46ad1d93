#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "train/kernels/pool_codes.h"

namespace octet::train {
namespace {

// Windows that hold one place of the input, in one dimension: where they lie in the output, and which tap it is there.
struct Meeting {
  int64_t out, tap;
};

std::vector<Meeting> MeetingsOf(int64_t at, int64_t kernel, int64_t stride, int64_t pad, int64_t out) {
  std::vector<Meeting> found;
  for (int64_t tap = 0; tap < kernel; ++tap) {
    const int64_t from = at + pad - tap;
    if (from < 0 || from % stride != 0 || from / stride >= out) continue;
    found.push_back({from / stride, tap});
  }
  return found;
}

}  // namespace

void MaxPoolImage(const PoolShape& s, const int8_t* x, int8_t* y, uint8_t* chosen) {
  for (int64_t oh = 0; oh < s.out_h; ++oh) {
    const int64_t top = oh * s.stride_h - s.pad_h;
    const int64_t r_begin = std::max<int64_t>(0, -top), r_end = std::min(s.kernel_h, s.in_h - top);
    for (int64_t ow = 0; ow < s.out_w; ++ow) {
      const int64_t left = ow * s.stride_w - s.pad_w;
      const int64_t q_begin = std::max<int64_t>(0, -left), q_end = std::min(s.kernel_w, s.in_w - left);
      const int64_t to = (oh * s.out_w + ow) * s.channels;
      for (int64_t c = 0; c < s.channels; c += 64) {
        const __mmask64 mask = s.channels - c >= 64 ? ~__mmask64{0} : (__mmask64{1} << (s.channels - c)) - 1;
        __m512i best = _mm512_set1_epi8(-128), which = _mm512_setzero_si512();
        bool first = true;
        for (int64_t r = r_begin; r < r_end; ++r) {
          for (int64_t q = q_begin; q < q_end; ++q) {
            const __m512i v = _mm512_maskz_loadu_epi8(mask, x + ((top + r) * s.in_w + left + q) * s.channels + c);
            const __m512i tap = _mm512_set1_epi8(static_cast<char>(r * s.kernel_w + q));
            const __mmask64 more = first ? ~__mmask64{0} : _mm512_cmpgt_epi8_mask(v, best);
            best = _mm512_mask_mov_epi8(best, more, v);
            which = _mm512_mask_mov_epi8(which, more, tap);
            first = false;
          }
        }
        _mm512_mask_storeu_epi8(y + to + c, mask, best);
        if (chosen != nullptr) _mm512_mask_storeu_epi8(chosen + to + c, mask, which);
      }
    }
  }
}

void MaxPoolGradientImage(const PoolShape& s, const float* dy, const uint8_t* chosen, float* dx) {
  std::vector<std::vector<Meeting>> columns;
  for (int64_t w = 0; w < s.in_w; ++w) columns.push_back(MeetingsOf(w, s.kernel_w, s.stride_w, s.pad_w, s.out_w));
  for (int64_t h = 0; h < s.in_h; ++h) {
    const std::vector<Meeting> rows = MeetingsOf(h, s.kernel_h, s.stride_h, s.pad_h, s.out_h);
    for (int64_t w = 0; w < s.in_w; ++w) {
      float* to = dx + (h * s.in_w + w) * s.channels;
      for (int64_t c = 0; c < s.channels; c += 16) {
        const auto mask =
            static_cast<__mmask16>(s.channels - c >= 16 ? 0xffffu : (1u << static_cast<unsigned>(s.channels - c)) - 1);
        __m512 sum = _mm512_setzero_ps();
        for (const Meeting& row : rows) {
          for (const Meeting& column : columns[static_cast<size_t>(w)]) {
            const int64_t at = (row.out * s.out_w + column.out) * s.channels + c;
            const __m128i tap = _mm_set1_epi8(static_cast<char>(row.tap * s.kernel_w + column.tap));
            const __mmask16 here = _mm_mask_cmpeq_epi8_mask(mask, _mm_maskz_loadu_epi8(mask, chosen + at), tap);
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(here, dy + at));
          }
        }
        _mm512_mask_storeu_ps(to + c, mask, sum);
      }
    }
  }
}

}  // namespace octet::train
