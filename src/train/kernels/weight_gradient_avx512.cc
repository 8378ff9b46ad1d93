// dweight of product_s16.h: rows of a tile are output channels, its vectors input channels of one tap.
#include <algorithm>

#include "train/kernels/product_s16.h"
#include "train/kernels/product_s16_tile.h"

namespace octet::train {
namespace {

constexpr int64_t kPairs = 128;        // of pixels in one go: the tile's operands stay in the L1 cache
constexpr int64_t kMostPixels = 4096;  // in one s32 sum; see LayoutOfGradient

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

// Sums of a unit: 16 output channels of one tap, up to 64 input channels. In the L1 cache.
struct UnitSums {
  alignas(64) int32_t at[kLanes * kBlock];
};

template <int MR, int NV>
__attribute__((noinline)) void WeightTileOf(const char* a, const char* b, const Strip& strip, int32_t* to, bool first) {
  __m512i acc[MR * NV];
  Unroll<MR>(OCTET_UNROLLED(i) {
    Unroll<NV>(OCTET_UNROLLED(j) {
      acc[i * NV + j] = first ? _mm512_setzero_si512() : _mm512_load_si512(to + i * kBlock + j * kLanes);
    });
  });
  Accumulate<MR, NV, true>(&a, b, strip, acc);
  Unroll<MR>(OCTET_UNROLLED(i) {
    Unroll<NV>(OCTET_UNROLLED(j) { _mm512_store_si512(to + i * kBlock + j * kLanes, acc[i * NV + j]); });
  });
}

template <int NV>
void WeightTileFor(int64_t rows, const char* a, const char* b, const Strip& strip, int32_t* to, bool first) {
  switch (rows) {
    case 1: return WeightTileOf<1, NV>(a, b, strip, to, first);
    case 2: return WeightTileOf<2, NV>(a, b, strip, to, first);
    case 3: return WeightTileOf<3, NV>(a, b, strip, to, first);
    case 4: return WeightTileOf<4, NV>(a, b, strip, to, first);
    case 5: return WeightTileOf<5, NV>(a, b, strip, to, first);
    case 6: return WeightTileOf<6, NV>(a, b, strip, to, first);
    case 7:
      if constexpr (NV < 4) return WeightTileOf<7, NV>(a, b, strip, to, first);
      break;
    case 8:
      if constexpr (NV < 4) return WeightTileOf<8, NV>(a, b, strip, to, first);
      break;
  }
}

// As large as a scale and a sum allow, or with operands of about `most_bytes`.
std::vector<Band> BandsOf(const ConvShape& s, const GradientLayout& g, const Folded& f, int64_t most_bytes) {
  const int64_t k_blocks = (s.out_channels + kLanes - 1) / kLanes;
  const int64_t row_bytes =
      (k_blocks * kLanes * f.pairs + f.padded * f.copies * f.copy_pairs * s.strides[0]) * kPairBytes;
  const int64_t fit = std::max<int64_t>(4, most_bytes / row_bytes);  // rows
  const int64_t most_images = std::min(g.images_per_scale, std::max<int64_t>(1, fit / s.out[0]));
  std::vector<Band> bands;
  for (int64_t n = 0; n < s.batch;) {
    const int64_t in_scale = std::min(g.images_per_scale - n % g.images_per_scale, s.batch - n);
    const int64_t images = std::min(most_images, in_scale);
    const int64_t rows = std::min(std::max<int64_t>(1, kMostPixels / s.out[1]), fit);
    const int64_t parts = images > 1 ? 1 : (s.out[0] + rows - 1) / rows;
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = s.out[0] * p / parts;
      bands.push_back({n, images, begin, s.out[0] * (p + 1) / parts - begin});
    }
    n += images;
  }
  return bands;
}

// One band at work: its operands as pairs, and the units of the weight gradient they give.
class BandWork {
 public:
  // What every band of the convolution needs; `jobs`: how many pack at the same time.
  struct Sizes {
    int64_t gradient = 0, lines = 0, line = 0;  // s16 elements
    int64_t jobs = 1;
    int64_t all() const { return gradient + lines + jobs * line; }
  };

  BandWork(const ConvShape& s, const GradientLayout& g, const Folded& f, const Band& band, const Sizes& sizes,
           int16_t* memory)
      : s_(s), g_(g), f_(f), band_(band), sizes_(sizes), pairs_(memory), lines_(memory + sizes.gradient) {
    taps_ = s.kernel[0] * f.columns;
    k_blocks_ = (s.out_channels + kLanes - 1) / kLanes;
    rows_ = band.images * band.rows;
    image_lines_ = LinesOf(s, band);
    first_line_ = band.row * s.strides[0] - s.pad_begin[0];
  }

