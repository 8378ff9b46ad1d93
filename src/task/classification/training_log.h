// What a training leaves behind epoch by epoch: a line on the terminal, a row of training.csv, a RUNNING line of
// status.json, and scalars for TensorBoard in tb_events/.
#pragma once

#include <cstdint>
#include <string>

#include "base/progress.h"
#include "report/event_file.h"
#include "report/run_report.h"
#include "task/classification/score.h"
#include "train/trainer.h"

namespace octet::task::classification {

class TrainingLog {
 public:
  // `first_epoch` epochs are done already: a training from the start begins training.csv anew, a resumed one keeps the
  // rows of the epochs that its checkpoint has behind it (a killed run may have written more).
  TrainingLog(report::RunReport& report, int64_t first_epoch, int64_t epochs);

  // `val` is null when the epoch was not validated. `wait_fraction`: of the epoch's time, the share that the step
  // waited for images.
  void Epoch(const train::EpochResult& result, const Score* val, double wait_fraction);

 private:
  report::RunReport& report_;
  int64_t first_epoch_;
  int64_t epochs_;
  std::string csv_;
  report::EventFile events_;
  Progress clock_;
};

}  // namespace octet::task::classification
