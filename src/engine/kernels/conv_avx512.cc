// Dense INT8 convolution on AVX-512 VNNI: an implicit GEMM without im2col. A tile is MR output pixels times NV vectors
// of 16 output channels, held in registers (6 x 4 = 24 accumulators). One step reads 4 bytes of each pixel (broadcast)
// and NV vectors of weights, and issues MR * NV vpdpbusd. Borders in memory stand for the padding, so a pixel is one
// base address and the taps are the same offsets for all pixels.
#include <algorithm>
#include <cstring>

#include "engine/kernels/avx512_epilogue.h"

namespace octet::engine::avx512 {
namespace {

// Memory to bring near while a block is computed: the weights of the next block or of the next convolution.
struct Soon {
  const int8_t* data = nullptr;
  int64_t bytes = 0;
};

struct Tile {
  const uint8_t* in[8];
  uint8_t* out[8];
  const uint8_t* residual[8];
  float* out_f32[8];
  // Weights that will be needed soon and are not in the second-level cache yet: one line is asked for in each step.
  const int8_t* soon;
  int64_t soon_stride;
};

inline int32_t Load4(const uint8_t* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

template <int NV>
__attribute__((noinline)) void StoreTile(const ConvArgs& args, const PackedConv::Block& block, const __m512i* acc,
                                         const uint8_t* residual, const Epilogue& epilogue, float* out) {
  const PackedConv& packed = *args.packed;
  __m512 y[NV];
  DefinedResult<NV>(acc, packed.mul.data() + block.params, packed.bias.data() + block.params, residual, epilogue, y);
  for (int a = 0; a < NV; ++a) {
    float values[16];
    _mm512_storeu_ps(values, Activate(y[a], args.activation));
    for (int lane = 0; lane < 16; ++lane) {
      const int64_t c = block.channel + PackedChannel(NV, a, lane);
      if (c < args.out_c) out[c * args.out_h * args.out_w] = values[lane];
    }
  }
}

template <int MR, int NV>
__attribute__((noinline)) void ComputeTile(const ConvArgs& args, const PackedConv::Block& block,
                                           const Epilogue& epilogue, const Tile& tile) {
  const PackedConv& packed = *args.packed;
  __m512i acc[MR * NV];
  Unroll<NV>(OCTET_UNROLLED(a) {
    const __m512i init = _mm512_loadu_si512(packed.init.data() + block.params + a * 16);
    Unroll<MR>(OCTET_UNROLLED(i) { acc[i * NV + a] = init; });
  });
  const int8_t* w = packed.weights.data() + block.weights;
  const int64_t bytes = args.run_steps * 4;
  const int8_t* soon = tile.soon;
  const int64_t soon_stride = tile.soon_stride;
  for (int64_t r = 0; r < args.runs; ++r) {
    const uint8_t* x[MR];
    Unroll<MR>(OCTET_UNROLLED(i) { x[i] = tile.in[i] + args.offsets[r]; });
    for (int64_t k = 0; k < bytes; k += 4) {
      __m512i weights[NV];
      Unroll<NV>(OCTET_UNROLLED(a) { weights[a] = _mm512_loadu_si512(w + a * 64); });
      w += NV * 64;
      _mm_prefetch(soon, _MM_HINT_T1);
      soon += soon_stride;
      Unroll<MR>(OCTET_UNROLLED(i) {
        const __m512i v = _mm512_set1_epi32(Load4(x[i] + k));
        Unroll<NV>(OCTET_UNROLLED(a) { acc[i * NV + a] = _mm512_dpbusd_epi32(acc[i * NV + a], v, weights[a]); });
      });
    }
  }
  const float* mul = packed.mul.data() + block.params;
  const float* bias = packed.bias.data() + block.params;
  const float* fast_mul = packed.fast.mul.data() + block.params;
  const float* fast_bias = packed.fast.bias.data() + block.params;
  Unroll<MR>(OCTET_UNROLLED(i) {
    __m512i sums[NV];
    Unroll<NV>(OCTET_UNROLLED(a) { sums[a] = acc[i * NV + a]; });
    const uint8_t* residual = args.residual.data ? tile.residual[i] + block.channel : nullptr;
    if (args.out.data) {
      StoreBytes<NV>(tile.out[i] + block.channel, Codes<NV>(sums, mul, bias, fast_mul, fast_bias, residual, epilogue));
    } else {
      __m512i copy[NV];
      Unroll<NV>(OCTET_UNROLLED(a) { copy[a] = sums[a]; });
      StoreTile<NV>(args, block, copy, residual, epilogue, tile.out_f32[i]);
    }
  });
}

template <int NV>
void ComputeTileOf(int64_t pixels, const ConvArgs& args, const PackedConv::Block& block, const Epilogue& epilogue,
                   const Tile& tile) {
  switch (pixels) {
    case 1: return ComputeTile<1, NV>(args, block, epilogue, tile);
    case 2: return ComputeTile<2, NV>(args, block, epilogue, tile);
    case 3: return ComputeTile<3, NV>(args, block, epilogue, tile);
    case 4: return ComputeTile<4, NV>(args, block, epilogue, tile);
    case 5: return ComputeTile<5, NV>(args, block, epilogue, tile);
    case 6: return ComputeTile<6, NV>(args, block, epilogue, tile);
    case 7:
      if constexpr (NV < 4) return ComputeTile<7, NV>(args, block, epilogue, tile);
      break;
    case 8:
      if constexpr (NV < 4) return ComputeTile<8, NV>(args, block, epilogue, tile);
      break;
  }
}

// Output pixels [begin, end) of the batch for the blocks [first, last), in tiles of nearly equal size: 3 pixels are
// enough to hide the latency of vpdpbusd, a last tile of one pixel is not.
void ComputeBlocks(const ConvArgs& args, const PackedConv::Block* first, const PackedConv::Block* last,
                   const Epilogue& epilogue, int64_t begin, int64_t end, Soon soon) {
  const int64_t max_tile = first->vectors == 4 ? 6 : 8;
  const int64_t tiles = (end - begin + max_tile - 1) / max_tile;
  const int64_t image = args.out_h * args.out_w;
  int64_t n = begin / image;
  int64_t h = begin % image / args.out_w;
  int64_t w = begin % args.out_w;
  Tile tile{};
  const int64_t soon_bytes = soon.bytes / tiles + 1;  // in each tile
  tile.soon_stride = soon_bytes / (args.runs * args.run_steps) + 1;
  for (int64_t t = 0; t < tiles; ++t) {
    tile.soon = soon.data + t * soon_bytes;
    const int64_t pixels = (end - begin) * (t + 1) / tiles - (end - begin) * t / tiles;
    for (int64_t i = 0; i < pixels; ++i) {
      tile.in[i] = args.in.at(n, h * args.stride_h, w * args.stride_w);
      if (args.out.data) {
        tile.out[i] = args.out.at(n, h, w);
      } else {
        tile.out_f32[i] = args.out_f32 + n * args.out_f32_channels * image + h * args.out_w + w;
      }
      if (args.residual.data) tile.residual[i] = args.residual.at(n, h, w);
      if (++w == args.out_w) {
        w = 0;
        if (++h == args.out_h) {
          h = 0;
          ++n;
        }
      }
    }
    for (const PackedConv::Block* block = first; block != last; ++block) {
      if (block->vectors == 4) {
        ComputeTileOf<4>(pixels, args, *block, epilogue, tile);
      } else if (block->vectors == 2) {
        ComputeTileOf<2>(pixels, args, *block, epilogue, tile);
      } else {
        ComputeTileOf<1>(pixels, args, *block, epilogue, tile);
      }
    }
  }
}

// Weights that stay in the first-level cache together with the tile's input.
constexpr size_t kSmallWeights = 24 << 10;

}  // namespace

void Conv(const ConvArgs& args, int part, int parts) {
  const Epilogue epilogue(args.quantizer, args.residual_scale, &args.packed->fast, &args.activation);
  const int64_t pixels = args.batch * args.out_h * args.out_w;
  const std::vector<PackedConv::Block>& blocks = args.packed->blocks;
  // Parts take pixels, so that each reads all weights, or blocks of channels, so that each reads all pixels: whatever
  // gives the largest part less to do; weights read twice count as a tenth more.
  const auto count = static_cast<int64_t>(blocks.size());
  int64_t all = 0, most = 0;
  for (const PackedConv::Block& b : blocks) all += b.vectors;
  for (int i = 0; i < parts; ++i) {
    int64_t vectors = 0;
    for (int64_t b = Share(count, i, parts).begin; b < Share(count, i, parts).end; ++b) vectors += blocks[b].vectors;
    most = std::max(most, vectors);
  }
  const bool split_pixels = parts == 1 || 11 * ((pixels + parts - 1) / parts) * all <= 10 * pixels * most;
  const Range range = split_pixels ? Share(pixels, part, parts) : Range{0, pixels};
  const Range mine = split_pixels ? Range{0, static_cast<int64_t>(blocks.size())} : Share(blocks.size(), part, parts);
  if (range.begin == range.end) return;
  Soon next{args.packed->weights.data(), 0};
  if (args.next_weights) next = {args.next_weights, args.next_weights_bytes};
  if (args.packed->weights.size() <= kSmallWeights) {
    // All channels of a tile at once: its input is read and its lines of output are written while they are near.
    ComputeBlocks(args, blocks.data() + mine.begin, blocks.data() + mine.end, epilogue, range.begin, range.end, next);
    return;
  }
  for (int64_t b = mine.begin; b < mine.end; ++b) {
    Soon soon = next;
    if (b + 1 < mine.end) {
      soon = {args.packed->weights.data() + blocks[b + 1].weights,
              args.packed->taps * args.packed->steps * blocks[b + 1].vectors * 64};
    }
    ComputeBlocks(args, &blocks[b], &blocks[b] + 1, epilogue, range.begin, range.end, soon);
  }
}

}  // namespace octet::engine::avx512