  static int64_t LinesOf(const ConvShape& s, const Band& b) {  // of activations, for one image
    return (b.rows - 1) * s.strides[0] + (s.kernel[0] - 1) * s.dilations[0] + 1;
  }

  static Sizes SizesOf(const ConvShape& s, const Folded& f, const std::vector<Band>& bands, int64_t jobs) {
    Sizes sizes;
    const int64_t k_blocks = (s.out_channels + kLanes - 1) / kLanes;
    for (const Band& b : bands) {
      sizes.gradient = std::max(sizes.gradient, k_blocks * b.images * b.rows * f.pairs * 2 * kLanes);
      sizes.lines = std::max(sizes.lines, 2 * f.padded * f.copies * b.images * LinesOf(s, b) * f.copy_pairs);
    }
    sizes.line = (f.line_bytes + 1) / 2 + 32;
    sizes.jobs = jobs;
    return sizes;
  }

  int64_t units() const { return (f_.padded + kBlock - 1) / kBlock * taps_ * k_blocks_; }

  // Share `job` of sizes.jobs. All of them come before the units.
  void Pack(const int16_t* gradient, const int8_t* x, int64_t job) const {
    const int64_t jobs = sizes_.jobs, lines = band_.images * image_lines_;
    for (int64_t r = rows_ * job / jobs; r < rows_ * (job + 1) / jobs; ++r) {
      const int64_t n = band_.image + r / band_.rows, h = band_.row + r % band_.rows;
      PackGradientRow(s_, g_, f_, gradient + g_.first + n * g_.image + h * g_.row, r, rows_ * f_.pairs * 2 * kLanes,
                      pairs_);
    }
    auto* line = reinterpret_cast<int8_t*>(lines_ + sizes_.lines + job * sizes_.line);
    std::memset(line, 0, static_cast<size_t>(f_.line_bytes));
    for (int64_t l = lines * job / jobs; l < lines * (job + 1) / jobs; ++l) {
      const int64_t n = band_.image + l / image_lines_, h = first_line_ + l % image_lines_;
      if (h < 0 || h >= s_.in[0]) continue;  // no run reads it
      std::memcpy(line + s_.pad_begin[1] * s_.in_channels, x + (n * s_.in[0] + h) * s_.in[1] * s_.in_channels,
                  static_cast<size_t>(s_.in[1] * s_.in_channels));
      PackLine(s_, f_, line, l, lines, lines_);
    }
  }

  // to (+)= scale * factor[o] * sums.
  void Unit(int64_t unit, float scale, const float* factor, bool add, float* to) const {
    const int64_t k_block = unit % k_blocks_, tap = unit / k_blocks_ % taps_, block = unit / k_blocks_ / taps_ * kBlock;
    const int64_t width = std::min(kBlock, f_.padded - block), vectors = width / kLanes;
    const int64_t r = tap / f_.columns, q = tap % f_.columns;
    const int64_t copy = f_.shared ? q % 2 : q, shift = f_.shared ? q / 2 : 0;
    const int64_t pair_bytes = width * kPairBytes, lines = band_.images * image_lines_;
    const char* a = reinterpret_cast<const char*>(pairs_ + k_block * rows_ * f_.pairs * 2 * kLanes);
    const char* b =
        reinterpret_cast<const char*>(lines_ + 2 * (block * f_.copies + copy * width) * lines * f_.copy_pairs);
    const int64_t channels = std::min(kLanes, s_.out_channels - k_block * kLanes);
    const int64_t most = vectors == 4 ? 6 : 8, tiles = (channels + most - 1) / most;
    UnitSums sums;
    thread_local std::vector<Run> runs;
    runs.clear();
    bool first = true;
    const auto flush = [&] {
      const Strip strip{runs.data(), static_cast<int64_t>(runs.size()), f_.pairs, kLanes * kPairBytes, pair_bytes};
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t k = channels * t / tiles, count = channels * (t + 1) / tiles - k;
        int32_t* tile = sums.at + k * kBlock;
        switch (vectors) {
          case 1: WeightTileFor<1>(count, a + k * kPairBytes, b, strip, tile, first); break;
          case 2: WeightTileFor<2>(count, a + k * kPairBytes, b, strip, tile, first); break;
          case 3: WeightTileFor<3>(count, a + k * kPairBytes, b, strip, tile, first); break;
          default: WeightTileFor<4>(count, a + k * kPairBytes, b, strip, tile, first); break;
        }
      }
      runs.clear();
      first = false;
    };
    for (int64_t row = 0; row < rows_; ++row) {
      const int64_t line = row % band_.rows * s_.strides[0] + r * s_.dilations[0], h = first_line_ + line;
      if (h < 0 || h >= s_.in[0]) continue;
      const int64_t at_line = row / band_.rows * image_lines_ + line;
      runs.push_back({row * f_.pairs * kLanes * kPairBytes, (at_line * f_.copy_pairs + shift) * pair_bytes});
      if (static_cast<int64_t>(runs.size() + 1) * f_.pairs > kPairs) flush();
    }
    if (!runs.empty() || first) flush();
    const int64_t used = std::min(width, f_.in - block);
    for (int64_t k = 0; k < channels; ++k) {
      const int64_t o = k_block * kLanes + k;
      const float by = factor[o] * scale;
      const int32_t* from = sums.at + k * kBlock;
      float* out = to + o * taps_ * f_.in + tap * f_.in + block;
      if (add) {
        for (int64_t c = 0; c < used; ++c) out[c] += static_cast<float>(from[c]) * by;
      } else {
        for (int64_t c = 0; c < used; ++c) out[c] = static_cast<float>(from[c]) * by;
      }
    }
  }

