#include "quant/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/strings.h"

namespace octet::quant {
namespace {

struct Named {
  CalibrationMethod method;
  const char* name;
};
constexpr Named kMethods[] = {{CalibrationMethod::kMax, "max"},
                              {CalibrationMethod::kMovingAverage, "moving_average"},
                              {CalibrationMethod::kPercentile, "percentile"},
                              {CalibrationMethod::kMse, "mse"},
                              {CalibrationMethod::kEntropy, "entropy"},
                              {CalibrationMethod::kAuto, "auto"}};
constexpr int kLevels = 128;  // non-negative INT8 codes

}  // namespace

CalibrationMethod CalibrationMethodFromName(const std::string& name) {
  for (const Named& m : kMethods) {
    if (name == m.name) return m.method;
  }
  OCTET_FAIL("unknown calibration method '{}'; expected max, moving_average, percentile, mse, entropy or auto", name);
}

std::string NameOf(CalibrationMethod method) {
  return kMethods[static_cast<int>(method)].name;
}

void MovingAverage::Add(double x) {
  m_ = decay_ * m_ + (1.0 - decay_) * x;
  ++steps_;
}

double MovingAverage::value() const {
  return steps_ == 0 ? 0.0 : m_ / (1.0 - std::pow(decay_, static_cast<double>(steps_)));
}

void Histogram::WidenTo(double amax) {
  if (width_ == 0) {
    width_ = amax / kBins;
    return;
  }
  while (width_ * kBins < amax) {
    for (int i = 0; i < kBins / 2; ++i) counts_[i] = counts_[2 * i] + counts_[2 * i + 1];
    std::fill(counts_.begin() + kBins / 2, counts_.end(), 0);
    width_ *= 2;
  }
}

void Histogram::Add(const float* x, int64_t count) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(x[i]);
    finite = finite && magnitude <= std::numeric_limits<float>::max();  // false for NaN too
    largest = magnitude > largest ? magnitude : largest;
  }
  OCTET_REQUIRE(finite,
                "calibration met an activation that is infinite or NaN; check the weights, and that the images are "
                "preprocessed as the network was trained");
  amax_ = std::max(amax_, static_cast<double>(largest));
  largest_of_last_ = largest;
  total_ += count;
  if (largest > 0) WidenTo(largest);
  if (width_ == 0) {  // only zeros so far
    counts_[0] += count;
    return;
  }
  const double inverse = 1.0 / width_;
  for (int64_t i = 0; i < count; ++i) {
    const int bin = static_cast<int>(std::fabs(x[i]) * inverse);
    ++counts_[std::min(bin, kBins - 1)];
  }
}

double PercentileAmax(const Histogram& h, double percentile) {
  OCTET_REQUIRE(percentile > 0 && percentile <= 100, "percentile {} is not in (0, 100]", percentile);
  const double wanted = percentile / 100.0 * static_cast<double>(h.total());
  int64_t seen = 0;
  for (int i = 0; i < Histogram::kBins; ++i) {
    seen += h.counts()[i];
    if (static_cast<double>(seen) >= wanted) return std::min(h.amax(), (i + 1) * h.width());
  }
  return h.amax();
}

double SquaredError(const Histogram& h, double amax) {
  const double scale = amax / 127.0;
  double error = 0;
  for (int i = 0; i < Histogram::kBins; ++i) {
    if (h.counts()[i] == 0) continue;
    const double x = (i + 0.5) * h.width();
    const double q = scale > 0 ? std::min(127.0, std::nearbyint(x / scale)) * scale : 0;
    error += static_cast<double>(h.counts()[i]) * (x - q) * (x - q);
  }
  return error;
}

double MseAmax(const Histogram& h) {
  if (h.amax() == 0) return 0;
  double best = h.amax();
  double best_error = SquaredError(h, best);
  for (int bin = kLevels; bin < Histogram::kBins; ++bin) {
    const double amax = (bin + 0.5) * h.width();
    if (amax > h.amax()) break;
    const double error = SquaredError(h, amax);
    if (error < best_error) {
      best_error = error;
      best = amax;
    }
  }
  return best;
}

double EntropyAmax(const Histogram& h) {
  if (h.amax() == 0) return 0;
  // Bin 0 counts exact zeros and the smallest magnitudes; taking its neighbour's count keeps a ReLU's zeros from
  // deciding the range.
  std::vector<double> bins(h.counts().begin(), h.counts().end());
  bins[0] = bins[1];
  const int last = std::min(Histogram::kBins, static_cast<int>(std::ceil(h.amax() / h.width())));
  double total = 0;
  for (const double b : bins) total += b;
  if (last <= kLevels || total == 0) return h.amax();

  double best = std::numeric_limits<double>::infinity();
  int best_bins = last;
  double outliers = total;
  for (int i = 0; i < kLevels; ++i) outliers -= bins[i];
  for (int n = kLevels; n <= last; ++n) {
    // p: the first n bins, what lies beyond added to the last. q: p without it, in 128 levels, spread over p's
    // non-empty bins.
    double divergence = 0;
    double q_total = total - outliers;
    if (q_total > 0) {
      const double step = static_cast<double>(n) / kLevels;
      for (int level = 0; level < kLevels; ++level) {
        const int begin = static_cast<int>(std::floor(level * step));
        const int end = level == kLevels - 1 ? n : static_cast<int>(std::floor((level + 1) * step));
        double sum = 0;
        int filled = 0;
        for (int i = begin; i < end; ++i) {
          sum += bins[i];
          if (bins[i] > 0 || (i == n - 1 && outliers > 0)) ++filled;
        }
        for (int i = begin; i < end; ++i) {
          const double p = bins[i] + (i == n - 1 ? outliers : 0.0);
          if (p <= 0) continue;
          const double q = std::max(sum / filled, 1e-9 * q_total);
          divergence += p / total * std::log((p / total) / (q / q_total));
        }
      }
      if (divergence < best) {
        best = divergence;
        best_bins = n;
      }
    }
    if (n < last) outliers -= bins[n];
  }
  return std::min(h.amax(), (best_bins + 0.5) * h.width());
}

void Observer::Add(const float* x, int64_t count) {
  histogram_.Add(x, count);
  average_.Add(histogram_.largest_of_last());
  if (average_.steps() == 1 && count > 0) min_ = max_ = x[0];
  for (int64_t i = 0; i < count; ++i) {
    min_ = x[i] < min_ ? x[i] : min_;
    max_ = x[i] > max_ ? x[i] : max_;
  }
}

double Observer::Amax(CalibrationMethod method) const {
  switch (method) {
    case CalibrationMethod::kMax: return histogram_.amax();
    case CalibrationMethod::kMovingAverage: return average_.value();
    case CalibrationMethod::kPercentile: return PercentileAmax(histogram_, percentile_);
    case CalibrationMethod::kMse: return MseAmax(histogram_);
    case CalibrationMethod::kEntropy: return EntropyAmax(histogram_);
    case CalibrationMethod::kAuto: break;  // the least of the errors that the histogram knows
  }
  return MseAmax(histogram_);
}

}  // namespace octet::quant
