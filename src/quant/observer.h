// Range observers: what a tensor's values say about the range [-amax, amax] that INT8 should cover.
//
// All of them stream: memory does not grow with the number of batches. The histogram keeps |x| in 2048 bins and widens
// by whole powers of two when a larger value comes (merging bins, so that earlier counts stay exact per merged bin).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::quant {

// kAuto: the one of the others with the least measured error. An Observer by itself measures the tensor's own rounding
// and clipping (MSE); task/choose_ranges.h measures what reads the tensor.
enum class CalibrationMethod { kMax, kMovingAverage, kPercentile, kMse, kEntropy, kAuto };
constexpr CalibrationMethod kRangeMethods[] = {CalibrationMethod::kMax, CalibrationMethod::kMovingAverage,
                                               CalibrationMethod::kPercentile, CalibrationMethod::kMse,
                                               CalibrationMethod::kEntropy};
CalibrationMethod CalibrationMethodFromName(const std::string& name);  // user Error lists the names
std::string NameOf(CalibrationMethod method);

// m <- decay * m + (1 - decay) * x, started at 0 and corrected for it: value = m / (1 - decay^t) (as Adam does).
class MovingAverage {
 public:
  explicit MovingAverage(double decay = 0.999) : decay_(decay) {}
  MovingAverage(double decay, double m, int64_t steps) : decay_(decay), m_(m), steps_(steps) {}
  // As if `value` had been added in each of so many steps.
  static MovingAverage After(double value, int64_t steps) {
    MovingAverage average;
    for (int64_t i = 0; i < steps; ++i) average.Add(value);
    return average;
  }
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
  double amax() const { return amax_; }                        // exact largest magnitude seen
  double largest_of_last() const { return largest_of_last_; }  // of the last Add
  double width() const { return width_; }                      // of one bin
  int64_t total() const { return total_; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  void WidenTo(double amax);
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins, 0);
  double width_ = 0;
  double amax_ = 0;
  double largest_of_last_ = 0;
  int64_t total_ = 0;
};

// The smallest range that holds `percentile` percent of all magnitudes (99.99).
double PercentileAmax(const Histogram& h, double percentile);
// The range whose INT8 rounding and clipping error, summed over the bins, is least: of the centres of bins 128 .. 2047
// (pytorch-quantization's candidates) and the largest magnitude itself.
double MseAmax(const Histogram& h);
// The sum that MseAmax minimises: count * (centre - code * amax / 127)^2 over the bins.
double SquaredError(const Histogram& h, double amax);
// TensorRT's entropy calibration (tensorrt.md; the published 2017 description): over ranges of i = 128 .. 2048 bins,
// the one whose 128-level quantized distribution has the least Kullback-Leibler divergence from the clipped one.
double EntropyAmax(const Histogram& h);

// One tensor's observer during calibration: one pass serves every method.
class Observer {
 public:
  explicit Observer(CalibrationMethod method, double percentile = 99.99) : method_(method), percentile_(percentile) {}
  // One batch. Throws a user Error when a value is NaN or infinite.
  void Add(const float* x, int64_t count);
  double Amax() const { return Amax(method_); }
  double Amax(CalibrationMethod method) const;
  double largest() const { return histogram_.amax(); }
  float min() const { return min_; }  // 0 before the first batch
  float max() const { return max_; }
  const Histogram& histogram() const { return histogram_; }

 private:
  CalibrationMethod method_;
  double percentile_;
  Histogram histogram_;
  MovingAverage average_;
  float min_ = 0, max_ = 0;
};

}  // namespace octet::quant
