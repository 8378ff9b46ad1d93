// What happens to an fp32 value y at the end of a lowered operator: activation, then the code of the output, or y
// itself.
#pragma once

#include <cstdint>

#include "ir/graph.h"
#include "quant/quantize.h"
#include "tensor/tensor.h"

namespace octet::ops {

// From the attributes act, act_min, act_max, y_scale. Throws a user Error naming the node on an unknown act.
struct Epilogue {
  bool clip = false;
  float low = 0, high = 0;
  float y_scale = 0;  // 0: the output is f32

  static Epilogue Of(const ir::Node& node);
  DType dtype() const { return y_scale == 0 ? DType::kF32 : DType::kS8; }

  // min(max(y, low), high) as the vector instructions compute it: on equality the bound, so that -0 clipped at 0 gives
  // +0.
  float Activate(float y) const {
    if (!clip) return y;
    y = y > low ? y : low;
    return y < high ? y : high;
  }
};

// Writes element after element of one output tensor.
class EpilogueWriter {
 public:
  EpilogueWriter(const Epilogue& epilogue, Tensor* out)
      : epilogue_(epilogue),
        codes_(epilogue.dtype() == DType::kS8 ? out->mutable_data<int8_t>() : nullptr),
        floats_(epilogue.dtype() == DType::kF32 ? out->mutable_data<float>() : nullptr) {}

  void Write(int64_t at, float y) const {
    const float a = epilogue_.Activate(y);
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
