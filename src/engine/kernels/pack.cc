// Weight packing, quantizers, and choice of a kernel set.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "engine/kernels/kernels.h"

namespace octet::engine {
namespace {

uint8_t StoredByte(float y, float scale) {
  const float q = std::nearbyint(y / scale);
  return static_cast<uint8_t>(static_cast<int>(std::min(std::max(q, -128.0f), 127.0f)) + 128);
}

// `count` channels of `taps` weights each -> for each tap the weights of its channels, `next` bytes apart.
void PackTaps(const int8_t* from, int64_t taps, int64_t count, int8_t* to, int64_t next) {
  if (count < 4) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < count; ++i) to[tap * next + i] = from[i * taps + tap];
    }
  } else if (taps == 1) {
    std::memcpy(to, from, 4);
  } else {
    for (int64_t tap = 0; tap < taps; ++tap, ++from, to += next) {
      const int8_t four[4] = {from[0], from[taps], from[2 * taps], from[3 * taps]};
      std::memcpy(to, four, 4);
    }
  }
}

int32_t Sum(const int8_t* x, int64_t count) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i];
  return sum;
}

}  // namespace

Quantizer MakeQuantizer(float scale, float act_min, float act_max) {
  Quantizer q;
  q.scale = scale;
  q.divide = !(scale > 1e-30f && scale < 1e30f);
  q.inverse = q.divide ? 1.0f : 1.0f / scale;
  q.lo = StoredByte(act_min, scale);
  q.hi = StoredByte(act_max, scale);
  return q;
}

FastScale MakeFastScale(const std::vector<float>& mul, const std::vector<float>& bias, double max_acc, float y_scale,
                        float residual_scale) {
  FastScale fast;
  fast.mul.assign(mul.size(), 0.0f);
  fast.bias.assign(mul.size(), 0.0f);
  if (!(y_scale > 1e-30f && y_scale < 1e30f)) return fast;
  const double s = y_scale;
  fast.residual = static_cast<float>(residual_scale / s);
  double max_mul = 0, max_bias = 0;
  for (size_t i = 0; i < mul.size(); ++i) {
    fast.mul[i] = static_cast<float>(mul[i] / s);
    fast.bias[i] = static_cast<float>(bias[i] / s);
    max_mul = std::max(max_mul, std::fabs(mul[i] / s));
    max_bias = std::max(max_bias, std::fabs(bias[i] / s));
    // A subnormal factor has fewer bits than the bound counts on.
    if (mul[i] != 0 && std::fabs(fast.mul[i]) < 1e-30f) return fast;
  }
  const double residual = 128.0 * residual_scale / s;
  const double tie_distance = std::ldexp(1200.0 + 4 * max_bias + 8 * residual, -24);
  const bool fits = max_acc * max_mul + max_bias + residual < 1e9;  // in int32, after conversion
  if (fits && tie_distance < 0.1) fast.limit = static_cast<float>(0.5 - tie_distance);
  return fast;
}

int64_t PackedChannel(int vectors, int vector, int lane) {
  return 4 * vectors * (lane / 4) + 4 * vector + lane % 4;
}

