// Every kernel set against the reference kernels, byte for byte, over shapes with odd sizes, strides, padding,
// dilation.
#include "engine/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/error.h"
#include "engine/kernels/testing.h"

namespace octet::engine {
namespace {

struct ConvCase {
  int64_t batch, in_c, out_c, h, w, kernel, stride, dilation, pad;
  bool residual, f32, bias;
  quant::Activation activation = {quant::ActivationKind::kClip, -0.5f, 1.0f};
};

// Weights and scales such that codes spread over the whole range and some saturate.
struct Parameters {
  std::vector<int8_t> weights;
  std::vector<float> mul, bias;
  Parameters(std::mt19937& random, int64_t out_c, int64_t reduction) {
    weights.resize(out_c * reduction);
    for (int8_t& w : weights) w = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    for (int64_t k = 0; k < out_c; ++k) {
      mul.push_back(0.01f / (70.0f * 70.0f * std::sqrt(static_cast<float>(reduction))) * (50 + random() % 100));
      bias.push_back((static_cast<int>(random() % 2001) - 1000) * 0.001f);
    }
  }
};

int64_t OutSize(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad) {
  return (in + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
}

ConvArgs Geometry(const ConvCase& t, const Image& in) {
  ConvArgs a;
  a.batch = t.batch;
  a.in_c = t.in_c;
  a.out_c = t.out_c;
  a.out_h = OutSize(t.h, t.kernel, t.stride, t.dilation, t.pad);
  a.out_w = OutSize(t.w, t.kernel, t.stride, t.dilation, t.pad);
  a.kernel_h = a.kernel_w = t.kernel;
  a.stride_h = a.stride_w = t.stride;
  a.dilation_h = a.dilation_w = t.dilation;
  a.in = in.codes;
  a.in.data = in.codes.at(0, -t.pad, -t.pad);
  return a;
}

void CheckConv(const ConvCase& t) {
  SCOPED_TRACE(testing::Message() << "n" << t.batch << " c" << t.in_c << " k" << t.out_c << " " << t.h << "x" << t.w
                                  << " kernel " << t.kernel << " s" << t.stride << " d" << t.dilation << " p" << t.pad
                                  << " residual " << t.residual << " f32 " << t.f32);
  std::mt19937 random(static_cast<unsigned>(t.in_c * 131 + t.out_c * 7 + t.h + t.kernel));
  const Image in(random, t.batch, t.in_c, t.h, t.w, t.pad, t.in_c <= 4 ? 4 : 0);
  const Parameters p(random, t.out_c, t.in_c * t.kernel * t.kernel);
  ConvArgs a = Geometry(t, in);
  a.weights = p.weights.data();
  a.mul = p.mul.data();
  a.bias = t.bias ? p.bias.data() : nullptr;
  a.activation = t.activation;
  a.quantizer = QuantizerOf(0.01f, t.activation);
  const Image residual(random, t.batch, t.out_c, a.out_h, a.out_w, 1);
  if (t.residual) {
    a.residual = residual.codes;
    a.residual_scale = 0.007f;
  }
  const Image want(random, t.batch, t.out_c, a.out_h, a.out_w, 0);
  std::vector<float> want_f32(t.batch * t.out_c * a.out_h * a.out_w);
  a.out = t.f32 ? Codes{} : want.codes;
  a.out_f32 = want_f32.data();
  a.out_f32_channels = t.out_c;
  ReferenceKernels().conv(a, 0, 1);

  PackedConv packed = PackConv(p.weights.data(), p.mul.data(), a.bias, t.out_c, t.in_c, t.kernel * t.kernel,
                               t.f32 ? 0.0f : 0.01f, a.residual_scale);
  if (IsFunction(t.activation)) NeverFast(&packed.fast);
  std::vector<int64_t> offsets;
  const bool rows = t.dilation == 1 && packed.steps * 4 == in.pixel;
  for (int64_t kh = 0; kh < t.kernel; ++kh) {
    for (int64_t kw = 0; kw < (rows ? 1 : t.kernel); ++kw) {
      offsets.push_back(kh * t.dilation * in.codes.row + kw * t.dilation * in.codes.pixel);
    }
  }
  a.packed = &packed;
  a.offsets = offsets.data();
  a.runs = offsets.size();
  a.run_steps = rows ? t.kernel * packed.steps : packed.steps;
  for (const KernelSet* set : Sets()) {
    for (int parts : {1, 2, 5}) {
      Image got(random, t.batch, t.out_c, a.out_h, a.out_w, 1);
      std::vector<float> got_f32(want_f32.size(), -7.0f);
      a.out = t.f32 ? Codes{} : got.codes;
      a.out_f32 = got_f32.data();
      for (int part = 0; part < parts; ++part) set->conv(a, part, parts);
      if (t.f32) {
        EXPECT_EQ(got_f32, want_f32) << set->name << " parts " << parts;
      } else {
        EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " parts " << parts;
        Image again = got;  // the border must be untouched
        again.codes.data = again.bytes.data() + (got.codes.data - got.bytes.data());
        FillBorder(again.codes, again.n, again.h, again.w, 1, 1, 1, 1);
        EXPECT_EQ(again.bytes, got.bytes) << set->name << ": wrote into the border";
      }
    }
  }
}

TEST(Kernels, ConvChannels) {
  for (int64_t in_c : {1, 3, 4, 5, 16, 17, 24, 64}) {
    for (int64_t out_c : {1, 10, 16, 24, 32, 48, 64, 96, 112, 144}) {
      CheckConv({1, in_c, out_c, 5, 7, 1, 1, 1, 0, false, false, true});
      CheckConv({1, in_c, out_c, 4, 5, 3, 1, 1, 1, (in_c + out_c) % 2 == 0, false, out_c % 3 != 0});
    }
  }
}

TEST(Kernels, ConvGeometry) {
  for (int64_t kernel : {1, 2, 3, 5, 7}) {
    for (int64_t stride : {1, 2, 3}) {
      for (int64_t dilation : {1, 2}) {
        for (int64_t pad : {int64_t{0}, kernel / 2, kernel}) {
          for (int64_t size : {15, 16}) {
            for (int64_t in_c : {3, 16}) {
              CheckConv({1, in_c, 16, size, size + 3, kernel, stride, dilation, pad, false, false, true});
            }
          }
        }
      }
    }
  }
}

TEST(Kernels, ConvPixelCounts) {  // every tile size, several images
  for (int64_t w = 1; w <= 27; ++w) {
    CheckConv({1, 8, 64, 1, w, 1, 1, 1, 0, true, false, true});
    CheckConv({3, 8, 32, 1, w, 1, 1, 1, 0, true, false, true});
    CheckConv({3, 8, 16, 2, w, 3, 2, 1, 1, true, false, true});
  }
}

TEST(Kernels, ConvActivations) {
  for (const quant::Activation& activation : Activations()) {
    for (const bool f32 : {false, true}) {
      for (int64_t out_c : {10, 32, 64}) {
        CheckConv({2, 16, out_c, 5, 7, 3, 1, 1, 1, f32 != (out_c == 32), f32, true, activation});
      }
    }
  }
}

TEST(Kernels, ConvF32Result) {
  for (int64_t out_c : {1, 10, 24, 64, 100}) {
    CheckConv({2, 20, out_c, 5, 5, 3, 1, 1, 1, false, true, true});
    CheckConv({2, 20, out_c, 1, 1, 1, 1, 1, 0, true, true, false});
  }
}

// y / s lies exactly on ties all the time; a reciprocal without the check would round some of them wrongly.
TEST(Kernels, ConvTies) {
  for (const float scale : {0.1f, 0.3f, 1.0f / 3.0f, 0.7f, 1.1f, 2e-31f}) {
    const int64_t out_c = 64, in_c = 4, w = 256;
    std::vector<int8_t> weights(out_c * in_c, 0);
    std::vector<float> mul(out_c), bias(out_c, 0.0f);
    for (int64_t k = 0; k < out_c; ++k) {
      weights[k * in_c] = 1;
      mul[k] = scale * (0.5f + static_cast<float>(k % 7));
      if (k % 3 == 0) mul[k] = std::nextafterf(mul[k], k % 2 ? 0.0f : 1e9f);
    }
    std::mt19937 random(3);
    Image in(random, 1, in_c, 1, w, 0, 4);
    for (int64_t x = 0; x < w; ++x) in.codes.at(0, 0, x)[0] = static_cast<uint8_t>(x);
    ConvArgs a = Geometry({1, in_c, out_c, 1, w, 1, 1, 1, 0, false, false, false}, in);
    a.weights = weights.data();
    a.mul = mul.data();
    a.bias = bias.data();
    a.quantizer = MakeQuantizer(scale);
    const PackedConv packed = PackConv(weights.data(), mul.data(), bias.data(), out_c, in_c, 1, scale, 0.0f);
    const int64_t offset = 0;
    a.packed = &packed;
    a.offsets = &offset;
    a.runs = a.run_steps = 1;
    const Image want(random, 1, out_c, 1, w, 0);
    a.out = want.codes;
    ReferenceKernels().conv(a, 0, 1);
    for (const KernelSet* set : Sets()) {
      const Image got(random, 1, out_c, 1, w, 0);
      a.out = got.codes;
      set->conv(a, 0, 1);
      EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " scale " << scale;
    }
  }
}

// The largest sums that the storage can meet: nothing may saturate on the way.
TEST(Kernels, ConvExtremes) {
  for (const int weight : {-127, 127}) {
    for (const int code : {-128, 127}) {
      const int64_t in_c = 512, out_c = 16;
      const std::vector<int8_t> weights(out_c * in_c * 9, static_cast<int8_t>(weight));
      const std::vector<float> mul(out_c, 1.0f);
      std::mt19937 random(1);
      Image in(random, 1, in_c, 3, 3, 1);
      for (uint8_t& b : in.bytes) b = static_cast<uint8_t>(code + 128);
      ConvArgs a = Geometry({1, in_c, out_c, 3, 3, 3, 1, 1, 1, false, true, false}, in);
      std::vector<float> got(out_c * 9);
      a.weights = weights.data();
      a.mul = mul.data();
      const PackedConv packed = PackConv(weights.data(), mul.data(), nullptr, out_c, in_c, 9, 0.0f, 0.0f);
      const std::vector<int64_t> offsets = {0, in.codes.row, 2 * in.codes.row};
      a.packed = &packed;
      a.offsets = offsets.data();
      a.runs = 3;
      a.run_steps = 3 * packed.steps;
      a.out_f32 = got.data();
      a.out_f32_channels = out_c;
      for (const KernelSet* set : Sets()) {
        set->conv(a, 0, 1);
        EXPECT_EQ(got, std::vector<float>(got.size(), static_cast<float>(weight * code * in_c * 9))) << set->name;
      }
    }
  }
}

TEST(Kernels, Depthwise) {
  std::mt19937 random(5);
  for (int64_t c : {1, 8, 16, 24, 32, 48, 64, 96, 144, 192}) {
    for (int64_t kernel : {1, 3, 5, 7}) {
      for (int64_t stride : {1, 2}) {
        for (int64_t dilation : {1, 2}) {
          for (int64_t w : {1, 2, 7, 12}) {
            const int64_t pad = kernel / 2 * dilation;
            const ConvCase t{2, 1, c, 5, w, kernel, stride, dilation, pad, false, false, true};
            const Image in(random, 2, c, 5, w, pad);
            const Parameters p(random, c, kernel * kernel);
            ConvArgs a = Geometry(t, in);
            a.groups = c;
            a.weights = p.weights.data();
            a.mul = p.mul.data();
            a.bias = p.bias.data();
            a.activation = Activations()[(c / 8 + kernel + w) % Activations().size()];
            a.quantizer = QuantizerOf(0.01f, a.activation);
            const Image want(random, 2, c, a.out_h, a.out_w, 0);
            a.out = want.codes;
            ReferenceKernels().conv(a, 0, 1);
            PackedDepthwise packed =
                PackDepthwise(p.weights.data(), p.mul.data(), p.bias.data(), c, kernel * kernel, 0.01f);
            PackedDepthwiseRows packed_rows;
            if (stride == 1) {
              packed_rows = PackDepthwiseRows(p.weights.data(), p.mul.data(), p.bias.data(), c, kernel, kernel, 0.01f);
              a.packed_rows = &packed_rows;
            }
            if (IsFunction(a.activation)) {
              NeverFast(&packed.fast);
              NeverFast(&packed_rows.fast);
            }
            std::vector<int64_t> offsets(packed.quads * 4, 0);
            for (int64_t tap = 0; tap < kernel * kernel; ++tap) {
              offsets[tap] = tap / kernel * dilation * in.codes.row + tap % kernel * dilation * in.codes.pixel;
            }
            a.packed_depthwise = &packed;
            a.offsets = offsets.data();
            for (const KernelSet* set : Sets()) {
              for (int parts : {1, 3}) {
                Image got(random, 2, c, a.out_h, a.out_w, 1);
                a.out = got.codes;
                for (int part = 0; part < parts; ++part) set->depthwise(a, part, parts);
                EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " c" << c << " kernel " << kernel << " s" << stride
                                                   << " d" << dilation << " w" << w;
                Image again = got;
                again.codes.data = again.bytes.data() + (got.codes.data - got.bytes.data());
                FillBorder(again.codes, again.n, again.h, again.w, 1, 1, 1, 1);
                EXPECT_EQ(again.bytes, got.bytes) << set->name << ": wrote into the border";
              }
            }
          }
        }
      }
    }
  }
}

TEST(Kernels, Pools) {
  std::mt19937 random(6);
  for (int64_t c : {1, 3, 16, 40, 64, 100}) {
    for (int64_t kernel : {1, 2, 3, 5}) {
      for (int64_t stride : {1, 2, 3}) {
        for (int64_t pad : {int64_t{0}, kernel / 2}) {
          for (bool include : {false, true}) {
            PoolArgs a;
            a.batch = 2;
            a.channels = c;
            a.in_h = 6;
            a.in_w = 9;
            a.kernel_h = a.kernel_w = kernel;
            a.stride_h = a.stride_w = stride;
            a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
            a.out_h = OutSize(a.in_h, kernel, stride, 1, pad);
            a.out_w = OutSize(a.in_w, kernel, stride, 1, pad);
            a.count_include_pad = include;
            a.x_scale = 0.03f;
            a.quantizer = MakeQuantizer(0.021f);
            const Image in(random, 2, c, a.in_h, a.in_w, 1);
            a.in = in.codes;
            const Image want_max(random, 2, c, a.out_h, a.out_w, 0);
            const Image want_average(random, 2, c, a.out_h, a.out_w, 0);
            std::vector<float> want_f32(2 * c * a.out_h * a.out_w), got_f32(want_f32.size());
            a.out = want_max.codes;
            ReferenceKernels().max_pool(a, 0, 1);
            a.out = want_average.codes;
            ReferenceKernels().average_pool(a, 0, 1);
            a.out = Codes{};
            a.out_f32 = want_f32.data();
            ReferenceKernels().average_pool(a, 0, 1);
            for (const KernelSet* set : Sets()) {
              for (int parts : {1, 2, 4}) {
                const Image got_max(random, 2, c, a.out_h, a.out_w, 1);
                const Image got_average(random, 2, c, a.out_h, a.out_w, 1);
                for (int part = 0; part < parts; ++part) {
                  a.out = got_max.codes;
                  set->max_pool(a, part, parts);
                  a.out = got_average.codes;
                  set->average_pool(a, part, parts);
                  a.out = Codes{};
                  a.out_f32 = got_f32.data();
                  set->average_pool(a, part, parts);
                }
                EXPECT_EQ(got_max.Nchw(), want_max.Nchw()) << set->name;
                EXPECT_EQ(got_average.Nchw(), want_average.Nchw()) << set->name;
                EXPECT_EQ(got_f32, want_f32) << set->name;
              }
            }
          }
        }
      }
    }
  }
}

TEST(Kernels, QuantizeAndDequantize) {
  std::mt19937 random(8);
  std::uniform_real_distribution<float> uniform(-4.0f, 4.0f);
  for (int64_t c : {1, 3, 4, 5, 16, 19}) {
    for (int64_t w : {1, 15, 16, 17, 40}) {
      std::vector<float> x(2 * c * 3 * w);
      for (float& v : x) v = uniform(random);
      for (size_t i = 0; i < x.size(); i += 5) x[i] = 0.025f * (static_cast<int>(i % 400) - 200 + 0.5f);  // ties
      x[0] = 1e30f;
      x.back() = -1e30f;
      const Image want(random, 2, c, 3, w, 0, c <= 4 ? 4 : 0);
      QuantizeArgs a;
      a.batch = 2;
      a.channels = c;
      a.h = 3;
      a.w = w;
      a.in = x.data();
      a.out = want.codes;
      a.quantizer = MakeQuantizer(0.025f);
      ReferenceKernels().quantize(a, 0, 1);
      for (const KernelSet* set : Sets()) {
        const Image got(random, 2, c, 3, w, 2, c <= 4 ? 4 : 0);
        a.out = got.codes;
        set->quantize(a, 0, 2);
        set->quantize(a, 1, 2);
        EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " c" << c << " w" << w;
        std::vector<float> back(x.size());
        DequantizeArgs d;
        d.batch = 2;
        d.channels = c;
        d.h = 3;
        d.w = w;
        d.in = got.codes;
        d.out = back.data();
        d.scale = 0.025f;
        set->dequantize(d, 0, 1);
        const std::vector<int8_t> codes = want.Nchw();
        for (size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(back[i], static_cast<float>(codes[i]) * 0.025f);
        d.channels_last = true;
        back.push_back(1234.0f);  // nothing is written behind the last pixel
        d.out = back.data();
        for (int part : {0, 1}) set->dequantize(d, part, 2);
        for (int64_t i = 0; i < 2 * 3 * w * c; ++i) {  // by image, pixel, channel
          const int64_t image = i / (3 * w * c), pixel = i / c % (3 * w);
          const int8_t code = codes[static_cast<size_t>((image * c + i % c) * 3 * w + pixel)];
          ASSERT_EQ(back[static_cast<size_t>(i)], static_cast<float>(code) * 0.025f);
        }
        EXPECT_EQ(back.back(), 1234.0f);
      }
    }
  }
}

TEST(Kernels, NchwRoundTrip) {
  std::mt19937 random(9);
  const Image image(random, 2, 19, 3, 5, 1);
  const std::vector<int8_t> codes = image.Nchw();
  const Image copy(random, 2, 19, 3, 5, 0);
  FromNchw(codes.data(), copy.codes, 2, 19, 3, 5);
  EXPECT_EQ(copy.Nchw(), codes);
}

TEST(Kernels, SelectByName) {
  EXPECT_STREQ(SelectKernels("reference").name, "reference");
  EXPECT_THROW(SelectKernels("avx1024"), Error);
}

}  // namespace
}  // namespace octet::engine
