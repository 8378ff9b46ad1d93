// Both gradients are made of one tile: MR rows times NV vectors of 16 sums. A row's operand is read as pairs of s16
// (broadcast), the vectors' as 16 pairs; pairs run along output channels (data gradient) or along two neighbouring
// pixels of a row (weight gradient).
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "train/kernels/product_s16.h"

namespace octet::train {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kBlock = 64;         // channels side by side in a tile
constexpr int64_t kPairs = 128;        // of pixels before sums go to memory: the tile's operands stay in the L1 cache
constexpr int64_t kMostPixels = 4096;  // in one s32 sum of a weight gradient; see LayoutOfGradient
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

// ---- data gradient: rows are pixels of dx

struct DataTile {
  const char* a[8];
  float* to[8];
  float scale[8];
  __mmask16 last;  // lanes of the last vector
};

template <int NV>
__attribute__((always_inline)) inline void StoreRow(const __m512i* sums, float scale, __mmask16 last, float* to) {
  const __m512 by = _mm512_set1_ps(scale);
  Unroll<NV>(OCTET_UNROLLED(j) {
    const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), by);
    _mm512_mask_storeu_ps(to + j * kLanes, j + 1 < NV ? __mmask16{0xffff} : last, y);
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
    StoreRow<NV>(sums, tile.scale[i], tile.last, tile.to[i]);
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
                    const float* scale, const char* weights, int64_t block, int64_t begin, int64_t end, float* dx) {
  const int64_t padded = (s.in_channels - block + kLanes - 1) / kLanes * kLanes;
  const int64_t vectors = std::min(kBlock, padded) / kLanes;
  const int64_t most = vectors == 4 ? 6 : 8;
  const int64_t tiles = (end - begin + most - 1) / most;
  const Strip strip{phase.runs.data(), static_cast<int64_t>(phase.runs.size()), g.channels / 2, kPairBytes,
                    vectors * 64};
  const int64_t lanes = std::min(kBlock, s.in_channels - block) - (vectors - 1) * kLanes;
  DataTile tile{};
  tile.last = static_cast<__mmask16>((1u << lanes) - 1);
  int64_t n = begin / (phase.rows * phase.cols), i = begin / phase.cols % phase.rows, j = begin % phase.cols;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t rows = (end - begin) * (t + 1) / tiles - (end - begin) * t / tiles;
    for (int64_t m = 0; m < rows; ++m) {
      tile.a[m] = reinterpret_cast<const char*>(gradient + g.first + n * g.image + i * g.row + j * g.channels);
      const int64_t h = phase.y + i * s.strides[0], w = phase.x + j * s.strides[1];
      tile.to[m] = dx + ((n * s.in[0] + h) * s.in[1] + w) * s.in_channels + block;
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

// ---- weight gradient: rows are output channels, sums go to s32 memory [output channel][tap][input channel]

// The rows and images whose products are added up in s32 before they become f32.
struct Band {
  int64_t image, images, row, rows;  // of the gradient
};

struct Folded {            // the convolution as the weight gradient sees it
  int64_t in = 0;          // channels; of a network's first layer: those of all columns of the kernel
  int64_t columns = 0;     // of the kernel
  int64_t pixel = 0;       // bytes from pixel to pixel of a line
  int64_t pairs = 0;       // of pixels in a row of the gradient
  bool shared = false;     // columns 0, 2, ... read one copy of the line, shifted by a pair; 1, 3, ... the other
  int64_t copies = 0;      // of a line
  int64_t copy_pairs = 0;  // pairs in each
  int64_t padded = 0;      // `in` rounded up to vectors
  int64_t line_bytes = 0;
};

Folded FoldOf(const ConvShape& s) {
  Folded f;
  f.pixel = s.in_channels;
  f.in = s.in_channels;
  f.columns = s.kernel[1];
  if (s.in_channels < kLanes && s.dilations[1] == 1) {
    f.in = s.in_channels * s.kernel[1];
    f.columns = 1;
  }
  f.pairs = (s.out[1] + 1) / 2;
  f.shared = s.strides[1] == 1 && s.dilations[1] == 1;
  f.copies = f.shared ? std::min<int64_t>(2, f.columns) : f.columns;
  f.copy_pairs = f.pairs + (f.shared ? (f.columns - 1) / 2 : 0);
  f.padded = (f.in + kLanes - 1) / kLanes * kLanes;
  const int64_t last = (2 * f.copy_pairs - 1) * s.strides[1] + (f.columns - 1) * s.dilations[1];
  f.line_bytes = std::max(last, s.pad_begin[1] + s.in[1]) * f.pixel + f.in + 64;
  return f;
}

// Two neighbouring rows of the gradient's pixels as pairs: [block of 16 channels][image][row][pair][16][2].
void PackGradientRow(const ConvShape& s, const GradientLayout& g, const Folded& f, const int16_t* row, int64_t at,
                     int64_t block_stride, int16_t* to) {
  for (int64_t c = 0; c < s.out_channels; c += kLanes) {
    const auto mask = static_cast<__mmask16>((1u << std::min(kLanes, s.out_channels - c)) - 1);
    int16_t* out = to + c / kLanes * block_stride + at * f.pairs * 2 * kLanes;
    for (int64_t j = 0; j < f.pairs; ++j) {
      const int16_t* p = row + 2 * j * g.channels + c;
      const __m512i a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
      const __m512i b = 2 * j + 1 < s.out[1] ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + g.channels))
                                             : _mm512_setzero_si512();
      _mm512_storeu_si512(out + j * 2 * kLanes, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
    }
  }
}

// A line of activations, with the pads of its ends, as pairs: [block of 64 channels][copy][line][pair][lane][2].
void PackLine(const ConvShape& s, const Folded& f, const int8_t* line, int64_t at, int64_t lines, int16_t* to) {
  for (int64_t copy = 0; copy < f.copies; ++copy) {
    for (int64_t c = 0; c < f.padded; c += kLanes) {
      const int64_t block = c / kBlock * kBlock, width = std::min(kBlock, f.padded - block);
      int16_t* out =
          to + 2 * ((block * f.copies + copy * width) * lines * f.copy_pairs + at * f.copy_pairs * width + (c - block));
      const int8_t* p = line + copy * s.dilations[1] * f.pixel + c;
      const int64_t next = s.strides[1] * f.pixel;
      for (int64_t j = 0; j < f.copy_pairs; ++j) {
        const __m512i a = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        const __m512i b = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + next)));
        _mm512_storeu_si512(out + j * 2 * width, _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16)));
        p += 2 * next;
      }
    }
  }
}