PackedConv PackConv(const int8_t* weights, const float* mul, const float* bias, int64_t out_c, int64_t in_c,
                    int64_t taps, float y_scale, float residual_scale) {
  PackedConv packed;
  packed.taps = taps;
  packed.steps = (in_c + 3) / 4;
  int64_t left = (out_c + 15) / 16;  // vectors of 16
  int64_t channel = 0;
  int64_t bytes = 0;
  while (left > 0) {
    PackedConv::Block block;
    block.vectors = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    block.channel = channel;
    block.params = channel;
    block.weights = bytes;
    bytes += taps * packed.steps * block.vectors * 64;
    channel += block.vectors * 16;
    left -= block.vectors;
    packed.blocks.push_back(block);
  }
  packed.weights.assign(bytes, 0);
  packed.init.assign(channel, 0);
  packed.mul.assign(channel, 0.0f);
  packed.bias.assign(channel, 0.0f);
  for (const PackedConv::Block& block : packed.blocks) {
    for (int vector = 0; vector < block.vectors; ++vector) {
      const int8_t* filters[16] = {};
      for (int lane = 0; lane < 16; ++lane) {
        const int64_t k = block.channel + PackedChannel(block.vectors, vector, lane);
        if (k < out_c) filters[lane] = weights + k * in_c * taps;
      }
      // Line after line of the packed weights, from 16 filters that are read from front to back.
      int8_t* lines = packed.weights.data() + block.weights + vector * 64;
      const int64_t next_tap = packed.steps * block.vectors * 64;
      for (int64_t step = 0; step < packed.steps; ++step, lines += block.vectors * 64) {
        const int64_t count = std::min<int64_t>(4, in_c - 4 * step);
        for (int lane = 0; lane < 16; ++lane) {
          if (filters[lane] == nullptr) continue;
          PackTaps(filters[lane] + 4 * step * taps, taps, count, lines + lane * 4, next_tap);
        }
      }
      for (int lane = 0; lane < 16; ++lane) {
        if (filters[lane] == nullptr) continue;
        const int64_t k = block.channel + PackedChannel(block.vectors, vector, lane);
        const int64_t to = block.params + vector * 16 + lane;
        packed.init[to] = -128 * Sum(filters[lane], in_c * taps);
        packed.mul[to] = mul[k];
        packed.bias[to] = bias ? bias[k] : 0.0f;
      }
    }
  }
  packed.fast = MakeFastScale(packed.mul, packed.bias, 128.0 * 127.0 * in_c * taps, y_scale, residual_scale);
  return packed;
}

PackedDepthwise PackDepthwise(const int8_t* weights, const float* mul, const float* bias, int64_t channels,
                              int64_t taps, float y_scale) {
  PackedDepthwise packed;
  packed.groups = (channels + 15) / 16;
  packed.quads = (taps + 3) / 4;
  packed.phase_step = packed.groups % 4 == 0 ? 4 : 1;
  const int64_t phases = packed.groups / packed.phase_step;
  packed.weights.assign(phases * packed.quads * 256, 0);
  packed.init.assign(phases * 64, 0);
  packed.mul.assign(phases * 64, 0.0f);
  packed.bias.assign(phases * 64, 0.0f);
  for (int64_t phase = 0; phase < phases; ++phase) {
    for (int64_t place = 0; place < 64; ++place) {  // place: 64 consecutive bytes of the tensor
      const int64_t part = place / 16;
      const int64_t c = ((phase * packed.phase_step + part) % packed.groups) * 16 + place % 16;
      if (c >= channels) continue;
      const int64_t vector = place % 16 / 4;
      const int64_t lane = part * 4 + place % 4;  // of 16
      int32_t sum = 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int8_t w = weights[c * taps + tap];
        sum += w;
        packed.weights[((phase * packed.quads + tap / 4) * 4 + vector) * 64 + lane * 4 + tap % 4] = w;
      }
      const int64_t to = phase * 64 + vector * 16 + lane;
      packed.init[to] = -128 * sum;
      packed.mul[to] = mul[c];
      packed.bias[to] = bias ? bias[c] : 0.0f;
    }
  }
  packed.fast = MakeFastScale(packed.mul, packed.bias, 128.0 * 127.0 * taps, y_scale, 0.0f);
  return packed;
}

