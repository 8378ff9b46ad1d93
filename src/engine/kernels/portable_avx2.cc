// The kernels for CPUs without VNNI: AVX2. Bytes are widened to 16 bits and multiplied with vpmaddwd (two products
// added into 32 bits), which is exact where vpmaddubsw would saturate. The packed weights are those of the AVX-512
// kernels. Results are divided by the scale as docs/numerics.md writes it.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "engine/kernels/kernels.h"

namespace octet::engine::avx2 {
namespace {

struct Bounds {
  __m256 scale;
  __m256i lo, hi;  // bytes
  explicit Bounds(const Quantizer& q)
      : scale(_mm256_set1_ps(q.scale)),
        lo(_mm256_set1_epi8(static_cast<char>(q.lo))),
        hi(_mm256_set1_epi8(static_cast<char>(q.hi))) {}
};

inline __m256i Code(__m256 y, const Bounds& b) {
  return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_div_ps(y, b.scale), _mm256_set1_ps(127.0f)));
}

// Four vectors of codes -> 32 stored bytes; 128-bit lane L: q0, q1, q2, q3 of that lane.
inline __m256i PackBytes(__m256i q0, __m256i q1, __m256i q2, __m256i q3, const Bounds& b) {
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q0, q1), _mm256_packs_epi32(q2, q3));
  bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_min_epu8(_mm256_max_epu8(bytes, b.lo), b.hi);
}

// 4 bytes as 16-bit numbers, four times.
inline __m256i Spread4(const uint8_t* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(v)));
}

struct Pixel {
  const uint8_t* in;
  int64_t n, h, w;
};

// Sums of MR pixels for one vector of 16 output channels, in packed lane order.
template <int MR>
__attribute__((noinline)) void Accumulate(const ConvArgs& args, const PackedConv::Block& block, int vector,
                                          const Pixel* pixels, int32_t (*sums)[16]) {
  const PackedConv& packed = *args.packed;
  const int8_t* w = packed.weights.data() + block.weights + vector * 64;
  __m256i acc[MR][4];
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < 4; ++j) acc[i][j] = _mm256_setzero_si256();
  }
  for (int64_t r = 0; r < args.runs; ++r) {
    const int64_t offset = args.offsets[r];
    for (int64_t k = 0; k < args.run_steps; ++k) {
      __m256i x[MR];
      for (int i = 0; i < MR; ++i) x[i] = Spread4(pixels[i].in + offset + 4 * k);
      for (int j = 0; j < 4; ++j) {
        const __m256i weight = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + j * 16)));
        for (int i = 0; i < MR; ++i) acc[i][j] = _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(x[i], weight));
      }
      w += block.vectors * 64;
    }
  }
  const int32_t* init = packed.init.data() + block.params + vector * 16;
  for (int i = 0; i < MR; ++i) {
    for (int j = 0; j < 4; ++j) {
      alignas(32) int32_t halves[8];
      _mm256_store_si256(reinterpret_cast<__m256i*>(halves), acc[i][j]);
      for (int l = 0; l < 4; ++l) sums[i][j * 4 + l] = init[j * 4 + l] + halves[2 * l] + halves[2 * l + 1];
    }
  }
}

void Finish(const ConvArgs& args, const PackedConv::Block& block, int vector, const Pixel& p, const int32_t* sums,
            const Bounds& bounds, const int64_t* channels) {
  const PackedConv& packed = *args.packed;
  const bool any = args.activation.kind > quant::ActivationKind::kClip || !args.out.data;  // a function of floats
  const uint8_t* residual = args.residual.data ? args.residual.at(p.n, p.h, p.w) + block.channel : nullptr;
  __m256i q[2];
  for (int half = 0; half < 2; ++half) {
    const int64_t at = block.params + vector * 16 + half * 8;
    __m256 y = _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + half * 8)));
    y = _mm256_mul_ps(y, _mm256_loadu_ps(packed.mul.data() + at));
    y = _mm256_add_ps(y, _mm256_loadu_ps(packed.bias.data() + at));
    if (residual) {
      float r[8];
      for (int l = 0; l < 8; ++l) r[l] = static_cast<float>(static_cast<int>(residual[channels[half * 8 + l]]) - 128);
      y = _mm256_add_ps(y, _mm256_mul_ps(_mm256_loadu_ps(r), _mm256_set1_ps(args.residual_scale)));
    }
    float values[8];
    if (any) {
      _mm256_storeu_ps(values, y);
      for (float& v : values) v = args.activation(v);
      y = _mm256_loadu_ps(values);
    }
    if (args.out.data) {
      q[half] = Code(y, bounds);
    } else {
      float* to = args.out_f32 + (p.n * args.out_f32_channels * args.out_h + p.h) * args.out_w + p.w;
      for (int l = 0; l < 8; ++l) {
        const int64_t c = block.channel + channels[half * 8 + l];
        if (c < args.out_c) to[c * args.out_h * args.out_w] = values[l];
      }
    }
  }
  if (!args.out.data) return;
  alignas(32) uint8_t bytes[32];  // lane 0: q0 lanes 0-3, q1 lanes 0-3; lane 1: the other halves
  _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), PackBytes(q[0], q[1], q[0], q[1], bounds));
  uint8_t* out = args.out.at(p.n, p.h, p.w) + block.channel;
  for (int l = 0; l < 16; ++l) out[channels[l]] = bytes[(l % 8 / 4) * 16 + (l / 8) * 4 + l % 4];
}