 private:
  const ConvShape& s_;
  const GradientLayout& g_;
  const Folded& f_;
  const Band band_;
  const Sizes& sizes_;
  int16_t* pairs_;  // of the gradient
  int16_t* lines_;  // of activations; behind them a line of codes for each job
  int64_t taps_ = 0, k_blocks_ = 0;
  int64_t rows_ = 0;         // of the gradient, all images
  int64_t image_lines_ = 0;  // of one image
  int64_t first_line_ = 0;   // of the image, may be negative
};

// How many threads' worth of bands are added up on their own: few weights may be held many times.
int64_t PartsOf(int64_t bands, int64_t weights) {
  constexpr int64_t kMost = 16, kMostFloats = 5 << 18;
  int64_t parts = kMost;
  while (parts > 1 && (parts > bands || parts * weights > kMostFloats)) parts /= 2;
  return parts >= 4 ? parts : 1;
}

}  // namespace

// Bands are shared out among the threads where they are many and the weights few: then a band's operands stay in the
// cache of the core that packed them. Else the units of each band are. Either way sums become f32 and are added in an
// order that does not depend on the threads.
void WeightGradientS16(const ConvShape& s, const GradientLayout& g, const int16_t* gradient, const float* scale,
                       const int8_t* x, const float* factor, float* dweight, Scratch* scratch,
                       const ParallelFor& parallel) {
  const Folded f = FoldOf(s);
  constexpr int64_t kCacheBytes = 3 << 18;  // most of a second-level cache
  std::vector<Band> bands = BandsOf(s, g, f, kCacheBytes);
  const auto count = static_cast<int64_t>(bands.size());
  const int64_t weights = s.out_channels * s.kernel[0] * f.columns * f.in;
  const auto scale_of = [&](const Band& band) { return scale[band.image / g.images_per_scale]; };
  const int64_t parts = PartsOf(count, weights);
  if (parts == 1) {
    constexpr int64_t kJobs = 16;
    bands = BandsOf(s, g, f, INT64_MAX);
    const BandWork::Sizes sizes = BandWork::SizesOf(s, f, bands, kJobs);
    auto* memory = scratch->Get<int16_t>(sizes.all());
    for (const Band& band : bands) {
      const BandWork work(s, g, f, band, sizes, memory);
      parallel(kJobs, [&](int64_t job) { work.Pack(gradient, x, job); });
      parallel(work.units(),
               [&](int64_t unit) { work.Unit(unit, scale_of(band), factor, &band != bands.data(), dweight); });
    }
    return;
  }
  const BandWork::Sizes sizes = BandWork::SizesOf(s, f, bands, 1);
  auto* partial = scratch->Get<float>(parts * weights);
  parallel(parts, [&](int64_t part) {
    thread_local Scratch own;
    auto* memory = own.Get<int16_t>(sizes.all());
    for (int64_t b = count * part / parts; b < count * (part + 1) / parts; ++b) {
      const BandWork work(s, g, f, bands[static_cast<size_t>(b)], sizes, memory);
      work.Pack(gradient, x, 0);
      for (int64_t unit = 0; unit < work.units(); ++unit) {
        work.Unit(unit, scale_of(bands[static_cast<size_t>(b)]), factor, b != count * part / parts,
                  partial + part * weights);
      }
    }
  });
  parallel(s.out_channels, [&](int64_t k) {
    const int64_t filter = weights / s.out_channels;
    float* to = dweight + k * filter;
    std::copy(partial + k * filter, partial + (k + 1) * filter, to);
    for (int64_t part = 1; part < parts; ++part) {
      const float* from = partial + part * weights + k * filter;
      for (int64_t i = 0; i < filter; ++i) to[i] += from[i];
    }
  });
}

}  // namespace octet::train
