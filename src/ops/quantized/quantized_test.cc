// The oracle itself, against hand-computed integers and an independent formulation.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/quantized/epilogue.h"
#include "ops/testing.h"

namespace octet::ops {
namespace {

using IntsV = std::vector<int64_t>;

Tensor C(Shape shape, const std::vector<int>& values) {
  Tensor t(DType::kS8, std::move(shape));
  for (size_t i = 0; i < values.size(); ++i) t.mutable_data<int8_t>()[i] = static_cast<int8_t>(values[i]);
  return t;
}

TEST(QQuantize, TiesToEvenAndSaturation) {
  const Tensor x = F({9}, {0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 1000, -1000, 63.5f, -64.0f});
  EXPECT_EQ(RunOne("QQuantize", {x}, {{"scale", 0.5f}}), C({9}, {0, 2, 2, 0, -2, 127, -128, 127, -128}));
  // A true division: 0.7/0.1 in single precision is 7 (0.7f * 10 would not tell), and 0.35f/0.1f is 3.5 exactly after
  // rounding.
  EXPECT_EQ(RunOne("QQuantize", {F({2}, {0.7f, 0.35f})}, {{"scale", 0.1f}}), C({2}, {7, 4}));
  EXPECT_EQ(RunOne("QDequantize", {C({3}, {-128, 0, 127})}, {{"scale", 0.5f}}), F({3}, {-64, 0, 63.5f}));
}

TEST(QConv, HandComputedRegion) {
  const Tensor x = C({1, 1, 2, 2}, {10, -20, 30, 127});
  const Tensor w = C({2, 1, 1, 1}, {100, -127});
  const Tensor m = F({2}, {0.01f, 0.001f}), b = F({2}, {0.5f, -1});
  const Tensor y = RunOne("QConv", {x, w, m, b});
  const float expected[] = {1000 * 0.01f + 0.5f,    -2000 * 0.01f + 0.5f,   3000 * 0.01f + 0.5f,
                            12700 * 0.01f + 0.5f,   -1270 * 0.001f + -1.0f, 2540 * 0.001f + -1.0f,
                            -3810 * 0.001f + -1.0f, -16129 * 0.001f + -1.0f};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(y.data<float>()[i], expected[i]) << i;
  // Residual 4 * 0.25 = 1, clip to [0, 6], codes in steps of 0.05.
  const Tensor r = C({1, 2, 2, 2}, {4, 4, 4, 4, 4, 4, 4, 4});
  const Tensor q = RunOne("QConv", {x, w, m, b, r},
                          {{"residual_scale", 0.25f},
                           {"act", std::string("clip")},
                           {"act_min", 0.0f},
                           {"act_max", 6.0f},
                           {"y_scale", 0.05f}});
  EXPECT_EQ(q, C({1, 2, 2, 2}, {120, 0, 120, 120, 0, 51, 0, 0}));
}

TEST(QConv, EveryFloatOperationIsRoundedAlone) {
  // acc = 16777 (needs no rounding), m and b such that a fused multiply-add gives another last bit.
  const Tensor x = C({1, 2, 1, 1}, {127, 127}), w = C({1, 2, 1, 1}, {127, 5});
  int differ = 0;
  for (int i = 0; i < 200; ++i) {
    const float m = 0.001f + 1e-6f * static_cast<float>(i), b = -16.764f * m * 1000.0f;
    const float acc = 127.0f * 127 + 127 * 5;
    const Tensor y = RunOne("QConv", {x, w, F({1}, {m}), F({1}, {b})});
    volatile float product = acc * m;
    volatile float sum = product + b;
    EXPECT_EQ(y.data<float>()[0], sum);
    differ += std::fma(acc, m, b) != sum;
  }
  EXPECT_GT(differ, 0) << "the test would not notice a fused multiply-add";
}

// Gather form: one output at a time, all indices explicit; shares no code with the kernel.
Tensor SlowQConv(const Tensor& x, const Tensor& w, const Tensor& m, const Tensor& b, const Tensor& r, float rs,
                 int64_t group, int64_t stride, int64_t pad, int64_t dilation, float lo, float hi, float ys) {
  const auto size = [&](int axis) { return (x.dim(axis) + 2 * pad - (w.dim(axis) - 1) * dilation - 1) / stride + 1; };
  Tensor y(DType::kS8, {x.dim(0), w.dim(0), size(2), size(3)});
  int64_t at = 0;
  int8_t* to = y.mutable_data<int8_t>();
  for (int64_t n = 0; n < y.dim(0); ++n)
    for (int64_t k = 0; k < y.dim(1); ++k)
      for (int64_t i = 0; i < y.dim(2); ++i)
        for (int64_t j = 0; j < y.dim(3); ++j, ++at) {
          int64_t acc = 0;
          for (int64_t c = 0; c < w.dim(1); ++c)
            for (int64_t p = 0; p < w.dim(2); ++p)
              for (int64_t q = 0; q < w.dim(3); ++q) {
                const int64_t h = i * stride - pad + p * dilation, v = j * stride - pad + q * dilation;
                if (h < 0 || v < 0 || h >= x.dim(2) || v >= x.dim(3)) continue;
                const int64_t channel = k * group / w.dim(0) * w.dim(1) + c;
                acc += int64_t{x.data<int8_t>()[((n * x.dim(1) + channel) * x.dim(2) + h) * x.dim(3) + v]} *
                       w.data<int8_t>()[((k * w.dim(1) + c) * w.dim(2) + p) * w.dim(3) + q];
              }
          volatile float f = static_cast<float>(acc);
          f = f * m.data<float>()[k];
          f = f + b.data<float>()[k];
          volatile float rf = static_cast<float>(r.data<int8_t>()[at]);
          rf = rf * rs;
          f = f + rf;
          float clipped = std::fmin(std::fmax(f, lo), hi);
          const double code = std::nearbyint(static_cast<double>(clipped / ys));
          to[at] = static_cast<int8_t>(std::fmin(std::fmax(code, -128.0), 127.0));
        }
  return y;
}

TEST(QConv, RandomGeometriesMatchTheGatherForm) {
  std::mt19937 random(11);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int round = 0; round < 40; ++round) {
    const int64_t group = pick(1, 4), c = round % 3 == 0 ? 1 : pick(1, 5), k = round % 3 == 0 ? 1 : pick(1, 4);
    const int64_t stride = pick(1, 2), pad = pick(0, 2), dilation = pick(1, 2), kernel = pick(1, 3);
    const Tensor x = RandomS8({2, group * c, pick(5, 8), pick(5, 8)}, round);
    const Tensor w = RandomS8({group * k, c, kernel, kernel}, round + 99, -127, 127);
    const Tensor m = RandomF32({group * k}, round, 1e-5f, 1e-3f), b = RandomF32({group * k}, round + 1, -2, 2);
    ir::Attrs attrs = {{"group", group},
                       {"strides", IntsV{stride, stride}},
                       {"pads", IntsV{pad, pad, pad, pad}},
                       {"dilations", IntsV{dilation, dilation}},
                       {"residual_scale", 0.031f},
                       {"act", std::string("clip")},
                       {"act_min", -1.0f},
                       {"act_max", 6.0f},
                       {"y_scale", 0.0431f}};
    const Shape shape = InferShapeOf(MakeNode("QConv", attrs),
                                     {{DType::kS8, x.shape()}, {DType::kS8, w.shape()}, {DType::kF32, m.shape()}});
    const Tensor r = RandomS8(shape, round + 7);
    EXPECT_EQ(RunOne("QConv", {x, w, m, b, r}, attrs),
              SlowQConv(x, w, m, b, r, 0.031f, group, stride, pad, dilation, -1.0f, 6.0f, 0.0431f));
  }
}

TEST(QConv, AgreesWithConvOnDequantizedValues) {
  // The fake-quant view of the same numbers, in double: equal up to the rounding of the fp32 epilogue.
  const float sx = 0.02f, sy = 0.05f;
  const Tensor x = RandomS8({1, 8, 6, 6}, 1), w = RandomS8({4, 8, 3, 3}, 2, -127, 127);
  const Tensor sw = RandomF32({4}, 3, 0.001f, 0.002f);
  Tensor m = sw, wf(DType::kF32, w.shape());
  for (int64_t k = 0; k < 4; ++k) m.mutable_data<float>()[k] = sx * sw.data<float>()[k];
  for (int64_t i = 0; i < w.size(); ++i) wf.mutable_data<float>()[i] = w.data<int8_t>()[i] * sw.data<float>()[i / 72];
  const Tensor xf = RunOne("QDequantize", {x}, {{"scale", sx}});
  const Tensor y = RunOne("QConv", {x, w, m}, {{"pads", IntsV{1, 1, 1, 1}}});
  ExpectNear(y, RunOne("Conv", {xf, wf}, {{"pads", IntsV{1, 1, 1, 1}}}), 1e-5);
  EXPECT_EQ(RunOne("QConv", {x, w, m}, {{"pads", IntsV{1, 1, 1, 1}}, {"y_scale", sy}}),
            RunOne("QQuantize", {y}, {{"scale", sy}}));
}

TEST(QConv, Errors) {
  const Tensor x = RandomS8({1, 2, 4, 4}, 1), w = RandomS8({3, 2, 3, 3}, 2), m = F({3}, {1, 1, 1});
  ExpectUserError([&] { RunOne("QConv", {x, w, F({2}, {1, 1})}); }, {"(QConv)", "multipliers", "expected [3]"});
  ExpectUserError([&] { RunOne("QConv", {x, RandomF32({3, 2, 3, 3}, 1), m}); }, {"expected codes (s8)"});
  ExpectUserError([&] { RunOne("QConv", {x, w, m}, {{"act", std::string("relu")}}); }, {"act is 'relu'"});
  ExpectUserError(
      [&] {
        RunOne("QConv", {x, w, m, {}, RandomS8({1, 3, 3, 3}, 1)}, {{"residual_scale", 1.0f}});
      },
      {"residual", "expected [1,3,2,2]"});
  ExpectUserError([&] { RunOne("QConv", {x, w, m, {}, RandomS8({1, 3, 2, 2}, 1)}); }, {"residual_scale is 0"});
}

TEST(QMaxPool, PaddingNeverWins) {
  const Tensor x = C({1, 1, 2, 2}, {-100, -90, -80, -128});
  EXPECT_EQ(
      RunOne("QMaxPool", {x}, {{"kernel_shape", IntsV{2, 2}}, {"strides", IntsV{2, 2}}, {"pads", IntsV{1, 1, 1, 1}}}),
      C({1, 1, 2, 2}, {-100, -90, -80, -128}));
}

TEST(QAveragePool, CountsAndRounds) {
  const Tensor x = C({1, 1, 2, 2}, {1, 2, 3, 5});
  const ir::Attrs attrs = {{"kernel_shape", IntsV{2, 2}}, {"pads", IntsV{1, 1, 0, 0}}, {"x_scale", 0.5f}};
  EXPECT_EQ(RunOne("QAveragePool", {x}, attrs), F({1, 1, 2, 2}, {0.5f, 0.75f, 1.0f, 1.375f}));
  ir::Attrs padded = attrs;
  padded["count_include_pad"] = int64_t{1};
  EXPECT_EQ(RunOne("QAveragePool", {x}, padded), F({1, 1, 2, 2}, {0.125f, 0.375f, 0.5f, 1.375f}));
  ir::Attrs codes = attrs;
  codes["y_scale"] = 0.5f;
  EXPECT_EQ(RunOne("QAveragePool", {x}, codes), C({1, 1, 2, 2}, {1, 2, 2, 3}));  // 1.5 -> 2, 2.75 -> 3
}

TEST(QGlobalAveragePool, MultiplierIsTheRoundedQuotient) {
  const Tensor x = RandomS8({2, 3, 7, 7}, 5);
  const float scale = 0.0237f;
  const Tensor y = RunOne("QGlobalAveragePool", {x}, {{"x_scale", scale}});
  ASSERT_EQ(y.shape(), (Shape{2, 3, 1, 1}));
  for (int p = 0; p < 6; ++p) {
    int32_t sum = 0;
    for (int i = 0; i < 49; ++i) sum += x.data<int8_t>()[p * 49 + i];
    volatile float multiplier = scale / 49.0f;
    EXPECT_EQ(y.data<float>()[p], static_cast<float>(sum) * multiplier);
  }
  EXPECT_EQ(RunOne("QGlobalAveragePool", {x}, {{"x_scale", scale}, {"y_scale", 0.01f}}),
            RunOne("QQuantize", {y}, {{"scale", 0.01f}}));
}

TEST(QAdd, BothSidesAreRoundedFirst) {
  const Tensor a = RandomS8({1, 2, 4, 4}, 1), b = RandomS8({1, 2, 4, 4}, 2);
  const Tensor y = RunOne("QAdd", {a, b}, {{"a_scale", 0.03f}, {"b_scale", 0.007f}});
  for (int64_t i = 0; i < y.size(); ++i) {
    volatile float left = a.data<int8_t>()[i] * 0.03f, right = b.data<int8_t>()[i] * 0.007f;
    EXPECT_EQ(y.data<float>()[i], left + right);
  }
  const Tensor relu = RunOne("QAdd", {a, b},
                             {{"a_scale", 0.03f},
                              {"b_scale", 0.007f},
                              {"act", std::string("clip")},
                              {"act_min", 0.0f},
                              {"act_max", 6.0f},
                              {"y_scale", 0.02f}});
  for (int64_t i = 0; i < y.size(); ++i) {
    const float v = std::min(std::max(y.data<float>()[i], 0.0f), 6.0f);
    EXPECT_EQ(relu.data<int8_t>()[i], quant::QuantizeToS8(v, 0.02f));
  }
}

TEST(Epilogue, ClipOfMinusZeroIsPlusZero) {
  Epilogue e;
  e.activation = {quant::ActivationKind::kClip, 0.0f, 6.0f};
  EXPECT_FALSE(std::signbit(e.activation(-0.0f)));
}

// The functions of quant/activation.h are the mathematical ones within a few float roundings.
TEST(Epilogue, ActivationsAreWhatTheyAreCalled) {
  using Kind = quant::ActivationKind;
  const auto near = [](double got, double want) {
    EXPECT_NEAR(got, want, 4e-7 * std::max(1.0, std::abs(want))) << want;
  };
  for (float x = -100.0f; x < 100.0f; x += 0.0371f) {
    const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(x)));
    near(quant::Activation{Kind::kSigmoid}(x), sigmoid);
    near(quant::Activation{Kind::kSwish}(x), x * sigmoid);
    near((quant::Activation{Kind::kHardSigmoid, 0.2f, 0.5f}(x)), std::min(std::max(0.2 * x + 0.5, 0.0), 1.0));
    near(quant::Activation{Kind::kHardSwish}(x), x * std::min(std::max(x / 6.0 + 0.5, 0.0), 1.0));
    near((quant::Activation{Kind::kLeakyRelu, 0.1f}(x)), x < 0 ? 0.1 * x : x);
  }
  EXPECT_EQ(quant::Activation{Kind::kSigmoid}(0.0f), 0.5f);
}