void Conv(const ConvArgs& args, int part, int parts) {
  constexpr int kPixels = 3;
  const Bounds bounds(args.quantizer);
  const Range range = Share(args.batch * args.out_h * args.out_w, part, parts);
  for (const PackedConv::Block& block : args.packed->blocks) {
    for (int vector = 0; vector < block.vectors; ++vector) {
      int64_t channels[16];
      for (int l = 0; l < 16; ++l) channels[l] = PackedChannel(block.vectors, vector, l);
      for (int64_t at = range.begin; at < range.end; at += kPixels) {
        const int count = static_cast<int>(std::min<int64_t>(kPixels, range.end - at));
        Pixel pixels[kPixels];
        for (int i = 0; i < count; ++i) {
          Pixel& p = pixels[i];
          p.n = (at + i) / (args.out_h * args.out_w);
          p.h = (at + i) / args.out_w % args.out_h;
          p.w = (at + i) % args.out_w;
          p.in = args.in.at(p.n, p.h * args.stride_h, p.w * args.stride_w);
        }
        int32_t sums[kPixels][16];
        if (count == 3) {
          Accumulate<3>(args, block, vector, pixels, sums);
        } else if (count == 2) {
          Accumulate<2>(args, block, vector, pixels, sums);
        } else {
          Accumulate<1>(args, block, vector, pixels, sums);
        }
        for (int i = 0; i < count; ++i) Finish(args, block, vector, pixels[i], sums[i], bounds, channels);
      }
    }
  }
}

inline __m256i Load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// Adds 16-bit products of 8 channels x 4 taps, bytes x and w, to two vectors: channels 0-1 and 2-3 of each lane.
inline void AddProducts(__m256i x, __m256i w, __m256i& low, __m256i& high) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i sign = _mm256_cmpgt_epi8(zero, w);
  low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi8(x, zero), _mm256_unpacklo_epi8(w, sign)));
  high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi8(x, zero), _mm256_unpackhi_epi8(w, sign)));
}

// 32 channels of one pixel; `part` is the half of the packed 64.
void DepthwiseChunk(const ConvArgs& args, const Bounds& bounds, const uint8_t* in, uint8_t* out, int64_t phase,
                    int half, int64_t bytes) {
  const PackedDepthwise& p = *args.packed_depthwise;
  __m256i low[4], high[4];
  for (int a = 0; a < 4; ++a) low[a] = high[a] = _mm256_setzero_si256();
  const int8_t* w = p.weights.data() + phase * p.quads * 256 + half * 32;
  for (int64_t q = 0; q < p.quads; ++q, w += 256) {
    const __m256i x0 = Load(in + args.offsets[4 * q]), x1 = Load(in + args.offsets[4 * q + 1]);
    const __m256i x2 = Load(in + args.offsets[4 * q + 2]), x3 = Load(in + args.offsets[4 * q + 3]);
    const __m256i low01 = _mm256_unpacklo_epi8(x0, x1), high01 = _mm256_unpackhi_epi8(x0, x1);
    const __m256i low23 = _mm256_unpacklo_epi8(x2, x3), high23 = _mm256_unpackhi_epi8(x2, x3);
    AddProducts(_mm256_unpacklo_epi16(low01, low23), Load(w), low[0], high[0]);
    AddProducts(_mm256_unpackhi_epi16(low01, low23), Load(w + 64), low[1], high[1]);
    AddProducts(_mm256_unpacklo_epi16(high01, high23), Load(w + 128), low[2], high[2]);
    AddProducts(_mm256_unpackhi_epi16(high01, high23), Load(w + 192), low[3], high[3]);
  }
  __m256i codes[4];
  for (int a = 0; a < 4; ++a) {
    const int64_t at = phase * 64 + a * 16 + half * 8;
    const __m256i sum = _mm256_add_epi32(_mm256_hadd_epi32(low[a], high[a]), Load(p.init.data() + at));
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(p.mul.data() + at));
    y = _mm256_add_ps(y, _mm256_loadu_ps(p.bias.data() + at));
    if (args.activation.kind > quant::ActivationKind::kClip) {
      float values[8];
      _mm256_storeu_ps(values, y);
      for (float& v : values) v = args.activation(v);
      y = _mm256_loadu_ps(values);
    }
    codes[a] = Code(y, bounds);
  }
  const __m256i packed = PackBytes(codes[0], codes[1], codes[2], codes[3], bounds);
  if (bytes >= 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), packed);
  } else {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(packed));
  }
}

