#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "quant/observer.h"
#include "quant/quantize.h"

namespace octet::quant {
namespace {

TEST(Quantize, RoundsHalfToEvenAndClamps) {
  const float s = 0.5f;
  EXPECT_EQ(QuantizeToS8(0.25f, s), 0);  // 0.5 -> 0
  EXPECT_EQ(QuantizeToS8(0.75f, s), 2);  // 1.5 -> 2
  EXPECT_EQ(QuantizeToS8(-0.25f, s), 0);
  EXPECT_EQ(QuantizeToS8(-0.75f, s), -2);
  EXPECT_EQ(QuantizeToS8(1e9f, s), 127);
  EXPECT_EQ(QuantizeToS8(-1e9f, s), -128);
  EXPECT_EQ(QuantizeWeightToS8(-1e9f, s), -127);
  EXPECT_EQ(QuantizeWeightTiesUp(0.25f, s), 1);
  EXPECT_EQ(QuantizeWeightTiesUp(-0.25f, s), 0);
  EXPECT_EQ(QuantizeWeightTiesUp(-0.75f, s), -1);
}

TEST(Quantize, DeadTensorGetsTheScaleOfOne) {
  EXPECT_EQ(ScaleOfAmax(0.0f), 1.0f / 127.0f);
  EXPECT_EQ(ScaleOfAmax(6.0f), 6.0f / 127.0f);
}

TEST(Quantize, EveryCodeSurvivesDequantizeAndQuantize) {
  std::mt19937 rng(1);
  std::uniform_real_distribution<float> amax(1e-4f, 50.0f);
  for (int i = 0; i < 1000; ++i) {
    const float s = ScaleOfAmax(amax(rng));
    for (int q = -127; q <= 127; ++q) {
      const float x = Dequantize(static_cast<int8_t>(q), s);
      ASSERT_EQ(QuantizeToS8(x, s), q);
      ASSERT_EQ(QuantizeWeightTiesUp(x, s), q);
    }
  }
}

TEST(Quantize, WeightPerChannel) {
  const Tensor w = Tensor::From<float>({2, 3}, {1, -2, 0.5, 10, 5, -20});
  EXPECT_THAT(AmaxPerChannel(w, 0), testing::ElementsAre(2, 20));
  EXPECT_THAT(AmaxPerChannel(w, 1), testing::ElementsAre(10, 5, 20));
  const std::vector<float> scales = {2.0f / 127, 20.0f / 127};
  const Tensor q = QuantizeWeight(w, scales, 0);
  EXPECT_THAT(q.ToVector<int32_t>(), testing::ElementsAre(64, -127, 32, 64, 32, -127));
  EXPECT_EQ(QuantizeWeight(DequantizeWeight(q, scales, 0), scales, 0), q);
}

TEST(MovingAverage, IsCorrectedForItsStart) {
  MovingAverage m(0.999);
  EXPECT_EQ(m.value(), 0);
  m.Add(3);
  EXPECT_NEAR(m.value(), 3, 1e-12);
  m.Add(5);
  EXPECT_NEAR(m.value(), (0.999 * 0.001 * 3 + 0.001 * 5) / (1 - 0.999 * 0.999), 1e-12);
  for (int i = 0; i < 20000; ++i) m.Add(7);
  EXPECT_NEAR(m.value(), 7, 1e-6);
}

TEST(Histogram, CountsDoNotDependOnBatchSplitOnceWide) {
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(10000);
  for (float& v : x) v = normal(rng);
  Histogram whole;
  whole.Add(x.data(), 10000);
  EXPECT_EQ(whole.total(), 10000);
  Histogram split;
  for (int i = 0; i < 10; ++i) split.Add(x.data() + 1000 * i, 1000);
  EXPECT_EQ(split.total(), 10000);
  EXPECT_EQ(split.amax(), whole.amax());
  EXPECT_NEAR(PercentileAmax(split, 99), PercentileAmax(whole, 99), 2 * split.width());
}

TEST(Calibration, PercentileOfAUniformDistribution) {
  std::vector<float> x(100000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 100000.0f;
  Histogram h;
  h.Add(x.data(), static_cast<int64_t>(x.size()));
  EXPECT_NEAR(PercentileAmax(h, 90), 0.9, 1e-3);
  EXPECT_NEAR(PercentileAmax(h, 100), h.amax(), 1e-9);
}

// Direct search over the samples themselves.
double BruteForceMse(const std::vector<float>& x, double amax) {
  const double s = amax / 127;
  double e = 0;
  for (const float v : x) {
    const double q = std::min(127.0, std::max(-127.0, std::nearbyint(v / s)));
    e += (v - q * s) * (v - q * s);
  }
  return e;
}

TEST(Calibration, MseIsNearTheBruteForceOptimum) {
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(50000);
  for (float& v : x) v = normal(rng);
  x[0] = 12.0f;  // one outlier
  Histogram h;
  h.Add(x.data(), static_cast<int64_t>(x.size()));
  const double found = MseAmax(h);
  double best = 1e30;
  for (int i = 10; i <= 100; ++i) best = std::min(best, BruteForceMse(x, 12.0 * i / 100));
  EXPECT_LE(BruteForceMse(x, found), best * 1.05);
  EXPECT_LT(found, 12.0);
}

TEST(Calibration, EntropyClipsOutliersAndKeepsAUniformDistribution) {
  std::mt19937 rng(4);
  std::normal_distribution<float> normal;
  std::vector<float> x(200000);
  for (float& v : x) v = normal(rng);
  x[0] = 40.0f;
  Histogram h;
  h.Add(x.data(), static_cast<int64_t>(x.size()));
  EXPECT_LT(EntropyAmax(h), 10.0);
  EXPECT_GT(EntropyAmax(h), 2.0);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (float& v : x) v = uniform(rng);
  Histogram u;
  u.Add(x.data(), static_cast<int64_t>(x.size()));
  EXPECT_NEAR(EntropyAmax(u), 1.0, 0.02);
}

// Distributions as layers make them: half of a normal (ReLU), Laplace with rare peaks, uniform, two clusters.
std::vector<std::vector<float>> Distributions() {
  std::mt19937 rng(11);
  std::normal_distribution<float> normal;
  std::exponential_distribution<float> exponential(2.0f);
  std::uniform_real_distribution<float> uniform(-3, 3);
  std::vector<std::vector<float>> all(4, std::vector<float>(20000));
  for (size_t i = 0; i < 20000; ++i) {
    all[0][i] = std::max(0.0f, normal(rng));
    all[1][i] = (i % 2 == 0 ? 1.0f : -1.0f) * exponential(rng) * (i % 5000 == 0 ? 6.0f : 1.0f);
    all[2][i] = uniform(rng);
    all[3][i] = i % 10 == 0 ? 5.0f + 0.1f * normal(rng) : 0.2f * normal(rng);
  }
  return all;
}

// By sorting: the smallest magnitude that `percent` of all do not exceed, up to a bin.
TEST(BruteForce, Percentile) {
  for (std::vector<float> x : Distributions()) {
    Histogram h;
    h.Add(x.data(), static_cast<int64_t>(x.size()));
    for (float& v : x) v = std::fabs(v);
    std::sort(x.begin(), x.end());
    for (const double percent : {50.0, 90.0, 99.0, 99.9, 100.0}) {
      const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(x.size())));
      EXPECT_NEAR(PercentileAmax(h, percent), x[rank - 1], h.width() * 1.001) << percent;
    }
  }
}

// Every range from 128 bins on, in steps of half a bin, on the samples themselves.
TEST(BruteForce, Mse) {
  for (const std::vector<float>& x : Distributions()) {
    Histogram h;
    h.Add(x.data(), static_cast<int64_t>(x.size()));
    double best = BruteForceMse(x, h.amax());
    for (double bins = 128; bins < 2048; bins += 16) best = std::min(best, BruteForceMse(x, bins * h.width()));
    EXPECT_LE(BruteForceMse(x, MseAmax(h)), best * 1.02);
    // The histogram's own measure follows the samples'.
    EXPECT_NEAR(SquaredError(h, h.amax()), BruteForceMse(x, h.amax()), 0.03 * BruteForceMse(x, h.amax()));
  }
}

// TensorRT's published steps, written down one by one: for every i, P = the first i bins and the rest in the last, Q =
// the first i bins in 128 groups spread over their non-empty bins; the i with the least sum of P log(P / Q).
double NaiveEntropyAmax(const Histogram& h) {
  std::vector<double> bins(h.counts().begin(), h.counts().end());
  bins[0] = bins[1];
  const int used = std::min(2048, static_cast<int>(std::ceil(h.amax() / h.width())));
  double best = 1e300;
  int best_i = used;
  for (int i = 128; i <= used; ++i) {
    std::vector<double> p(bins.begin(), bins.begin() + i), q(i, 0.0);
    for (int k = i; k < 2048; ++k) p[i - 1] += bins[k];
    for (int group = 0; group < 128; ++group) {
      const int begin = static_cast<int>(std::floor(group * (i / 128.0)));
      const int end = group == 127 ? i : static_cast<int>(std::floor((group + 1) * (i / 128.0)));
      double sum = 0;
      int filled = 0;
      for (int k = begin; k < end; ++k) {
        sum += bins[k];
        filled += p[k] > 0 ? 1 : 0;
      }
      for (int k = begin; k < end; ++k) q[k] = p[k] > 0 ? sum / filled : 0;
    }
    double p_sum = 0, q_sum = 0, divergence = 0;
    for (int k = 0; k < i; ++k) p_sum += p[k], q_sum += q[k];
    if (q_sum == 0) continue;
    for (int k = 0; k < i; ++k) {
      if (p[k] > 0) divergence += p[k] / p_sum * std::log(p[k] / p_sum / std::max(q[k] / q_sum, 1e-9));
    }
    if (divergence < best) best = divergence, best_i = i;
  }
  return std::min(h.amax(), (best_i + 0.5) * h.width());
}

TEST(BruteForce, Entropy) {
  for (const std::vector<float>& x : Distributions()) {
    Histogram h;
    h.Add(x.data(), static_cast<int64_t>(x.size()));
    EXPECT_NEAR(EntropyAmax(h), NaiveEntropyAmax(h), 1e-9);
  }
}

// Without anything that reads the tensor, `auto` is the proposal with the least error of the tensor itself.
TEST(Calibration, AutoHasTheLeastError) {
  for (const std::vector<float>& x : Distributions()) {
    Observer o(CalibrationMethod::kAuto);
    o.Add(x.data(), static_cast<int64_t>(x.size()));
    for (const CalibrationMethod method : kRangeMethods) {
      EXPECT_LE(SquaredError(o.histogram(), o.Amax()), SquaredError(o.histogram(), o.Amax(method)) + 1e-9);
    }
    EXPECT_EQ(o.min(), *std::min_element(x.begin(), x.end()));
    EXPECT_EQ(o.max(), *std::max_element(x.begin(), x.end()));
  }
}

TEST(Calibration, InfinityAndNanAreErrors) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    const std::vector<float> x = {1, bad, 2};
    try {
      Observer(CalibrationMethod::kMax).Add(x.data(), 3);
      FAIL() << bad;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("infinite or NaN"));
    }
  }
}

TEST(Calibration, DeadTensor) {
  const std::vector<float> zeros(100, 0.0f);
  for (const char* name : {"max", "moving_average", "percentile", "mse", "entropy", "auto"}) {
    Observer o(CalibrationMethodFromName(name));
    o.Add(zeros.data(), 100);
    EXPECT_EQ(o.Amax(), 0.0) << name;
  }
}

TEST(Calibration, UnknownMethodNamesTheOthers) {
  try {
    CalibrationMethodFromName("kl");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("expected max, moving_average, percentile, mse, entropy or auto"));
  }
}

}  // namespace
}  // namespace octet::quant
