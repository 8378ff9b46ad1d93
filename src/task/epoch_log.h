// What a training of any task leaves behind epoch by epoch: a row of training.csv, scalars for TensorBoard in
// tb_events/, a RUNNING line of status.json.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/progress.h"
#include "report/event_file.h"
#include "report/run_report.h"
#include "train/trainer.h"

namespace octet::task {

class EpochLog {
 public:
  // `first_epoch` epochs are done already: a training from the start begins training.csv anew, a resumed one keeps the
  // rows of the epochs that its checkpoint has behind it (a killed run may have written more). `header` is the csv's
  // first line; its first column is the epoch.
  EpochLog(report::RunReport& report, const std::string& header, int64_t first_epoch, int64_t epochs);

  int64_t epochs() const { return epochs_; }
  report::EventFile& events() { return events_; }

  // The row (without a line end), what all tasks tell TensorBoard and the report, and the status line with `kpi`.
  // `wait_fraction`: of the epoch's time, the share that the step waited for images.
  void Epoch(const train::EpochResult& result, const std::string& row, double wait_fraction,
             const std::map<std::string, double>& kpi);

 private:
  report::RunReport& report_;
  int64_t first_epoch_;
  int64_t epochs_;
  std::string csv_;
  report::EventFile events_;
  Progress clock_;
};

}  // namespace octet::task