template <int MR, int NV>
__attribute__((noinline)) void WeightTileOf(const char* a, const char* b, const Strip& strip, int32_t* to,
                                            int64_t to_row, bool first) {
  __m512i acc[MR * NV];
  Unroll<MR>(OCTET_UNROLLED(i) {
    Unroll<NV>(OCTET_UNROLLED(j) {
      acc[i * NV + j] = first ? _mm512_setzero_si512() : _mm512_loadu_si512(to + i * to_row + j * kLanes);
    });
  });
  Accumulate<MR, NV, true>(&a, b, strip, acc);
  Unroll<MR>(OCTET_UNROLLED(i) {
    Unroll<NV>(OCTET_UNROLLED(j) { _mm512_storeu_si512(to + i * to_row + j * kLanes, acc[i * NV + j]); });
  });
}

template <int NV>
void WeightTileFor(int64_t rows, const char* a, const char* b, const Strip& strip, int32_t* to, int64_t to_row,
                   bool first) {
  switch (rows) {
    case 1: return WeightTileOf<1, NV>(a, b, strip, to, to_row, first);
    case 2: return WeightTileOf<2, NV>(a, b, strip, to, to_row, first);
    case 3: return WeightTileOf<3, NV>(a, b, strip, to, to_row, first);
    case 4: return WeightTileOf<4, NV>(a, b, strip, to, to_row, first);
    case 5: return WeightTileOf<5, NV>(a, b, strip, to, to_row, first);
    case 6: return WeightTileOf<6, NV>(a, b, strip, to, to_row, first);
    case 7:
      if constexpr (NV < 4) return WeightTileOf<7, NV>(a, b, strip, to, to_row, first);
      break;
    case 8:
      if constexpr (NV < 4) return WeightTileOf<8, NV>(a, b, strip, to, to_row, first);
      break;
  }
}

