// dx of product_s16.h: rows of a tile are pixels of dx.
#include <algorithm>

#include "train/kernels/integer_rows.h"
#include "train/kernels/product_s16.h"
#include "train/kernels/product_s16_tile.h"

namespace octet::train {
namespace {

struct DataTile {
  const char* a[8];
  float* to[8];
  float scale[8];
  __mmask16 last;  // lanes of the last vector
  bool add;
  const uint16_t* passes[8];
};

template <int NV>
__attribute__((always_inline)) inline void StoreRow(const __m512i* sums, float scale, __mmask16 last, bool add,
                                                    const uint16_t* passes, float* to) {
  const __m512 by = _mm512_set1_ps(scale);
  Unroll<NV>(OCTET_UNROLLED(j) {
    const __mmask16 mask = j + 1 < NV ? __mmask16{0xffff} : last;
    __mmask16 held = add ? mask : __mmask16{0};
    if (passes != nullptr) {
      held &= _mm256_test_epi16_mask(_mm256_maskz_loadu_epi16(mask, passes + j * kLanes), _mm256_set1_epi16(1));
    }
    const __m512 before = _mm512_maskz_loadu_ps(held, to + j * kLanes);
    _mm512_mask_storeu_ps(to + j * kLanes, mask, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[j]), by, before));
  });
}

template <int MR, int NV>
__attribute__((noinline)) void DataTileOf(const DataTile& tile, const char* b, const Strip& strip) {
  __m512i acc[MR * NV];
  Unroll<MR>(OCTET_UNROLLED(i) { Unroll<NV>(OCTET_UNROLLED(j) { acc[i * NV + j] = _mm512_setzero_si512(); }); });
  Accumulate<MR, NV, false>(tile.a, b, strip, acc);
  Unroll<MR>(OCTET_UNROLLED(i) {
    __m512i sums[NV];  // a copy: else the compiler keeps all of acc in memory as well
    Unroll<NV>(OCTET_UNROLLED(j) { sums[j] = acc[i * NV + j]; });
    StoreRow<NV>(sums, tile.scale[i], tile.last, tile.add, tile.passes[i], tile.to[i]);
  });
}

template <int NV>
void DataTileFor(int64_t rows, const DataTile& tile, const char* b, const Strip& strip) {
  switch (rows) {
    case 1: return DataTileOf<1, NV>(tile, b, strip);
    case 2: return DataTileOf<2, NV>(tile, b, strip);
    case 3: return DataTileOf<3, NV>(tile, b, strip);
    case 4: return DataTileOf<4, NV>(tile, b, strip);
    case 5: return DataTileOf<5, NV>(tile, b, strip);
    case 6: return DataTileOf<6, NV>(tile, b, strip);
    case 7:
      if constexpr (NV < 4) return DataTileOf<7, NV>(tile, b, strip);
      break;
    case 8:
      if constexpr (NV < 4) return DataTileOf<8, NV>(tile, b, strip);
      break;
  }
}

// Codes as s16 pairs of output channels: [block of 64 input channels][tap][pair][lane][2].
void PackWeights(const ConvShape& s, int64_t pairs, const int8_t* weight, int16_t* to, const ParallelFor& parallel) {
  const int64_t taps = s.kernel[0] * s.kernel[1], in = s.in_channels, filter = taps * in;
  const int64_t padded = (in + kLanes - 1) / kLanes * kLanes;
  parallel(taps, [&](int64_t tap) {
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const int8_t* first = weight + 2 * pair * filter + tap * in;
      const bool both = 2 * pair + 1 < s.out_channels;
      for (int64_t c = 0; c < in; c += kLanes) {
        const int64_t block = c / kBlock * kBlock, width = std::min(kBlock, padded - block);
        const auto mask = static_cast<__mmask16>((1u << std::min(kLanes, in - c)) - 1);
        const __m512i a = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, first + c));
        const __m512i b =
            both ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, first + filter + c)) : _mm512_setzero_si512();
        int16_t* at = to + 2 * (block * taps * pairs + (tap * pairs + pair) * width + (c - block));
        _mm512_storeu_si512(at, _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16)));
      }
    }
  });
}

