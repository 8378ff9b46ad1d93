// The arithmetic of INT8 quantization, one scalar function each. docs/numerics.md is the text of this header; every
// executor (reference, LibTorch, engine) must give the same integers.
//
// All float operations are IEEE single precision, rounded one by one (no fused multiply-add), to nearest even.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace octet::quant {

constexpr float kMaxCode = 127.0f;
// The smallest range that a scale stands for: TensorRT needs scales > 0 (reference: NVIDIA/TensorRT issue 3020).
constexpr float kMinAmax = 1.0f / (1 << 24);

// scale = amax / 127. A dead tensor (amax 0 or below kMinAmax) gets the scale of amax = 1: any scale represents zeros
// exactly, and 1/127 keeps builders away from denormals.
inline float ScaleOfAmax(float amax) {
  return (amax < kMinAmax ? 1.0f : amax) / kMaxCode;
}

// q = clamp(rne(x / scale), -128, 127)
inline int8_t QuantizeToS8(float x, float scale) {
  const float q = std::nearbyintf(x / scale);
  return static_cast<int8_t>(q < -128.0f ? -128.0f : (q > 127.0f ? 127.0f : q));
}

// Weights: q = clamp(rne(w / scale), -127, 127)
inline int8_t QuantizeWeightToS8(float w, float scale) {
  const float q = std::nearbyintf(w / scale);
  return static_cast<int8_t>(q < -127.0f ? -127.0f : (q > 127.0f ? 127.0f : q));
}

// Weights as TensorRT's implicit mode rounds them: ties to +infinity (tensorrt.md 3.1).
inline int8_t QuantizeWeightTiesUp(float w, float scale) {
  const float q = std::floor(w / scale + 0.5f);
  return static_cast<int8_t>(q < -127.0f ? -127.0f : (q > 127.0f ? 127.0f : q));
}

inline float Dequantize(int8_t q, float scale) {
  return static_cast<float>(q) * scale;
}

// Largest magnitude per slice along `axis`; f32 tensors. amax[k] over all other axes.
std::vector<float> AmaxPerChannel(const Tensor& weight, int axis);
float Amax(const Tensor& tensor);

// Codes of a weight with one scale per slice along `axis` (or one scale for all).
enum class WeightRounding { kTiesToEven, kTiesUp };
Tensor QuantizeWeight(const Tensor& weight, const std::vector<float>& scales, int axis,
                      WeightRounding rounding = WeightRounding::kTiesToEven);
Tensor DequantizeWeight(const Tensor& codes, const std::vector<float>& scales, int axis);

}  // namespace octet::quant
