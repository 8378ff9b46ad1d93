// The reference kernels: plain loops in the order of docs/numerics.md. They read unpacked weights.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/kernels/kernels.h"

namespace octet::engine {
namespace {

uint8_t Quantize(float y, const Quantizer& q) {
  const float code = std::min(std::max(std::nearbyint(y / q.scale), -128.0f), 127.0f);
  const int stored = static_cast<int>(code) + 128;
  return static_cast<uint8_t>(std::min<int>(std::max<int>(stored, q.lo), q.hi));
}

void Conv(const ConvArgs& a, int part, int parts) {
  const int64_t group_out = a.out_c / a.groups;
  const int64_t taps = a.kernel_h * a.kernel_w;
  const Range rows = Share(a.batch * a.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.out_h;
    const int64_t oh = row % a.out_h;
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      for (int64_t k = 0; k < a.out_c; ++k) {
        const int8_t* w = a.weights + k * a.in_c * taps;
        int32_t acc = 0;
        for (int64_t kh = 0; kh < a.kernel_h; ++kh) {
          for (int64_t kw = 0; kw < a.kernel_w; ++kw) {
            const uint8_t* x = a.in.at(n, oh * a.stride_h + kh * a.dilation_h, ow * a.stride_w + kw * a.dilation_w) +
                               k / group_out * a.in_c;
            for (int64_t c = 0; c < a.in_c; ++c) {
              acc += (static_cast<int32_t>(x[c]) - 128) * w[c * taps + kh * a.kernel_w + kw];
            }
          }
        }
        float y = static_cast<float>(acc) * a.mul[k];
        if (a.bias) y = y + a.bias[k];
        if (a.residual.data) {
          const float r = static_cast<float>(static_cast<int>(a.residual.at(n, oh, ow)[k]) - 128) * a.residual_scale;
          y = y + r;
        }
        y = a.activation(y);
        if (a.out.data) {
          a.out.at(n, oh, ow)[k] = Quantize(y, a.quantizer);
        } else {
          a.out_f32[((n * a.out_f32_channels + k) * a.out_h + oh) * a.out_w + ow] = y;
        }
      }
    }
  }
}

// The part [h0, h1) x [w0, w1) of the window of output (oh, ow) that lies in the image.
struct Window {
  int64_t h0, h1, w0, w1;
  Window(const PoolArgs& a, int64_t oh, int64_t ow) {
    h0 = std::max<int64_t>(oh * a.stride_h - a.pad_top, 0);
    h1 = std::min<int64_t>(oh * a.stride_h - a.pad_top + a.kernel_h, a.in_h);
    w0 = std::max<int64_t>(ow * a.stride_w - a.pad_left, 0);
    w1 = std::min<int64_t>(ow * a.stride_w - a.pad_left + a.kernel_w, a.in_w);
  }
};

void MaxPool(const PoolArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.out_h;
    const int64_t oh = row % a.out_h;
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      const Window window(a, oh, ow);
      for (int64_t c = 0; c < a.channels; ++c) {
        uint8_t best = 0;
        for (int64_t h = window.h0; h < window.h1; ++h) {
          for (int64_t w = window.w0; w < window.w1; ++w) best = std::max(best, a.in.at(n, h, w)[c]);
        }
        a.out.at(n, oh, ow)[c] = best;
      }
    }
  }
}

void AveragePool(const PoolArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.out_h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.out_h;
    const int64_t oh = row % a.out_h;
    for (int64_t ow = 0; ow < a.out_w; ++ow) {
      const Window window(a, oh, ow);
      // ONNX: a window never reaches beyond the padded image, so with ceil_mode the last one may be smaller.
      const int64_t padded_h =
          std::min(oh * a.stride_h + a.kernel_h, a.in_h + a.pad_top + a.pad_bottom) - oh * a.stride_h;
      const int64_t padded_w =
          std::min(ow * a.stride_w + a.kernel_w, a.in_w + a.pad_left + a.pad_right) - ow * a.stride_w;
      const int64_t count =
          a.count_include_pad ? padded_h * padded_w : (window.h1 - window.h0) * (window.w1 - window.w0);
      const float scale = a.x_scale / static_cast<float>(count);
      for (int64_t c = 0; c < a.channels; ++c) {
        int32_t sum = 0;
        for (int64_t h = window.h0; h < window.h1; ++h) {
          for (int64_t w = window.w0; w < window.w1; ++w) sum += static_cast<int32_t>(a.in.at(n, h, w)[c]) - 128;
        }
        const float y = static_cast<float>(sum) * scale;
        if (a.out.data) {
          a.out.at(n, oh, ow)[c] = Quantize(y, a.quantizer);
        } else {
          a.out_f32[((n * a.channels + c) * a.out_h + oh) * a.out_w + ow] = y;
        }
      }
    }
  }
}

