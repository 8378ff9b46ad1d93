#include "train/schedule.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace octet::train {
namespace {
constexpr double kPi = 3.14159265358979323846;
constexpr double kSoftAnnealStart = 3e-4;
}  // namespace

Schedule::Schedule(ScheduleOptions options, int64_t total_steps)
    : options_(std::move(options)), total_steps_(std::max<int64_t>(1, total_steps)) {
  const ScheduleOptions& o = options_;
  OCTET_REQUIRE(o.scheduler == "cosine" || o.scheduler == "soft_anneal" || o.scheduler == "step" ||
                    o.scheduler == "constant" || o.scheduler == "warmup_cosine" || o.scheduler == "warmup_soft_anneal",
                "lr_config.scheduler '{}'; expected cosine, soft_anneal, step or constant", o.scheduler);
  OCTET_REQUIRE(std::isfinite(o.learning_rate) && o.learning_rate > 0,
                "lr_config.learning_rate is {}; expected a number above 0", o.learning_rate);
  OCTET_REQUIRE(o.soft_start >= 0 && o.soft_start < 1, "lr_config.soft_start is {}; expected a fraction in [0, 1)",
                o.soft_start);
  OCTET_REQUIRE(o.min_lr_ratio >= 0 && o.min_lr_ratio <= 1, "lr_config.min_lr_ratio is {}; expected 0 to 1",
                o.min_lr_ratio);
  OCTET_REQUIRE(o.warmup_steps >= 0 && o.warmup_init > 0, "warm-up: {} steps from {}; expected a number above 0",
                o.warmup_steps, o.warmup_init);
  OCTET_REQUIRE(o.annealing_divider > 0, "lr_config.annealing_divider is {}; expected a number above 0",
                o.annealing_divider);
  OCTET_REQUIRE(o.gamma > 0, "lr_config.gamma is {}; expected a number above 0", o.gamma);
  OCTET_REQUIRE(o.step_size > 0 && o.step_size <= 100, "lr_config.step_size is {}; expected a percentage", o.step_size);
}

double Schedule::WithWarmUp(int64_t step) const {
  const ScheduleOptions& o = options_;
  const double at = static_cast<double>(std::min(step, total_steps_));
  const double total = static_cast<double>(total_steps_);
  const auto blend = [&](double part) {  // in the logarithm
    return o.warmup_init * std::pow(o.learning_rate / o.warmup_init, part);
  };
  const bool cosine = o.scheduler == "warmup_cosine";
  if (step < o.warmup_steps) {
    const double part = at / static_cast<double>(o.warmup_steps);
    return cosine ? o.warmup_init + (o.learning_rate - o.warmup_init) * part : blend(part);
  }
  if (cosine) {
    const double rest = std::max(1.0, total - static_cast<double>(o.warmup_steps));
    return o.learning_rate * (1 + std::cos(kPi * (at - static_cast<double>(o.warmup_steps)) / rest)) / 2;
  }
  const double begin = o.annealing_start * total;
  return at <= begin || begin >= total ? o.learning_rate : blend(1 - (at - begin) / (total - begin));
}

double Schedule::At(int64_t step) const {
  const ScheduleOptions& o = options_;
  if (o.scheduler == "warmup_cosine" || o.scheduler == "warmup_soft_anneal") return WithWarmUp(step);
  const double base = o.learning_rate;
  const double p = std::min(1.0, static_cast<double>(step) / static_cast<double>(total_steps_));
  if (o.scheduler == "constant") return base;
  if (o.scheduler == "step") {
    const double period = std::max(1.0, std::floor(static_cast<double>(total_steps_) * o.step_size / 100));
    return base * std::pow(o.gamma, static_cast<double>(step) / period);
  }
  const bool cosine = o.scheduler == "cosine";
  const double low = base * o.min_lr_ratio;
  if (p < o.soft_start) {
    const double from = cosine ? low : kSoftAnnealStart;
    return from + (base - from) * p / o.soft_start;
  }
  if (cosine) return low + (base - low) * (1 + std::cos(kPi * (p - o.soft_start))) / 2;
  double lr = base;
  for (const double point : o.annealing_points) {
    if (p >= point) lr /= o.annealing_divider;
  }
  return lr;
}

}  // namespace octet::train