// The pixels of dx with one remainder modulo the strides meet the same taps.
struct Phase {
  int64_t y, x;        // the remainders
  int64_t rows, cols;  // of its pixels
  std::vector<Run> runs;
};

std::vector<Phase> PhasesOf(const ConvShape& s, const GradientLayout& g, int64_t vector_bytes) {
  std::vector<Phase> phases;
  for (int64_t y = 0; y < std::min(s.strides[0], s.in[0]); ++y) {
    for (int64_t x = 0; x < std::min(s.strides[1], s.in[1]); ++x) {
      Phase p{
          y, x, (s.in[0] - y + s.strides[0] - 1) / s.strides[0], (s.in[1] - x + s.strides[1] - 1) / s.strides[1], {}};
      for (int64_t r = 0; r < s.kernel[0]; ++r) {
        const int64_t h = y + s.pad_begin[0] - r * s.dilations[0];
        if (h % s.strides[0] != 0) continue;
        for (int64_t q = 0; q < s.kernel[1]; ++q) {
          const int64_t w = x + s.pad_begin[1] - q * s.dilations[1];
          if (w % s.strides[1] != 0) continue;
          const int64_t from = h / s.strides[0] * g.row + w / s.strides[1] * g.channels;
          p.runs.push_back(
              {from * static_cast<int64_t>(sizeof(int16_t)), (r * s.kernel[1] + q) * (g.channels / 2) * vector_bytes});
        }
      }
      phases.push_back(std::move(p));
    }
  }
  return phases;
}

void DataGradientOf(const ConvShape& s, const GradientLayout& g, const Phase& phase, const int16_t* gradient,
                    const float* scale, const char* weights, int64_t block, int64_t begin, int64_t end,
                    const DataGradientOptions& options, float* dx) {
  const int64_t padded = (s.in_channels - block + kLanes - 1) / kLanes * kLanes;
  const int64_t vectors = std::min(kBlock, padded) / kLanes;
  const int64_t most = vectors == 4 ? 6 : 8;
  const int64_t tiles = (end - begin + most - 1) / most;
  const Strip strip{phase.runs.data(), static_cast<int64_t>(phase.runs.size()), g.channels / 2, kPairBytes,
                    vectors * 64};
  const int64_t lanes = std::min(kBlock, s.in_channels - block) - (vectors - 1) * kLanes;
  DataTile tile{};
  tile.add = options.add;
  tile.last = static_cast<__mmask16>((1u << lanes) - 1);
  int64_t n = begin / (phase.rows * phase.cols), i = begin / phase.cols % phase.rows, j = begin % phase.cols;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t rows = (end - begin) * (t + 1) / tiles - (end - begin) * t / tiles;
    for (int64_t m = 0; m < rows; ++m) {
      tile.a[m] = reinterpret_cast<const char*>(gradient + g.first + n * g.image + i * g.row + j * g.channels);
      const int64_t h = phase.y + i * s.strides[0], w = phase.x + j * s.strides[1];
      tile.to[m] = dx + ((n * s.in[0] + h) * s.in[1] + w) * s.in_channels + block;
      tile.passes[m] = options.passes != nullptr ? options.passes + (tile.to[m] - dx) : nullptr;
      tile.scale[m] = scale[n / g.images_per_scale];
      if (++j == phase.cols) {
        j = 0;
        if (++i == phase.rows) {
          i = 0;
          ++n;
        }
      }
    }
    switch (vectors) {
      case 1: DataTileFor<1>(rows, tile, weights, strip); break;
      case 2: DataTileFor<2>(rows, tile, weights, strip); break;
      case 3: DataTileFor<3>(rows, tile, weights, strip); break;
      default: DataTileFor<4>(rows, tile, weights, strip); break;
    }
  }
}

// Adds to the sums of a block of channels, over pixels that lie in one group.
struct BlockSums {
  double g[kBlock] = {}, gx[kBlock] = {};
  std::vector<float> most;  // [group][kBlock]

