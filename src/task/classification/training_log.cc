#include "task/classification/training_log.h"

#include "base/log.h"

namespace octet::task::classification {

TrainingLog::TrainingLog(report::RunReport& report, int64_t first_epoch, int64_t epochs)
    : log_(report, "epoch,loss,accuracy,learning_rate,val_loss,val_accuracy,seconds", first_epoch, epochs) {}

void TrainingLog::Epoch(const train::EpochResult& r, const Score* val, double wait_fraction) {
  const int64_t done = r.epoch + 1;
  const double accuracy = r.metrics.at("accuracy");
  LogInfo("epoch {}/{}: loss {:.4f}, accuracy {:.2f} %{}, lr {:.2e}, {:.0f} images/s", done, log_.epochs(), r.loss,
          100 * accuracy, val == nullptr ? "" : fmt::format(", val {:.2f} %", 100 * val->top1), r.learning_rate,
          static_cast<double>(r.images) / r.seconds);
  for (const auto& [name, value] : r.metrics) log_.events().Scalar("train/" + name, done, value);
  std::map<std::string, double> kpi = {{"loss", r.loss}, {"accuracy", accuracy}};
  if (val != nullptr) {
    log_.events().Scalar("val/loss", done, val->loss);
    log_.events().Scalar("val/accuracy", done, val->top1);
    kpi["val_loss"] = val->loss;
    kpi["val_accuracy"] = val->top1;
  }
  log_.Epoch(r,
             fmt::format("{},{:.6g},{:.6g},{:.6g},{},{},{:.3f}", done, r.loss, accuracy, r.learning_rate,
                         val == nullptr ? "" : fmt::format("{:.6g}", val->loss),
                         val == nullptr ? "" : fmt::format("{:.6g}", val->top1), r.seconds),
             wait_fraction, kpi);
}

}  // namespace octet::task::classification
