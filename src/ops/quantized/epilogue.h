// What happens to an fp32 value y at the end of a lowered operator: activation, then the code of the output, or y
// itself.
#pragma once

#include <cstdint>

#include "ir/graph.h"
#include "quant/activation.h"
#include "quant/quantize.h"
#include "tensor/tensor.h"

namespace octet::ops {

// The name of an activation in the attribute `act`: none, clip, leaky_relu, sigmoid, hard_sigmoid, hard_swish, swish.
const char* NameOf(quant::ActivationKind kind);

// From the attributes act; act_min, act_max (clip); act_alpha (leaky_relu, hard_sigmoid), act_beta (hard_sigmoid);
// y_scale. Throws a user Error naming the node on an unknown act.
struct Epilogue {
  quant::Activation activation;
  float y_scale = 0;  // 0: the output is f32

  static Epilogue Of(const ir::Node& node);
  DType dtype() const { return y_scale == 0 ? DType::kF32 : DType::kS8; }
};

// Writes element after element of one output tensor.
class EpilogueWriter {
 public:
  EpilogueWriter(const Epilogue& epilogue, Tensor* out)
      : epilogue_(epilogue),
        codes_(epilogue.dtype() == DType::kS8 ? out->mutable_data<int8_t>() : nullptr),
        floats_(epilogue.dtype() == DType::kF32 ? out->mutable_data<float>() : nullptr) {}

  void Write(int64_t at, float y) const {
    const float a = epilogue_.activation(y);
    if (codes_ != nullptr) {
      codes_[at] = quant::QuantizeToS8(a, epilogue_.y_scale);
    } else {
      floats_[at] = a;
    }
  }

 private:
  Epilogue epilogue_;
  int8_t* codes_;
  float* floats_;
};

}  // namespace octet::ops