  void Add(const DataGradientOptions& options, const float* dx, int64_t block, int64_t channels, int64_t begin,
           int64_t end) {
    double sum_g[kBlock], sum_gx[kBlock];
    float top[kBlock];
    const int64_t width = std::min(kBlock, channels - block), at = begin * channels + block;
    SumPassedGradient(dx + at, options.values + at, end - begin, width, channels, sum_g, sum_gx, top, nullptr);
    float* to = most.data() + begin / options.pixels_per_group * kBlock;
    for (int64_t c = 0; c < width; ++c) {
      g[c] += sum_g[c];
      gx[c] += sum_gx[c];
      to[c] = std::max(to[c], top[c]);
    }
  }
};

}  // namespace

void DataGradientS16(const ConvShape& s, const GradientLayout& g, const int16_t* gradient, const float* scale,
                     const int8_t* weight, const DataGradientOptions& options, float* dx, Scratch* scratch,
                     const ParallelFor& parallel) {
  const int64_t taps = s.kernel[0] * s.kernel[1], pairs = g.channels / 2;
  const int64_t padded = (s.in_channels + kLanes - 1) / kLanes * kLanes;
  int16_t* packed = scratch->Get<int16_t>(2 * taps * pairs * padded);
  PackWeights(s, pairs, weight, packed, parallel);
  // A job is a block of channels and a part of the pixels: of many channels few parts, so that the block's weights,
  // which may fill the L2 cache, are read few times.
  const int64_t blocks = (s.in_channels + kBlock - 1) / kBlock, parts = std::max<int64_t>(2, 16 / blocks);
  // By the bytes of a pair's vectors: the last block of channels may be narrower.
  std::vector<std::vector<Phase>> phases;
  for (int64_t v = 1; v <= kBlock / kLanes; ++v) phases.push_back(PhasesOf(s, g, v * 64));
  const bool sums = options.values != nullptr;
  const int64_t all = s.batch * s.in[0] * s.in[1];
  const int64_t groups = sums ? (all + options.pixels_per_group - 1) / options.pixels_per_group : 0;
  std::vector<BlockSums> sums_of(sums ? static_cast<size_t>(blocks * parts) : 0);
  parallel(blocks * parts, [&](int64_t job) {
    const int64_t block = job / parts * kBlock, part = job % parts;
    const char* weights = reinterpret_cast<const char*>(packed + 2 * block * taps * pairs);
    for (const Phase& phase : phases[static_cast<size_t>(std::min(kBlock, padded - block) / kLanes - 1)]) {
      const int64_t pixels = s.batch * phase.rows * phase.cols;
      const int64_t begin = pixels * part / parts, end = pixels * (part + 1) / parts;
      if (!sums) {
        DataGradientOf(s, g, phase, gradient, scale, weights, block, begin, end, options, dx);
        continue;
      }
      // The one phase of strides of 1: pixels in order. Sums of what is in the L1 cache still.
      BlockSums& sum = sums_of[static_cast<size_t>(job)];
      sum.most.assign(static_cast<size_t>(groups * kBlock), 0.0f);
      for (int64_t at = begin; at < end;) {
        const int64_t group_end = (at / options.pixels_per_group + 1) * options.pixels_per_group;
        const int64_t to = std::min({at + 96, end, group_end});
        DataGradientOf(s, g, phase, gradient, scale, weights, block, at, to, options, dx);
        sum.Add(options, dx, block, s.in_channels, at, to);
        at = to;
      }
    }
  });
  if (!sums) return;
  std::fill(options.sum_g, options.sum_g + s.in_channels, 0.0);
  std::fill(options.sum_gx, options.sum_gx + s.in_channels, 0.0);
  std::fill(options.most, options.most + groups * s.in_channels, 0.0f);
  for (int64_t job = 0; job < blocks * parts; ++job) {
    const BlockSums& sum = sums_of[static_cast<size_t>(job)];
    const int64_t block = job / parts * kBlock, width = std::min(kBlock, s.in_channels - block);
    for (int64_t c = 0; c < width; ++c) {
      options.sum_g[block + c] += sum.g[c];
      options.sum_gx[block + c] += sum.gx[c];
      for (int64_t group = 0; group < groups; ++group) {
        float& most = options.most[group * s.in_channels + block + c];
        most = std::max(most, sum.most[static_cast<size_t>(group * kBlock + c)]);
      }
    }
  }
}

}  // namespace octet::train