PackedDepthwiseRows PackDepthwiseRows(const int8_t* weights, const float* mul, const float* bias, int64_t channels,
                                      int64_t kernel_h, int64_t kernel_w, float y_scale) {
  PackedDepthwiseRows packed;
  if (kernel_w != 3 && kernel_w != 5) return packed;
  packed.kernel_h = kernel_h;
  packed.kernel_w = static_cast<int>(kernel_w);
  packed.outputs = kernel_w == 3 ? 2 : 4;
  const int64_t quads = kernel_w == 3 ? 1 : 2;
  const int64_t chunks = (channels + 63) / 64;
  packed.weights.assign(chunks * kernel_h * quads * packed.outputs * 256, 0);
  packed.init.assign(chunks * 64, 0);
  packed.mul.assign(chunks * 64, 0.0f);
  packed.bias.assign(chunks * 64, 0.0f);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t chunk = c / 64, place = c % 64;
    const int64_t vector = place % 16 / 4;
    const int64_t lane = place / 16 * 4 + place % 4;
    int32_t sum = 0;
    for (int64_t row = 0; row < kernel_h; ++row) {
      for (int64_t tap = 0; tap < kernel_w; ++tap) {
        const int8_t w = weights[(c * kernel_h + row) * kernel_w + tap];
        sum += w;
        for (int64_t o = 0; o < packed.outputs; ++o) {
          const int64_t j = (tap + o) / 4, byte = (tap + o) % 4;
          const int64_t at = (((chunk * kernel_h + row) * quads + j) * packed.outputs + o) * 4 + vector;
          packed.weights[at * 64 + lane * 4 + byte] = w;
        }
      }
    }
    const int64_t to = chunk * 64 + vector * 16 + lane;
    packed.init[to] = -128 * sum;
    packed.mul[to] = mul[c];
    packed.bias[to] = bias ? bias[c] : 0.0f;
  }
  packed.fast = MakeFastScale(packed.mul, packed.bias, 128.0 * 127.0 * kernel_h * kernel_w, y_scale, 0.0f);
  return packed;
}

PackedGemm PackGemm(const float* weights, const float* bias, int64_t outputs, int64_t inputs, bool transposed,
                    float alpha) {
  PackedGemm packed;
  packed.inputs = inputs;
  packed.outputs = outputs;
  const int64_t blocks = (outputs + 63) / 64;
  packed.weights.assign(blocks * inputs * 64, 0.0f);
  packed.bias.assign(blocks * 64, 0.0f);
  for (int64_t k = 0; k < outputs; ++k) {
    for (int64_t c = 0; c < inputs; ++c) {
      const float w = transposed ? weights[k * inputs + c] : weights[c * outputs + k];
      packed.weights[(k / 64 * inputs + c) * 64 + k % 64] = alpha == 1.0f ? w : w * alpha;
    }
    if (bias) packed.bias[k] = bias[k];
  }
  return packed;
}

ChannelPick PackPick(std::vector<int32_t> map) {
  ChannelPick pick;
  pick.map = std::move(map);
  pick.first.push_back(0);
  for (size_t block = 0; block < pick.map.size(); block += 16) {
    const size_t count = std::min<size_t>(16, pick.map.size() - block);
    std::vector<bool> done(count, false);
    // The lowest channel that is missing, with all that lie within 16 bytes from it.
    for (size_t left = count; left > 0;) {
      ChannelPick::Load load;
      std::fill(std::begin(load.mask), std::end(load.mask), uint8_t{128});
      load.offset = INT64_MAX;
      for (size_t i = 0; i < count; ++i) {
        if (!done[i]) load.offset = std::min<int64_t>(load.offset, pick.map[block + i]);
      }
      for (size_t i = 0; i < count; ++i) {
        const int64_t at = pick.map[block + i] - load.offset;
        if (done[i] || at >= 16) continue;
        load.mask[i] = static_cast<uint8_t>(at);
        done[i] = true;
        --left;
      }
      pick.loads.push_back(load);
    }
    pick.first.push_back(pick.loads.size());
  }
  return pick;
}

const KernelSet& SelectKernels(const std::string& name) {
  const KernelSet* vnni = Avx512VnniKernels();
  const KernelSet* portable = PortableKernels();
  if (name.empty()) return vnni ? *vnni : portable ? *portable : ReferenceKernels();
  if (name == "reference") return ReferenceKernels();
  if (name == "portable") {
    OCTET_REQUIRE(portable, "OCTET_ENGINE_ISA=portable: this CPU has no AVX2; leave the variable unset");
    return *portable;
  }
  if (name == "avx512_vnni") {
    OCTET_REQUIRE(vnni, "OCTET_ENGINE_ISA=avx512_vnni: this CPU has no AVX-512 VNNI; leave the variable unset");
    return *vnni;
  }
  OCTET_FAIL("OCTET_ENGINE_ISA={}: unknown; expected reference, portable or avx512_vnni", name);
}

const KernelSet& SelectKernels() {
  const char* name = std::getenv("OCTET_ENGINE_ISA");
  return SelectKernels(name ? name : "");
}

}  // namespace octet::engine