std::vector<Band> BandsOf(const ConvShape& s, const GradientLayout& g) {
  std::vector<Band> bands;
  const int64_t most_rows = std::max<int64_t>(1, kMostPixels / s.out[1]);
  for (int64_t n = 0; n < s.batch; n += g.images_per_scale) {
    const int64_t images = std::min(g.images_per_scale, s.batch - n);
    const int64_t parts = images > 1 ? 1 : (s.out[0] + most_rows - 1) / most_rows;
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = s.out[0] * p / parts;
      bands.push_back({n, images, begin, s.out[0] * (p + 1) / parts - begin});
    }
  }
  return bands;
}

}  // namespace

void DataGradientS16(const ConvShape& s, const GradientLayout& g, const int16_t* gradient, const float* scale,
                     const int8_t* weight, float* dx, Scratch* scratch, const ParallelFor& parallel) {
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
  parallel(blocks * parts, [&](int64_t job) {
    const int64_t block = job / parts * kBlock, part = job % parts;
    const char* weights = reinterpret_cast<const char*>(packed + 2 * block * taps * pairs);
    for (const Phase& phase : phases[static_cast<size_t>(std::min(kBlock, padded - block) / kLanes - 1)]) {
      const int64_t pixels = s.batch * phase.rows * phase.cols;
      DataGradientOf(s, g, phase, gradient, scale, weights, block, pixels * part / parts, pixels * (part + 1) / parts,
                     dx);
    }
  });
}

