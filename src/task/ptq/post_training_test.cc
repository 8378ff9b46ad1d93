// Post-training quantization on small networks whose weak points are known.
#include "task/ptq/post_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"
#include "passes/insert_qdq.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "task/ptq/correct_bias.h"
#include "task/ptq/sensitivity.h"

namespace octet::task {
namespace {

using testing::Contains;
using testing::HasSubstr;

Tensor Random(const Shape& shape, uint32_t seed, float stddev = 1.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, stddev);
  Tensor t(DType::kF32, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = normal(rng);
  return t;
}

// conv a (3x3) + relu -> depthwise b -> conv c + relu -> pool -> gap -> dense. Channels of `a` differ by `spread`.
ir::Graph Network(float spread) {
  ops::InstallOps();
  ir::Graph g = ir::Parse(R"(graph "g" {
  input %x: f32[N,3,12,12]
  const %a.weight: f32[8,3,3,3] = blob
  const %a.bias: f32[8] = [0.1,0.2,0.0,-0.1,0.05,0.1,0.0,0.0]
  const %b.weight: f32[8,1,3,3] = blob
  const %c.weight: f32[16,8,1,1] = blob
  const %d.weight: f32[10,16] = blob
  const %d.bias: f32[10] = [0.1,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,-0.1]
  %a: f32[N,8,12,12] = Conv(%x, %a.weight, %a.bias) {kernel_shape=[3,3], pads=[1,1,1,1]} "a"
  %ar: f32[N,8,12,12] = Relu(%a) "ar"
  %b: f32[N,8,12,12] = Conv(%ar, %b.weight) {group=8, kernel_shape=[3,3], pads=[1,1,1,1]} "b"
  %c: f32[N,16,12,12] = Conv(%b, %c.weight) {kernel_shape=[1,1]} "c"
  %cr: f32[N,16,12,12] = Relu(%c) "cr"
  %p: f32[N,16,6,6] = MaxPool(%cr) {kernel_shape=[2,2], strides=[2,2]} "p"
  %gap: f32[N,16,1,1] = GlobalAveragePool(%p) "gap"
  %flat: f32[N,16] = Flatten(%gap) {axis=1} "flat"
  %logits: f32[N,10] = Gemm(%flat, %d.weight, %d.bias) {transB=1} "d"
  %y: f32[N,10] = Softmax(%logits) {axis=1} "y"
  output %y
})",
                          {}, /*zero_blobs=*/true, "g");
  uint32_t seed = 3;
  for (const char* name : {"a.weight", "b.weight", "c.weight", "d.weight"}) {
    const Shape shape = g.value(g.Find(name)).type.shape;
    Tensor w = Random(shape, ++seed, 0.4f);
    for (int64_t i = 0; i < w.size(); ++i) {
      const auto channel = static_cast<float>(i / (w.size() / w.dim(0)) % 8);
      // What `a` makes large, `b` makes small again.
      if (name[0] == 'a') w.mutable_data<float>()[i] *= std::pow(spread, channel / 7);
      if (name[0] == 'b') w.mutable_data<float>()[i] /= std::pow(spread, channel / 7);
    }
    g.set_constant(g.Find(name), w);
  }
  ir::Verify(g);
  return g;
}

// `batches` batches of 4 images.
OpenImages Images(int batches, uint32_t seed = 50) {
  return [=]() -> ImageSource {
    auto next = std::make_shared<int>(0);
    return [=](Tensor& out) {
      if (*next == batches) return false;
      out = Random({4, 3, 12, 12}, seed + static_cast<uint32_t>((*next)++));
      return true;
    };
  };
}

PtqOptions Plain() {
  PtqOptions o;
  o.equalize = Apply::kNo;
  o.correct_bias = Apply::kNo;
  return o;
}

std::string ErrorOf(const ir::Graph& g, const OpenImages& open, const PtqOptions& options) {
  try {
    QuantizeAfterTraining(g, open, options);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser);
    return e.what();
  }
  return "no error";
}

TEST(PostTraining, EveryMethodQuantizesEveryTensor) {
  const ir::Graph g = Network(1);
  double best = 0, automatic = 0;
  for (const char* name : {"max", "moving_average", "percentile", "mse", "entropy", "auto"}) {
    PtqOptions o = Plain();
    o.method = quant::CalibrationMethodFromName(name);
    const PtqResult r = QuantizeAfterTraining(g, Images(8), o);
    EXPECT_EQ(r.images, 32);
    EXPECT_EQ(r.scales.size(), CalibratedTensors(r.float_graph).size());
    for (const auto& [tensor, scale] : r.scales) EXPECT_GT(scale, 0) << tensor;
    EXPECT_GT(r.error.sqnr_db, 20) << name;
    EXPECT_TRUE(r.error.classifies);
    (std::string(name) == "auto" ? automatic : best) =
        std::string(name) == "auto" ? r.error.sqnr_db : std::max(best, r.error.sqnr_db);
    EXPECT_EQ(passes::CountQuantizers(r.quantized).weights, 3);  // the dense layer makes the output
  }
  EXPECT_GT(automatic, best - 1.0);
}

