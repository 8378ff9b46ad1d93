// Learning rate as a function of progress, with TAO's names (reference: TAO classification_tf2, lr_config).
// p = step / total_steps.
//   cosine:      p < soft_start: linear from base * min_lr_ratio to base; then
//                min + (base - min) * (1 + cos(pi * (p - soft_start))) / 2, min = base * min_lr_ratio. As in TAO the
//                cosine is not stretched by 1 / (1 - soft_start): it ends a little above min.
//   soft_anneal: p < soft_start: linear from 3e-4 to base; then base / divider^(annealing points passed)
//   step:        base * gamma^(step / floor(total_steps * step_size / 100)), continuous exponent
//   constant:    base
// and, as TAO's efficientdet_tf2 has them:
//   warmup_cosine:       linear from warmup_init to base over warmup_steps, then base (1 + cos(pi t)) / 2, t from 0 to
//   1 warmup_soft_anneal:  the same ends, the logarithm of the rate linear; base until annealing_start, then back down
//   to
//                        warmup_init
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::train {

struct ScheduleOptions {
  std::string scheduler = "cosine";
  double learning_rate = 0.05;
  double soft_start = 0.05;  // fraction of training
  double min_lr_ratio = 0.00003;
  std::vector<double> annealing_points = {0.33, 0.66, 0.88};
  double annealing_divider = 10;
  double gamma = 0.000015;
  double step_size = 10;  // percent of all steps
  int64_t warmup_steps = 0;
  double warmup_init = 1e-4;
  double annealing_start = 1;  // fraction of training
};

class Schedule {
 public:
  // Throws a user Error on an unknown scheduler, learning_rate <= 0, soft_start outside [0,1), ...
  Schedule(ScheduleOptions options, int64_t total_steps);
  double At(int64_t step) const;

 private:
  double WithWarmUp(int64_t step) const;

  ScheduleOptions options_;
  int64_t total_steps_;
};

}  // namespace octet::train