TEST(QMul, GateOfEachChannel) {
  const Tensor a = RandomS8({2, 3, 4, 5}, 1), gate = RandomS8({2, 3, 1, 1}, 2);
  const ir::Attrs attrs = {{"a_scale", 0.03f}, {"b_scale", 0.007f}};
  const Tensor y = RunOne("QMul", {a, gate}, attrs);
  for (int64_t i = 0; i < y.size(); ++i) {
    volatile float left = a.data<int8_t>()[i] * 0.03f, right = gate.data<int8_t>()[i / 20] * 0.007f;
    EXPECT_EQ(y.data<float>()[i], left * right);
  }
  ir::Attrs codes = attrs;
  codes["y_scale"] = 0.002f;
  EXPECT_EQ(RunOne("QMul", {a, gate}, codes), RunOne("QQuantize", {y}, {{"scale", 0.002f}}));
  ExpectUserError([&] { RunOne("QMul", {a, RandomS8({2, 3, 1, 5}, 1)}, attrs); }, {"(QMul)", "expected equal shapes"});
  ExpectUserError([&] { RunOne("QMul", {a, gate}, {{"a_scale", 0.03f}, {"b_scale", 0.0f}}); }, {"b_scale is 0"});
}

TEST(QSum, AddsFromLeftToRight) {
  const Tensor a = RandomS8({1, 2, 4, 4}, 1), b = RandomS8({1, 2, 4, 4}, 2), c = RandomS8({1, 2, 4, 4}, 3);
  const std::vector<float> scales = {0.03f, 0.007f, 0.0f};
  const Tensor y = RunOne("QSum", {a, b, c}, {{"scales", scales}});
  EXPECT_EQ(y, RunOne("QAdd", {a, b}, {{"a_scale", 0.03f}, {"b_scale", 0.007f}}));
  ExpectUserError([&] { RunOne("QSum", {a, b}, {{"scales", scales}}); }, {"3 scales for 2 inputs"});
}