void Depthwise(const ConvArgs& args, int part, int parts) {
  const Bounds bounds(args.quantizer);
  const PackedDepthwise& packed = *args.packed_depthwise;
  const int64_t pixel_bytes = packed.groups * 16;
  const Range rows = Share(args.batch * args.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / args.out_h;
    const int64_t h = row % args.out_h;
    for (int64_t w = 0; w < args.out_w; ++w) {
      const uint8_t* in = args.in.at(n, h * args.stride_h, w * args.stride_w);
      uint8_t* out = args.out.at(n, h, w);
      for (int64_t b = 0; b < pixel_bytes; b += 32) {
        const int64_t group = b / 64 * 4;
        const int64_t phase = group / packed.phase_step;
        DepthwiseChunk(args, bounds, in + b, out + b, phase, static_cast<int>(b % 64 / 32), pixel_bytes - b);
      }
    }
  }
}

void MaxPool(const PoolArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.out_h;
    const int64_t oh = row % a.out_h;
    const int64_t h0 = std::max<int64_t>(oh * a.stride_h - a.pad_top, 0);
    const int64_t h1 = std::min<int64_t>(oh * a.stride_h - a.pad_top + a.kernel_h, a.in_h);
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      const int64_t w0 = std::max<int64_t>(ow * a.stride_w - a.pad_left, 0);
      const int64_t w1 = std::min<int64_t>(ow * a.stride_w - a.pad_left + a.kernel_w, a.in_w);
      for (int64_t c = 0; c < a.channels; c += 16) {
        __m128i best = _mm_setzero_si128();
        for (int64_t h = h0; h < h1; ++h) {
          for (int64_t w = w0; w < w1; ++w) {
            best = _mm_max_epu8(best, _mm_loadu_si128(reinterpret_cast<const __m128i*>(a.in.at(n, h, w) + c)));
          }
        }
        _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out.at(n, oh, ow) + c), best);
      }
    }
  }
}

void Quantize(const QuantizeArgs& a, int part, int parts) {
  const Bounds bounds(a.quantizer);
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t c = 0; c < a.channels; ++c) {
      const float* x = a.in + ((n * a.channels + c) * a.h + h) * a.w;
      uint8_t* out = a.out.at(n, h, 0) + c;
      for (int64_t w = 0; w < a.w; w += 8) {
        const int count = static_cast<int>(std::min<int64_t>(8, a.w - w));
        float values[8] = {};
        std::memcpy(values, x + w, count * sizeof(float));
        const __m256i q = Code(_mm256_loadu_ps(values), bounds);
        alignas(32) uint8_t bytes[32];  // lane 0: codes 0-3, lane 1: codes 4-7
        _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), PackBytes(q, q, q, q, bounds));
        for (int i = 0; i < count; ++i) out[(w + i) * a.out.pixel] = bytes[i / 4 * 16 + i % 4];
      }
    }
  }
}

}  // namespace

void Pick(const PickArgs& a, int part, int parts) {
  const ChannelPick& p = *a.packed;
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t w = 0; w < a.w; ++w) {
      const uint8_t* in = a.in.at(row / a.h, row % a.h, w);
      uint8_t* out = a.out.at(row / a.h, row % a.h, w);
      for (size_t block = 0; block + 1 < p.first.size(); ++block) {
        __m128i bytes = _mm_setzero_si128();
        for (size_t i = p.first[block]; i < p.first[block + 1]; ++i) {
          const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + p.loads[i].offset));
          const __m128i mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p.loads[i].mask));
          bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(x, mask));
        }
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * block), bytes);
      }
    }
  }
}

void FillKernels(KernelSet& kernels) {
  kernels.conv = Conv;
  kernels.depthwise = Depthwise;
  kernels.max_pool = MaxPool;
  kernels.pick = Pick;
  kernels.quantize = Quantize;
}

}  // namespace octet::engine::avx2
