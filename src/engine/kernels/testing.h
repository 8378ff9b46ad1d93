// What the tests of the kernels share: tensors with borders and noise around them, the kernel sets, the activations.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "engine/kernels/kernels.h"

namespace octet::engine {

constexpr int64_t kSlack = 128;

// A u8 NHWC tensor with a border; channels beyond the real ones and memory around it hold noise.
struct Image {
  int64_t n, c, h, w, border, pixel;
  std::vector<uint8_t> bytes;
  Codes codes;

  Image(std::mt19937& random, int64_t n, int64_t c, int64_t h, int64_t w, int64_t border, int64_t pixel = 0)
      : n(n), c(c), h(h), w(w), border(border), pixel(pixel ? pixel : (c + 15) / 16 * 16) {
    codes.pixel = this->pixel;
    codes.row = (w + 2 * border) * codes.pixel;
    codes.image = (h + 2 * border) * codes.row;
    bytes.resize(n * codes.image + 2 * kSlack);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    codes.data = bytes.data() + kSlack + border * codes.row + border * codes.pixel;
    FillBorder(codes, n, h, w, border, border, border, border);
  }
  std::vector<int8_t> Nchw() const {
    std::vector<int8_t> result(n * c * h * w);
    ToNchw(codes, result.data(), n, c, h, w);
    return result;
  }
};

inline std::vector<const KernelSet*> Sets() {
  std::vector<const KernelSet*> sets;
  if (PortableKernels()) sets.push_back(PortableKernels());
  if (Avx512VnniKernels()) sets.push_back(Avx512VnniKernels());
  return sets;
}

// One of each kind.
inline std::vector<quant::Activation> Activations() {
  using Kind = quant::ActivationKind;
  return {{Kind::kNone},    {Kind::kClip, -0.5f, 1.0f},       {Kind::kLeakyRelu, 0.1f},
          {Kind::kSigmoid}, {Kind::kHardSigmoid, 0.2f, 0.5f}, {Kind::kHardSwish},
          {Kind::kSwish}};
}

inline bool IsFunction(const quant::Activation& a) {
  return a.kind > quant::ActivationKind::kClip;
}
inline Quantizer QuantizerOf(float scale, const quant::Activation& a) {
  return a.kind == quant::ActivationKind::kClip ? MakeQuantizer(scale, a.alpha, a.beta) : MakeQuantizer(scale);
}

}  // namespace octet::engine
