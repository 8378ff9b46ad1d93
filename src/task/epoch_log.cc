#include "task/epoch_log.h"

#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"

namespace octet::task {
namespace {

// The rows of epochs up to `last` of an earlier run's file, header first.
std::string KeptRows(const std::string& path, const std::string& header, int64_t last) {
  std::string kept = header + "\n";
  if (last == 0 || !FileExists(path)) return kept;
  for (const std::string& row : Split(ReadFile(path), '\n')) {
    const int64_t epoch = std::atoll(row.c_str());  // 0: the header, or what is no row
    if (epoch >= 1 && epoch <= last) kept += row + "\n";
  }
  return kept;
}

}  // namespace

EpochLog::EpochLog(report::RunReport& report, const std::string& header, int64_t first_epoch, int64_t epochs)
    : report_(report),
      first_epoch_(first_epoch),
      epochs_(epochs),
      csv_(report.folder() + "/training.csv"),
      events_(report.folder() + "/tb_events"),
      clock_("", 0, "") {
  WriteFileAtomic(csv_, KeptRows(csv_, header, first_epoch));
  report_.OutputFile("training_csv", csv_);
  report_.OutputFile("tensorboard", events_.path());
}

void EpochLog::Epoch(const train::EpochResult& r, const std::string& row, double wait_fraction,
                     const std::map<std::string, double>& kpi) {
  const int64_t done = r.epoch + 1;
  const double rate = static_cast<double>(r.images) / r.seconds;
  AppendLine(csv_, row);
  events_.Scalar("train/loss", done, r.loss);
  events_.Scalar("train/learning_rate", done, r.learning_rate);
  events_.Scalar("train/images_per_second", done, rate);
  events_.Scalar("train/waited_for_images", done, wait_fraction);
  report_.TimingSeconds(fmt::format("epoch_{}", done), r.seconds);
  report_.Metric("images_per_second", rate);
  report_.Metric("waited_for_images", wait_fraction);
  const double per_epoch = clock_.seconds() / static_cast<double>(done - first_epoch_);
  report_.Running("Training loop in progress", kpi,
                  {{"epoch", static_cast<double>(done)},
                   {"max_epoch", static_cast<double>(epochs_)},
                   {"time_per_epoch", r.seconds},
                   {"learning_rate", r.learning_rate},
                   {"loss", r.loss},
                   {"eta", per_epoch * static_cast<double>(epochs_ - done)}});
}

}  // namespace octet::task
