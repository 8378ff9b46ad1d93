// The INT8 kernels of the engine: raw pointers in, raw pointers out, nothing allocated.
//
// Storage of activations: NHWC, one byte u = code + 128 (so an s8 code and its byte order the same way, and the pair u8
// x s8 multiplies exactly with VNNI). The 128 is taken out of a convolution by starting its accumulators at -128 *
// sum(w). A tensor may have a border of the byte 128 (code 0) around each image, which stands for the padding of the
// convolutions that read it. Bytes of padded channels hold anything: their weights are zero.
//
// Arithmetic: docs/numerics.md. Each fp32 operation is rounded on its own; a quantized result is rne(y / s).
//
// Every kernel computes share `part` of `parts` of its output; shares do not overlap, and the result does not depend on
// `parts`.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "quant/activation.h"

namespace octet::engine {

// Address of the byte (n, h, w, c): data + n * image + h * row + w * pixel + c. Strides in bytes.
struct Codes {
  uint8_t* data = nullptr;
  int64_t image = 0;
  int64_t row = 0;
  int64_t pixel = 0;
  uint8_t* at(int64_t n, int64_t h, int64_t w) const { return data + n * image + h * row + w * pixel; }
};

// y -> clamp(rne(y / scale), -128, 127) followed by the clamp of a fused activation, done on the codes: rounding
// is monotone, so clip-then-quantize and quantize-then-clip(quantized bounds) are the same function.
struct Quantizer {
  float scale = 1.0f;
  float inverse = 1.0f;  // fl(1 / scale)
  bool divide = false;   // scale so extreme that the inverse is useless: always divide
  uint8_t lo = 0;        // as stored bytes
  uint8_t hi = 255;
};
Quantizer MakeQuantizer(float scale, float act_min = -std::numeric_limits<float>::infinity(),
                        float act_max = std::numeric_limits<float>::infinity());

// y * inverse and fl(y / scale) differ by less than this where their magnitude is below 129 (3 roundings of 2^-24
// relative each, 129 * 3 * 2^-24 < 2^-15). So rne of both is the same integer when y * inverse is farther than this
// from a tie; kernels divide only for the lanes' group where it is not.
constexpr float kTieDistance = 1.0f / 16384;

// A quicker way to the same codes for convolutions: t = fma(acc, m / s, b / s), residual: fma(r, s_r / s, t). It
// differs from the defined fl(y / s) by less than `tie_distance`, so rne(t) is the code wherever t is farther than that
// from a tie; kernels compute y as defined for the group of lanes where it is not. With u = 2^-24, B = max |b / s|, R =
// 128 s_r / s, and |t| <= 129 (beyond, both saturate): |acc m / s| <= 129 + B + R, so the error is at most
//   u (2 (129 + B + R) + B        for the products m / s and b / s and acc m,
//      + 2 R + 3 (129 + R) + 4 * 129)   for r s_r, the sums and the last quotient,
// which is less than u (1200 + 4 B + 8 R).
struct FastScale {
  std::vector<float> mul;   // m / s, in the order of the packed `mul`
  std::vector<float> bias;  // b / s
  float residual = 0.0f;    // s_r / s
  // 0.5 - tie_distance; -1: always compute as defined (f32 results, extreme scales, sums that could leave int32).
  float limit = -1.0f;
};
// For an epilogue with an activation that is not a clip.
inline void NeverFast(FastScale* fast) {
  fast->limit = -1.0f;
}
FastScale MakeFastScale(const std::vector<float>& mul, const std::vector<float>& bias, double max_acc, float y_scale,
                        float residual_scale);

// Weights of a dense convolution in the order in which the micro-kernel reads them. Output channels go in blocks
// of 64, then 32, then 16 (`vectors` * 16). Inside a block: [tap][step of 4 input channels][vector][lane][4 bytes].
// Channel of (vector a, lane l): 4 * vectors * (l / 4) + 4 * a + l % 4, the order which 32 -> 16 -> 8 bit
// packing of the vectors turns into consecutive bytes. The vectors init, mul and bias have the same order.
struct PackedConv {
  struct Block {
    int vectors = 0;      // 4, 2 or 1
    int64_t channel = 0;  // first output channel
    int64_t weights = 0;  // offset into `weights`
    int64_t params = 0;   // offset into init, mul, bias
  };
  int64_t taps = 0;   // kernel_h * kernel_w
  int64_t steps = 0;  // ceil(input channels / 4)
  std::vector<Block> blocks;
  std::vector<int8_t> weights;
  std::vector<int32_t> init;
  std::vector<float> mul;
  std::vector<float> bias;
  FastScale fast;
};
int64_t PackedChannel(int vectors, int vector, int lane);
// `weights` is OIHW [out_c, in_c, taps]; `bias` may be null; y_scale 0: f32 result; residual_scale 0: no residual.
PackedConv PackConv(const int8_t* weights, const float* mul, const float* bias, int64_t out_c, int64_t in_c,
                    int64_t taps, float y_scale, float residual_scale);

// Depthwise weights: taps in groups of four ("quads"), channels in groups of 16. For a phase g (a starting channel
// group) and a quad q, 4 vectors a of 64 bytes: 16-byte lane L holds the channels 4a .. 4a + 3 of group (g + L) mod
// groups, four taps each: the order that interleaving the bytes of four pixels produces.
struct PackedDepthwise {
  int64_t groups = 0;  // of 16 channels
  int64_t quads = 0;
  int64_t phase_step = 1;       // phases stored are the multiples of this: 4 when groups % 4 == 0
  std::vector<int8_t> weights;  // [phase][quad][4][64]
  std::vector<int32_t> init;    // [phase][64] in the same lane order
  std::vector<float> mul;
  std::vector<float> bias;
  FastScale fast;
};
PackedDepthwise PackDepthwise(const int8_t* weights, const float* mul, const float* bias, int64_t channels,
                              int64_t taps, float y_scale);

// The same for stride 1 along rows and kernels 3 or 5 wide, which is where networks spend their time: the interleaved
// bytes of pixels p ... p + 3 serve several outputs, each with its weights shifted by one place. `outputs` pixels are
// computed together: 2 (3 wide) or 4 (5 wide). Weights: [chunk of 64 channels][kernel row][four pixels j][output o]
// [4 vectors][64 bytes], where byte i of a lane is the weight of tap 4 j + i - o; lanes as above.
struct PackedDepthwiseRows {
  int64_t kernel_h = 0;
  int kernel_w = 0;  // 0: not packed
  int outputs = 0;
  std::vector<int8_t> weights;
  std::vector<int32_t> init;  // [chunk][64]
  std::vector<float> mul;
  std::vector<float> bias;
  FastScale fast;
};
PackedDepthwiseRows PackDepthwiseRows(const int8_t* weights, const float* mul, const float* bias, int64_t channels,
                                      int64_t kernel_h, int64_t kernel_w, float y_scale);

struct ConvArgs {
  int64_t batch = 1;
  int64_t in_c = 0;   // of one group
  int64_t out_c = 0;  // all groups
  int64_t out_h = 0, out_w = 0;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  Codes in;                  // data is the address of tap (0, 0) of output (0, 0): moved by the padding into the border
  Codes out;                 // data null: the result is out_f32
  float* out_f32 = nullptr;  // NCHW, with out_f32_channels channels an image
  int64_t out_f32_channels = 0;
  Codes residual;  // data null: none
  float residual_scale = 0;
  // A clip of codes is done by `quantizer`; any other function here, and needs packed weights with NeverFast.
  quant::Activation activation;
  Quantizer quantizer;
  // As given: OIHW, per channel. What the reference kernel reads.
  const int8_t* weights = nullptr;
  const float* mul = nullptr;
  const float* bias = nullptr;  // may be null
  // Packed, for the other kernels; one is set.
  const PackedConv* packed = nullptr;
  const PackedDepthwise* packed_depthwise = nullptr;
  const PackedDepthwiseRows* packed_rows = nullptr;  // beside packed_depthwise, where it applies; may be null
  // Byte offsets from a pixel's first tap. Dense: one per run of `run_steps` consecutive steps of 4 bytes (a
  // run is a tap, or a row of taps when they lie side by side). Depthwise: one per tap, padded to 4 * quads.
  const int64_t* offsets = nullptr;
  int64_t runs = 0;
  int64_t run_steps = 0;
  // A hint: what the next convolution reads first. A kernel may bring it into a cache.
  const int8_t* next_weights = nullptr;
  int64_t next_weights_bytes = 0;
};

struct PoolArgs {
  int64_t batch = 1, channels = 0, in_h = 0, in_w = 0, out_h = 0, out_w = 0;
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, pad_bottom = 0,
          pad_right = 0;
  bool count_include_pad = false;
  float x_scale = 1.0f;
  Quantizer quantizer;
  Codes in;
  Codes out;                 // data null: out_f32 (average only)
  float* out_f32 = nullptr;  // NCHW
};

// y = float(in[0]) * scale[0] + float(in[1]) * scale[1] + ..., from left to right.
struct SumArgs {
  static constexpr int kMost = 8;
  int64_t batch = 1, channels = 0, h = 0, w = 0;
  int count = 0;
  Codes in[kMost];
  float scale[kMost] = {};
  Codes out;
  float* out_f32 = nullptr;      // NCHW, when out.data is null
  quant::Activation activation;  // as in ConvArgs
  Quantizer quantizer;
};

// y = (float(a) * a_scale) * (float(b) * b_scale); b has a's shape, or one pixel an image: a gate for each channel.
struct MulArgs {
  int64_t batch = 1, channels = 0, h = 0, w = 0;
  bool gate = false;
  Codes a, b, out;
  float* out_f32 = nullptr;  // NCHW, when out.data is null
  float a_scale = 1.0f, b_scale = 1.0f;
  quant::Activation activation;
  Quantizer quantizer;
  float* scratch = nullptr;  // gate: 64 * (channels / 16 rounded up) floats for each part
};

// Bytes through a table of 256, pixel by pixel.
struct LutArgs {
  int64_t batch = 1, channels = 0, h = 0, w = 0;
  Codes in, out;
  uint8_t table[256];
};

// out(h, w) = in(rows[h], columns[w]): a nearest Resize, or with the identity a copy of channels.
struct GatherArgs {
  int64_t batch = 1, channels = 0, h = 0, w = 0;  // of out
  const int64_t* rows = nullptr;
  const int64_t* columns = nullptr;
  Codes in, out;
};

// Channel c of every pixel is channel map[c] of the input's pixel. The output's channels are made 16 at a time: each
// block is the union of `loads`, 16 bytes of the input in another order (a mask byte of 128: not from this one).
struct ChannelPick {
  struct Load {
    int64_t offset = 0;
    uint8_t mask[16];
  };
  std::vector<int32_t> map;
  std::vector<Load> loads;
  std::vector<size_t> first;  // block b has loads first[b] ... first[b + 1] - 1
};
ChannelPick PackPick(std::vector<int32_t> map);
struct PickArgs {
  int64_t batch = 1, h = 0, w = 0;
  const ChannelPick* packed = nullptr;
  Codes in, out;
};

struct QuantizeArgs {
  int64_t batch = 1, channels = 0, h = 0, w = 0;
  const float* in = nullptr;  // NCHW
  Codes out;
  Quantizer quantizer;
};

struct DequantizeArgs {
  int64_t batch = 1, channels = 0, h = 0, w = 0;
  Codes in;
  float* out = nullptr;  // NCHW; channels_last: NHWC, dense
  bool channels_last = false;
  float scale = 1.0f;
};

// FP32 matrix product for a classifier's last layer. Weights: [outputs / 64][inputs][64], zeros beyond the last output.
// Every result is bias + a sum in the order of the inputs, each product and each sum rounded: the same in all sets.
struct PackedGemm {
  int64_t inputs = 0, outputs = 0;
  std::vector<float> weights;
  std::vector<float> bias;  // padded to 64
};
// weights: [outputs, inputs] when `transposed`, else [inputs, outputs]; multiplied by alpha. bias may be null.
PackedGemm PackGemm(const float* weights, const float* bias, int64_t outputs, int64_t inputs, bool transposed,
                    float alpha);
struct GemmArgs {
  int64_t rows = 1;
  const float* x = nullptr;  // [rows, inputs]
  float* y = nullptr;        // [rows, outputs]
  const PackedGemm* packed = nullptr;
};

// One instruction set's kernels.
struct KernelSet {
  const char* name;
  const char* description;
  void (*conv)(const ConvArgs&, int part, int parts);       // needs `packed`, except the reference kernel
  void (*depthwise)(const ConvArgs&, int part, int parts);  // needs `packed_depthwise`, codes out, no residual
  void (*max_pool)(const PoolArgs&, int part, int parts);
  void (*average_pool)(const PoolArgs&, int part, int parts);
  void (*sum)(const SumArgs&, int part, int parts);
  void (*mul)(const MulArgs&, int part, int parts);
  void (*lut)(const LutArgs&, int part, int parts);
  void (*gather)(const GatherArgs&, int part, int parts);
  void (*pick)(const PickArgs&, int part, int parts);
  void (*quantize)(const QuantizeArgs&, int part, int parts);
  void (*dequantize)(const DequantizeArgs&, int part, int parts);
  void (*gemm)(const GemmArgs&, int part, int parts);
};

// Plain C++, one multiplication after the other; any grouped convolution; no packing needed. The oracle of the others.
const KernelSet& ReferenceKernels();
// AVX2; nullptr when this CPU has not.
const KernelSet* PortableKernels();
// AVX-512 F/BW/DQ/VL + VNNI; nullptr when this CPU has not.
const KernelSet* Avx512VnniKernels();

// The fastest set of this CPU, or the one that the environment variable OCTET_ENGINE_ISA names: reference, portable,
// avx512_vnni. Throws a user Error for another name or one that this CPU cannot run.
const KernelSet& SelectKernels();
const KernelSet& SelectKernels(const std::string& name);  // "" = fastest

// ---- pieces without an instruction set, in copy.cc
// Writes the byte 128 around each image: `top` rows above, `bottom` below, `left` and `right` pixels at the sides.
void FillBorder(const Codes& tensor, int64_t batch, int64_t h, int64_t w, int64_t top, int64_t bottom, int64_t left,
                int64_t right);
// Between the stored form and s8 codes in NCHW order.
void ToNchw(const Codes& from, int8_t* to, int64_t batch, int64_t channels, int64_t h, int64_t w);
void FromNchw(const int8_t* from, const Codes& to, int64_t batch, int64_t channels, int64_t h, int64_t w);

// Share `part` of [0, count): [begin, end).
struct Range {
  int64_t begin;
  int64_t end;
};
inline Range Share(int64_t count, int part, int parts) {
  return {count * part / parts, count * (part + 1) / parts};
}

}  // namespace octet::engine
