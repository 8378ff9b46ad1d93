#include "task/classification/training_log.h"

#include <cstdlib>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace octet::task::classification {
namespace {

constexpr char kHeader[] = "epoch,loss,accuracy,learning_rate,val_loss,val_accuracy,seconds";

// The rows of epochs up to `last` of an earlier run's file, header first.
std::string KeptRows(const std::string& path, int64_t last) {
  std::string kept = std::string(kHeader) + "\n";
  if (last == 0 || !FileExists(path)) return kept;
  for (const std::string& row : Split(ReadFile(path), '\n')) {
    const int64_t epoch = std::atoll(row.c_str());  // 0: the header, or what is no row
    if (epoch >= 1 && epoch <= last) kept += row + "\n";
  }
  return kept;
}

}  // namespace

TrainingLog::TrainingLog(report::RunReport& report, int64_t first_epoch, int64_t epochs)
    : report_(report),
      first_epoch_(first_epoch),
      epochs_(epochs),
      csv_(report.folder() + "/training.csv"),
      events_(report.folder() + "/tb_events"),
      clock_("", 0, "") {
  WriteFileAtomic(csv_, KeptRows(csv_, first_epoch));
  report_.OutputFile("training_csv", csv_);
  report_.OutputFile("tensorboard", events_.path());
}

void TrainingLog::Epoch(const train::EpochResult& r, const Score* val, double wait_fraction) {
  const int64_t done = r.epoch + 1;
  const double accuracy = r.metrics.at("accuracy");
  const double rate = static_cast<double>(r.images) / r.seconds;
  LogInfo("epoch {}/{}: loss {:.4f}, accuracy {:.2f} %{}, lr {:.2e}, {:.0f} images/s", done, epochs_, r.loss,
          100 * accuracy, val == nullptr ? "" : fmt::format(", val {:.2f} %", 100 * val->top1), r.learning_rate, rate);
  AppendLine(csv_, fmt::format("{},{:.6g},{:.6g},{:.6g},{},{},{:.3f}", done, r.loss, accuracy, r.learning_rate,
                               val == nullptr ? "" : fmt::format("{:.6g}", val->loss),
                               val == nullptr ? "" : fmt::format("{:.6g}", val->top1), r.seconds));
  events_.Scalar("train/loss", done, r.loss);
  events_.Scalar("train/accuracy", done, accuracy);
  events_.Scalar("train/learning_rate", done, r.learning_rate);
  events_.Scalar("train/images_per_second", done, rate);
  events_.Scalar("train/waited_for_images", done, wait_fraction);
  std::map<std::string, double> kpi = {{"loss", r.loss}, {"accuracy", accuracy}};
  if (val != nullptr) {
    events_.Scalar("val/loss", done, val->loss);
    events_.Scalar("val/accuracy", done, val->top1);
    kpi["val_loss"] = val->loss;
    kpi["val_accuracy"] = val->top1;
  }
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

}  // namespace octet::task::classification