TEST(QLut, LooksUpCodes) {
  Tensor table(DType::kS8, {256});
  for (int i = 0; i < 256; ++i) table.mutable_data<int8_t>()[i] = static_cast<int8_t>(127 - i);
  EXPECT_EQ(RunOne("QLut", {C({4}, {-128, 0, 1, 127}), table}), C({4}, {127, -1, -2, -128}));
  ExpectUserError([&] { RunOne("QLut", {C({1}, {0}), C({2}, {0, 0})}); }, {"table", "expected [256]"});
}

TEST(Quantized, DynamicBatch) {
  const TensorType x{DType::kS8, {-1, 8, 14, 14}};
  EXPECT_EQ(InferShapeOf(MakeNode("QMaxPool", {{"kernel_shape", IntsV{2, 2}}, {"strides", IntsV{2, 2}}}), {x}),
            (Shape{-1, 8, 7, 7}));
  EXPECT_EQ(InferShapeOf(MakeNode("QGlobalAveragePool", {{"x_scale", 1.0f}}), {x}), (Shape{-1, 8, 1, 1}));
  EXPECT_EQ(InferShapeOf(MakeNode("QAdd", {{"a_scale", 1.0f}, {"b_scale", 1.0f}}), {x, x}), x.shape);
  EXPECT_EQ(InferShapeOf(MakeNode("QConv"), {x, {DType::kS8, {4, 8, 1, 1}}, {DType::kF32, {4}}}),
            (Shape{-1, 4, 14, 14}));
}

}  // namespace
}  // namespace octet::ops