// One channel of `b` reads the rare peaks of its input with a large weight: clipping them costs more at the reader than
// the tensor's own error says, so `auto` must not clip although MSE does.
TEST(PostTraining, AutoMeasuresWhatReadsTheTensor) {
  ir::Graph g = Network(1);
  Tensor w = g.value(g.Find("a.weight")).constant;
  for (int64_t i = 0; i < 27; ++i) w.mutable_data<float>()[i] = i == 13 ? 40.0f : 0.0f;
  g.set_constant(g.Find("a.weight"), w);
  Tensor bias = g.value(g.Find("a.bias")).constant;
  bias.mutable_data<float>()[0] = -110.0f;  // fires for a pixel in a hundred
  g.set_constant(g.Find("a.bias"), bias);
  Tensor reader = g.value(g.Find("b.weight")).constant;
  for (int64_t i = 0; i < 9; ++i) reader.mutable_data<float>()[i] = i == 4 ? 30.0f : 0.0f;
  g.set_constant(g.Find("b.weight"), reader);
  PtqOptions o = Plain();
  const PtqResult r = QuantizeAfterTraining(g, Images(8), o);
  o.method = quant::CalibrationMethod::kMse;
  const PtqResult mse = QuantizeAfterTraining(g, Images(8), o);
  EXPECT_GE(r.ranges.at("ar").amax, mse.ranges.at("ar").amax);
  EXPECT_GE(r.error.sqnr_db, mse.error.sqnr_db - 0.01);
  EXPECT_GE(r.ranges.at("ar").error, 0);
}

TEST(PostTraining, EqualizationHelpsWhereChannelsDiffer) {
  PtqOptions o = Plain();
  o.method = quant::CalibrationMethod::kMax;
  const double without = QuantizeAfterTraining(Network(300), Images(8), o).error.sqnr_db;
  o.equalize = Apply::kAuto;
  const PtqResult with = QuantizeAfterTraining(Network(300), Images(8), o);
  EXPECT_GT(with.error.sqnr_db, without + 3);
  ASSERT_EQ(with.steps.size(), 2u);
  EXPECT_TRUE(with.steps[1].kept);
  // The float network still computes the same.
  const Tensor x = Random({2, 3, 12, 12}, 77);
  const Tensor a = ir::RunReference(Network(300), {{"x", x}})[0];
  const Tensor b = ir::RunReference(with.float_graph, {{"x", x}})[0];
  for (int64_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.data<float>()[i], b.data<float>()[i], 1e-4f);
}

// The mean of every channel of every layer comes nearer to the float network's.
TEST(PostTraining, BiasCorrectionTakesTheShiftOut) {
  PtqOptions o = Plain();
  o.method = quant::CalibrationMethod::kPercentile;
  o.percentile = 95;  // clips hard: a large shift
  o.probe_images = 64;
  const PtqResult plain = QuantizeAfterTraining(Network(4), Images(16), o);
  o.correct_bias = Apply::kAuto;
  const PtqResult corrected = QuantizeAfterTraining(Network(4), Images(16), o);
  EXPECT_GT(corrected.error.sqnr_db, plain.error.sqnr_db);
  const Tensor x = Random({32, 3, 12, 12}, 1234);
  const auto shift = [&](const ir::Graph& quantized) {
    const Tensor want = ir::RunReference(Network(4), {{"x", x}}, {Network(4).Find("c")})[0];
    const Tensor got = ir::RunReference(quantized, {{"x", x}}, {quantized.Find("c")})[0];
    double total = 0;
    for (int c = 0; c < 16; ++c) {
      double sum = 0;
      for (int64_t n = 0; n < 32; ++n) {
        for (int64_t p = 0; p < 144; ++p) {
          const int64_t i = (n * 16 + c) * 144 + p;
          sum += got.data<float>()[i] - want.data<float>()[i];
        }
      }
      total += std::fabs(sum / (32 * 144));
    }
    return total;
  };
  EXPECT_LT(shift(corrected.quantized), 0.7 * shift(plain.quantized));
}

