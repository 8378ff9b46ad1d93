// Depthwise INT8 convolution on AVX-512 VNNI. The bytes of four taps' pixels are interleaved with unpack instructions,
// so that one vpdpbusd does 4 taps of 16 channels; 64 consecutive bytes of the tensor make 4 vectors. With stride 1 a
// row of the output is treated as one flat run of bytes (pixel after pixel), so 16 or 96 channels fill the vectors as
// well as 64.
#include <algorithm>

#include "engine/kernels/avx512_epilogue.h"

namespace octet::engine::avx512 {
namespace {

// 64 bytes of output at `out`, whose first tap is at `in`.
inline __attribute__((always_inline)) void Chunk(const ConvArgs& args, const Epilogue& epilogue, const uint8_t* in,
                                                 uint8_t* out, int64_t phase, __mmask64 mask) {
  const PackedDepthwise& p = *args.packed_depthwise;
  const int8_t* w = p.weights.data() + phase * p.quads * 256;
  __m512i acc[4];
  for (int a = 0; a < 4; ++a) acc[a] = _mm512_loadu_si512(p.init.data() + phase * 64 + a * 16);
  for (int64_t q = 0; q < p.quads; ++q) {
    const __m512i x0 = _mm512_loadu_si512(in + args.offsets[4 * q]);
    const __m512i x1 = _mm512_loadu_si512(in + args.offsets[4 * q + 1]);
    const __m512i x2 = _mm512_loadu_si512(in + args.offsets[4 * q + 2]);
    const __m512i x3 = _mm512_loadu_si512(in + args.offsets[4 * q + 3]);
    const __m512i low01 = _mm512_unpacklo_epi8(x0, x1);
    const __m512i high01 = _mm512_unpackhi_epi8(x0, x1);
    const __m512i low23 = _mm512_unpacklo_epi8(x2, x3);
    const __m512i high23 = _mm512_unpackhi_epi8(x2, x3);
    acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_unpacklo_epi16(low01, low23), _mm512_loadu_si512(w));
    acc[1] = _mm512_dpbusd_epi32(acc[1], _mm512_unpackhi_epi16(low01, low23), _mm512_loadu_si512(w + 64));
    acc[2] = _mm512_dpbusd_epi32(acc[2], _mm512_unpacklo_epi16(high01, high23), _mm512_loadu_si512(w + 128));
    acc[3] = _mm512_dpbusd_epi32(acc[3], _mm512_unpackhi_epi16(high01, high23), _mm512_loadu_si512(w + 192));
    w += 256;
  }
  const __m512i bytes = Codes<4>(acc, p.mul.data() + phase * 64, p.bias.data() + phase * 64,
                                 p.fast.mul.data() + phase * 64, p.fast.bias.data() + phase * 64, nullptr, epilogue);
  _mm512_mask_storeu_epi8(out, mask, bytes);
}

// kOutputs neighbouring pixels, 64 channels: see PackedDepthwiseRows.
template <int kQuads, int kOutputs>
inline __attribute__((always_inline)) void PixelsOfRow(const ConvArgs& args, const Epilogue& epilogue,
                                                       const uint8_t* in, uint8_t* out, int64_t chunk, __mmask64 mask) {
  const PackedDepthwiseRows& p = *args.packed_rows;
  const int8_t* w = p.weights.data() + chunk * p.kernel_h * (kQuads * kOutputs * 256);
  __m512i acc[kOutputs * 4];
  Unroll<4>(OCTET_UNROLLED(a) {
    const __m512i init = _mm512_loadu_si512(p.init.data() + chunk * 64 + a * 16);
    Unroll<kOutputs>(OCTET_UNROLLED(o) { acc[o * 4 + a] = init; });
  });
  const int64_t pixel = args.in.pixel;
  for (int64_t row = 0; row < p.kernel_h; ++row, in += args.dilation_h * args.in.row) {
    const uint8_t* x = in;
    Unroll<kQuads>(OCTET_UNROLLED(j) {
      const __m512i x0 = _mm512_loadu_si512(x), x1 = _mm512_loadu_si512(x + pixel);
      const __m512i x2 = _mm512_loadu_si512(x + 2 * pixel), x3 = _mm512_loadu_si512(x + 3 * pixel);
      x += 4 * pixel;
      const __m512i low01 = _mm512_unpacklo_epi8(x0, x1), high01 = _mm512_unpackhi_epi8(x0, x1);
      const __m512i low23 = _mm512_unpacklo_epi8(x2, x3), high23 = _mm512_unpackhi_epi8(x2, x3);
      const __m512i taps[4] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                               _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
      Unroll<kOutputs>(OCTET_UNROLLED(o) {
        Unroll<4>(OCTET_UNROLLED(a) {
          acc[o * 4 + a] = _mm512_dpbusd_epi32(acc[o * 4 + a], taps[a], _mm512_loadu_si512(w + a * 64));
        });
        w += 256;
      });
    });
  }
  const int64_t at = chunk * 64;
  Unroll<kOutputs>(OCTET_UNROLLED(o) {
    __m512i sums[4];
    Unroll<4>(OCTET_UNROLLED(a) { sums[a] = acc[o * 4 + a]; });
    _mm512_mask_storeu_epi8(out + o * args.out.pixel, mask,
                            Codes<4>(sums, p.mul.data() + at, p.bias.data() + at, p.fast.mul.data() + at,
                                     p.fast.bias.data() + at, nullptr, epilogue));
  });
}

// Rows of the output, chunk of channels after chunk (a chunk's weights stay in the first-level cache). The last group
// of pixels begins early where the width is no multiple: nothing beyond the border is read.
template <int kQuads, int kOutputs>
void DepthwiseRows(const ConvArgs& args, int part, int parts) {
  const Epilogue epilogue(args.quantizer, 0.0f, &args.packed_rows->fast, &args.activation);
  const int64_t pixel_bytes = args.packed_depthwise->groups * 16;
  const int64_t rows = args.batch * args.out_h;
  const int64_t chunks = (pixel_bytes + 63) / 64;
  // Small weights stay in the first-level cache anyway: then a row is finished before the next one, and its pixels are
  // fetched once.
  const bool by_row = args.packed_rows->weights.size() <= (16 << 10);
  const Range work = Share(chunks * rows, part, parts);
  for (int64_t item = work.begin; item < work.end; ++item) {
    const int64_t chunk = by_row ? item % chunks : item / rows;
    const int64_t row = by_row ? item / chunks : item % rows;
    const int64_t n = row / args.out_h;
    const int64_t h = row % args.out_h;
    const __mmask64 mask = ByteMask(pixel_bytes - chunk * 64);
    const uint8_t* in = args.in.at(n, h * args.stride_h, 0) + chunk * 64;
    uint8_t* out = args.out.at(n, h, 0) + chunk * 64;
    for (int64_t w = 0; w < args.out_w; w += kOutputs) {
      const int64_t first = std::min(w, args.out_w - kOutputs);
      PixelsOfRow<kQuads, kOutputs>(args, epilogue, in + first * args.in.pixel, out + first * args.out.pixel, chunk,
                                    mask);
    }
  }
}

// Whether the row form is quicker: not where a pixel fills half a vector or less.
bool UsesRows(const ConvArgs& args) {
  const PackedDepthwiseRows* p = args.packed_rows;
  return p && p->kernel_w != 0 && args.stride_w == 1 && args.dilation_w == 1 && args.out_w >= p->outputs &&
         args.packed_depthwise->groups > 2;
}

}  // namespace