float Real(uint8_t stored, float scale) {
  return static_cast<float>(static_cast<int>(stored) - 128) * scale;
}

// The end of every element-wise kernel: y of pixel (n, h, w), channel c.
template <typename Args>
void Finish(const Args& a, int64_t n, int64_t h, int64_t w, int64_t c, float y) {
  y = a.activation(y);
  if (a.out.data) {
    a.out.at(n, h, w)[c] = Quantize(y, a.quantizer);
  } else {
    a.out_f32[((n * a.channels + c) * a.h + h) * a.w + w] = y;
  }
}

void Sum(const SumArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t w = 0; w < a.w; ++w) {
      for (int64_t c = 0; c < a.channels; ++c) {
        float y = Real(a.in[0].at(n, h, w)[c], a.scale[0]);
        for (int i = 1; i < a.count; ++i) {
          const float term = Real(a.in[i].at(n, h, w)[c], a.scale[i]);
          y = y + term;
        }
        Finish(a, n, h, w, c, y);
      }
    }
  }
}

void Mul(const MulArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t w = 0; w < a.w; ++w) {
      const uint8_t* b = a.gate ? a.b.at(n, 0, 0) : a.b.at(n, h, w);
      for (int64_t c = 0; c < a.channels; ++c) {
        const float left = Real(a.a.at(n, h, w)[c], a.a_scale);
        const float right = Real(b[c], a.b_scale);
        Finish(a, n, h, w, c, left * right);
      }
    }
  }
}

void Lut(const LutArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t w = 0; w < a.w; ++w) {
      const uint8_t* in = a.in.at(row / a.h, row % a.h, w);
      uint8_t* out = a.out.at(row / a.h, row % a.h, w);
      for (int64_t c = 0; c < a.channels; ++c) out[c] = a.table[in[c]];
    }
  }
}

void Gather(const GatherArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t w = 0; w < a.w; ++w) {
      std::memcpy(a.out.at(n, h, w), a.in.at(n, a.rows[h], a.columns[w]), a.channels);
    }
  }
}

void Pick(const PickArgs& a, int part, int parts) {
  const std::vector<int32_t>& map = a.packed->map;
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t w = 0; w < a.w; ++w) {
      const uint8_t* in = a.in.at(row / a.h, row % a.h, w);
      uint8_t* out = a.out.at(row / a.h, row % a.h, w);
      for (size_t c = 0; c < map.size(); ++c) out[c] = in[map[c]];
    }
  }
}

void QuantizeTensor(const QuantizeArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t c = 0; c < a.channels; ++c) {
      const float* x = a.in + ((n * a.channels + c) * a.h + h) * a.w;
      for (int64_t w = 0; w < a.w; ++w) a.out.at(n, h, w)[c] = Quantize(x[w], a.quantizer);
    }
  }
}

void DequantizeTensor(const DequantizeArgs& a, int part, int parts) {
  const Range rows = Share(a.batch * a.h, part, parts);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / a.h;
    const int64_t h = row % a.h;
    for (int64_t c = 0; c < a.channels; ++c) {
      for (int64_t w = 0; w < a.w; ++w) {
        const int64_t at =
            a.channels_last ? (row * a.w + w) * a.channels + c : ((n * a.channels + c) * a.h + h) * a.w + w;
        a.out[at] = static_cast<float>(static_cast<int>(a.in.at(n, h, w)[c]) - 128) * a.scale;
      }
    }
  }
}

void Gemm(const GemmArgs& a, int part, int parts) {
  const PackedGemm& p = *a.packed;
  const Range outputs = Share(p.outputs, part, parts);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t k = outputs.begin; k < outputs.end; ++k) {
      float y = p.bias[k];
      for (int64_t c = 0; c < p.inputs; ++c) {
        const float product = a.x[r * p.inputs + c] * p.weights[(k / 64 * p.inputs + c) * 64 + k % 64];
        y = y + product;
      }
      a.y[r * p.outputs + k] = y;
    }
  }
}

}  // namespace

const KernelSet& ReferenceKernels() {
  static const KernelSet kernels{"reference",
                                 "plain C++, one product at a time",
                                 Conv,
                                 Conv,
                                 MaxPool,
                                 AveragePool,
                                 Sum,
                                 Mul,
                                 Lut,
                                 Gather,
                                 Pick,
                                 QuantizeTensor,
                                 DequantizeTensor,
                                 Gemm};
  return kernels;
}

}  // namespace octet::engine