TEST(PostTraining, KeepsTheWorstLayersInFloat) {
  PtqOptions o = Plain();
  o.method = quant::CalibrationMethod::kMax;
  const PtqResult all = QuantizeAfterTraining(Network(300), Images(8), o);
  o.min_sqnr_db = all.error.sqnr_db + 6;
  const PtqResult some = QuantizeAfterTraining(Network(300), Images(8), o);
  ASSERT_FALSE(some.kept_fp32.empty());
  EXPECT_GE(some.error.sqnr_db, o.min_sqnr_db);
  EXPECT_LT(QuantizedLayers(some.quantized).size(), QuantizedLayers(all.quantized).size());
  // Sensitivity: one quantized layer alone is never worse than the whole network by much, and the order is told.
  const OutputMeter meter(all.float_graph, {Random({8, 3, 12, 12}, 9)}, "cpu", 1);
  const std::map<std::string, float> scales(all.scales.begin(), all.scales.end());
  const auto alone = MeasureSensitivity(all.float_graph, scales, {}, SensitivityMode::kQuantizeOne, meter);
  ASSERT_EQ(alone.size(), 3u);
  EXPECT_LE(alone[0].error.sqnr_db, alone[2].error.sqnr_db);
  EXPECT_GE(alone[0].error.sqnr_db, meter.Measure(all.quantized).sqnr_db - 1);
  o.keep_fp32 = {"a"};
  o.min_sqnr_db = -1;
  const PtqResult named = QuantizeAfterTraining(Network(1), Images(4), o);
  EXPECT_THAT(QuantizedLayers(named.quantized), testing::Not(Contains("a")));
}

// Operators that move values keep their input's scale.
TEST(PostTraining, PoolsShareTheScale) {
  const PtqResult r = QuantizeAfterTraining(Network(1), Images(4), Plain());
  const std::map<std::string, float> scales(r.scales.begin(), r.scales.end());
  EXPECT_EQ(scales.at("p"), scales.at("cr"));
}

// A network that never fires: scales of range 1, no zeros, no division by zero.
TEST(PostTraining, DeadTensorsAndChannels) {
  ir::Graph g = Network(1);
  g.set_constant(g.Find("a.bias"), Tensor::From<float>({8}, {-1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f, -1e4f}));
  Tensor w = g.value(g.Find("c.weight")).constant;
  for (int64_t i = 0; i < 8; ++i) w.mutable_data<float>()[i] = 0;
  g.set_constant(g.Find("c.weight"), w);
  const PtqResult r = QuantizeAfterTraining(g, Images(4), PtqOptions());
  const std::map<std::string, float> scales(r.scales.begin(), r.scales.end());
  EXPECT_EQ(scales.at("ar"), 1.0f / 127);
  EXPECT_EQ(r.quantized.value(r.quantized.Find("c.weight.scale")).constant.data<float>()[0], 1.0f / 127);
}

TEST(PostTraining, Errors) {
  const ir::Graph g = Network(1);
  EXPECT_THAT(ErrorOf(g, Images(0), Plain()), HasSubstr("no images"));
  ir::Graph nan = g;
  Tensor w = nan.value(nan.Find("b.weight")).constant;
  w.mutable_data<float>()[5] = NAN;
  nan.set_constant(nan.Find("b.weight"), w);
  EXPECT_THAT(ErrorOf(nan, Images(2), Plain()), HasSubstr("'b.weight'"));
  ir::Graph huge = g;
  w = huge.value(huge.Find("a.weight")).constant;
  for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] = 3e38f;
  huge.set_constant(huge.Find("a.weight"), w);
  EXPECT_THAT(ErrorOf(huge, Images(2), Plain()),
              HasSubstr("tensor 'a': calibration met an activation that is infinite"));
  PtqOptions o = Plain();
  o.keep_fp32 = {"nobody"};
  EXPECT_THAT(ErrorOf(g, Images(2), o), HasSubstr("no layer 'nobody'"));
  EXPECT_THAT(ErrorOf(QuantizeAfterTraining(g, Images(2), Plain()).quantized, Images(2), Plain()),
              HasSubstr("quantized already"));
}

// Ten times the images, the same memory.
TEST(PostTraining, MemoryDoesNotGrowWithTheImages) {
  const auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;  // KiB
  };
  PtqOptions o = Plain();
  o.method = quant::CalibrationMethod::kEntropy;
  o.probe_images = 8;
  QuantizeAfterTraining(Network(1), Images(20), o);
  const auto before = peak();
  const PtqResult r = QuantizeAfterTraining(Network(1), Images(250), o);
  EXPECT_EQ(r.images, 1000);  // 1.7 MB of pixels, 20 MB of activations
  EXPECT_EQ(r.probe_images, 8);
  EXPECT_LT(peak() - before, 2000);
}

}  // namespace
}  // namespace octet::task