void WeightGradientS16(const ConvShape& s, const GradientLayout& g, const int16_t* gradient, const float* scale,
                       const int8_t* x, const float* factor, float* dweight, Scratch* scratch,
                       const ParallelFor& parallel) {
  const Folded f = FoldOf(s);
  const std::vector<Band> bands = BandsOf(s, g);
  const int64_t taps = s.kernel[0] * f.columns, sums_row = taps * f.padded;
  const int64_t k_blocks = (s.out_channels + kLanes - 1) / kLanes;
  int64_t most_rows = 0, most_lines = 0;  // in a band
  const auto lines_of = [&](const Band& b) {
    return (b.rows - 1) * s.strides[0] + (s.kernel[0] - 1) * s.dilations[0] + 1;
  };
  for (const Band& b : bands) {
    most_rows = std::max(most_rows, b.images * b.rows);
    most_lines = std::max(most_lines, b.images * lines_of(b));
  }
  constexpr int64_t kJobs = 16;
  // All in one piece of memory: the gradient's pairs, the activations' pairs, the sums, a line for each job.
  const int64_t gradient_size = k_blocks * most_rows * f.pairs * 2 * kLanes;
  const int64_t lines_size = 2 * f.padded * f.copies * most_lines * f.copy_pairs;
  const int64_t sums_size = k_blocks * kLanes * sums_row;
  const int64_t line_words = (f.line_bytes + 1) / 2 + 32;
  auto* pairs = scratch->Get<int16_t>(gradient_size + lines_size + 2 * sums_size + kJobs * line_words);
  int16_t* lines = pairs + gradient_size;
  auto* sums = reinterpret_cast<int32_t*>(lines + lines_size);
  auto* line_memory = reinterpret_cast<int8_t*>(sums + sums_size);
  for (size_t at = 0; at < bands.size(); ++at) {
    const Band& band = bands[at];
    const int64_t rows = band.images * band.rows;
    const int64_t image_lines = lines_of(band), all_lines = band.images * image_lines;
    const int64_t first_line = band.row * s.strides[0] - s.pad_begin[0];
    const int64_t block_stride = rows * f.pairs * 2 * kLanes;
    parallel(kJobs, [&](int64_t job) {
      for (int64_t r = rows * job / kJobs; r < rows * (job + 1) / kJobs; ++r) {
        const int64_t n = band.image + r / band.rows, h = band.row + r % band.rows;
        PackGradientRow(s, g, f, gradient + g.first + n * g.image + h * g.row, r, block_stride, pairs);
      }
      int8_t* line = line_memory + job * line_words * 2;
      std::memset(line, 0, static_cast<size_t>(f.line_bytes));
      for (int64_t l = all_lines * job / kJobs; l < all_lines * (job + 1) / kJobs; ++l) {
        const int64_t n = band.image + l / image_lines, h = first_line + l % image_lines;
        if (h < 0 || h >= s.in[0]) continue;  // no run reads it
        std::memcpy(line + s.pad_begin[1] * s.in_channels, x + (n * s.in[0] + h) * s.in[1] * s.in_channels,
                    static_cast<size_t>(s.in[1] * s.in_channels));
        PackLine(s, f, line, l, all_lines, lines);
      }
    });
    const int64_t c_blocks = (f.padded + kBlock - 1) / kBlock;
    const bool first_of_tensor = at == 0;
    parallel(c_blocks * taps * k_blocks, [&](int64_t unit) {
      const int64_t k_block = unit % k_blocks, tap = unit / k_blocks % taps, block = unit / k_blocks / taps * kBlock;
      const int64_t width = std::min(kBlock, f.padded - block), vectors = width / kLanes;
      const int64_t r = tap / f.columns, q = tap % f.columns;
      const int64_t copy = f.shared ? q % 2 : q, shift = f.shared ? q / 2 : 0;
      const int64_t pair_bytes = width * kPairBytes;
      const char* b =
          reinterpret_cast<const char*>(lines + 2 * (block * f.copies + copy * width) * all_lines * f.copy_pairs);
      const int64_t channels = std::min(kLanes, s.out_channels - k_block * kLanes);
      const int64_t most = vectors == 4 ? 6 : 8, tiles = (channels + most - 1) / most;
      int32_t* to = sums + k_block * kLanes * sums_row + tap * f.padded + block;
      thread_local std::vector<Run> runs;
      runs.clear();
      bool first = true;
      const auto flush = [&] {
        const Strip strip{runs.data(), static_cast<int64_t>(runs.size()), f.pairs, kLanes * kPairBytes, pair_bytes};
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t k = channels * t / tiles, count = channels * (t + 1) / tiles - k;
          const char* a = reinterpret_cast<const char*>(pairs + k_block * block_stride) + k * kPairBytes;
          int32_t* tile = to + k * sums_row;
          switch (vectors) {
            case 1: WeightTileFor<1>(count, a, b, strip, tile, sums_row, first); break;
            case 2: WeightTileFor<2>(count, a, b, strip, tile, sums_row, first); break;
            case 3: WeightTileFor<3>(count, a, b, strip, tile, sums_row, first); break;
            default: WeightTileFor<4>(count, a, b, strip, tile, sums_row, first); break;
          }
        }
        runs.clear();
        first = false;
      };
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t line = row % band.rows * s.strides[0] + r * s.dilations[0], h = first_line + line;
        if (h < 0 || h >= s.in[0]) continue;
        const int64_t at_line = row / band.rows * image_lines + line;
        runs.push_back({row * f.pairs * kLanes * kPairBytes, (at_line * f.copy_pairs + shift) * pair_bytes});
        if (static_cast<int64_t>(runs.size() + 1) * f.pairs > kPairs) flush();
      }
      if (!runs.empty() || first) flush();
      // To f32, in the order of the bands: the sum does not depend on the threads.
      const int64_t used = std::min(width, f.in - block);
      for (int64_t k = 0; k < channels; ++k) {
        const int64_t o = k_block * kLanes + k;
        const float by = factor[o] * scale[band.image / g.images_per_scale];
        const int32_t* from = to + k * sums_row;
        float* out = dweight + o * taps * f.in + tap * f.in + block;
        if (first_of_tensor) {
          for (int64_t c = 0; c < used; ++c) out[c] = static_cast<float>(from[c]) * by;
        } else {
          for (int64_t c = 0; c < used; ++c) out[c] += static_cast<float>(from[c]) * by;
        }
      }
    });
  }
}

}  // namespace octet::train
