// Range observers: what a tensor's values say about the range [-amax, amax] that INT8 should cover.
//
// All of them stream: memory does not grow with the number of batches. The histogram keeps |x| in 2048 bins and widens
// by whole powers of two when a larger value comes (merging bins, so that earlier counts stay exact per merged bin).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::quant {

enum class CalibrationMethod { kMax, kMovingAverage, kPercentile, kMse, kEntropy };
CalibrationMethod CalibrationMethodFromName(const std::string& name);  // user Error lists the names
std::string NameOf(CalibrationMethod method);

// m <- decay * m + (1 - decay) * x, started at 0 and corrected for it: value = m / (1 - decay^t) (as Adam does).
class MovingAverage {
 public:
  explicit MovingAverage(double decay = 0.999) : decay_(decay) {}
  MovingAverage(double decay, double m, int64_t steps) : decay_(decay), m_(m), steps_(steps) {}
  void Add(double x);
  double value() const;  // 0 before the first Add
  double raw() const { return m_; }
  int64_t steps() const { return steps_; }

 private:
  double decay_;
  double m_ = 0;
  int64_t steps_ = 0;
};

class Histogram {
 public:
  static constexpr int kBins = 2048;
  void Add(const float* x, int64_t count);
  double amax() const { return amax_; }    // exact largest magnitude seen
  double width() const { return width_; }  // of one bin
  int64_t total() const { return total_; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  void WidenTo(double amax);
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins, 0);
  double width_ = 0;
  double amax_ = 0;
  int64_t total_ = 0;
};

// The smallest range that holds `percentile` percent of all magnitudes (99.99).
double PercentileAmax(const Histogram& h, double percentile);
// The range whose INT8 rounding and clipping error, summed over the bins, is least.
double MseAmax(const Histogram& h);
// TensorRT's entropy calibration (tensorrt.md; the published 2017 description): over ranges of i = 128 .. 2048 bins,
// the one whose 128-level quantized distribution has the least Kullback-Leibler divergence from the clipped one.
double EntropyAmax(const Histogram& h);

// One tensor's observer during calibration.
class Observer {
 public:
  explicit Observer(CalibrationMethod method, double percentile = 99.99) : method_(method), percentile_(percentile) {}
  void Add(const float* x, int64_t count);  // one batch
  double Amax() const;
  double largest() const { return histogram_.amax(); }

 private:
  CalibrationMethod method_;
  double percentile_;
  Histogram histogram_;
  MovingAverage average_;
};

}  // namespace octet::quant