void Depthwise(const ConvArgs& args, int part, int parts) {
  if (UsesRows(args)) {
    return args.packed_rows->kernel_w == 3 ? DepthwiseRows<1, 2>(args, part, parts)
                                           : DepthwiseRows<2, 4>(args, part, parts);
  }
  const PackedDepthwise& packed = *args.packed_depthwise;
  const Epilogue epilogue(args.quantizer, 0.0f, &packed.fast, &args.activation);
  const int64_t pixel_bytes = packed.groups * 16;
  const bool flat = args.stride_w == 1 && args.in.pixel == pixel_bytes && args.out.pixel == pixel_bytes;
  const int64_t strip_bytes = flat ? args.out_w * pixel_bytes : pixel_bytes;
  const int64_t strips = flat ? 1 : args.out_w;
  const Range rows = Share(args.batch * args.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / args.out_h;
    const int64_t h = row % args.out_h;
    for (int64_t s = 0; s < strips; ++s) {
      const uint8_t* in = args.in.at(n, h * args.stride_h, s * args.stride_w);
      uint8_t* out = args.out.at(n, h, s);
      int64_t group = 0;  // first channel group of the chunk
      for (int64_t b = 0; b < strip_bytes; b += 64) {
        Chunk(args, epilogue, in + b, out + b, group / packed.phase_step, ByteMask(strip_bytes - b));
        group += 4;
        while (group >= packed.groups) group -= packed.groups;
      }
    }
  }
}

}  // namespace octet::engine::avx512
