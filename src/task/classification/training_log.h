// A classification training epoch by epoch: a line on the terminal, and what task/epoch_log.h writes.
#pragma once

#include <cstdint>

#include "task/classification/score.h"
#include "task/epoch_log.h"

namespace octet::task::classification {

class TrainingLog {
 public:
  TrainingLog(report::RunReport& report, int64_t first_epoch, int64_t epochs);

  // `val` is null when the epoch was not validated.
  void Epoch(const train::EpochResult& result, const Score* val, double wait_fraction);

 private:
  EpochLog log_;
};

}  // namespace octet::task::classification
