#include "task/trainer_options.h"

#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "task/run.h"

namespace octet::task {
namespace {

bool UseBf16(const spec::Spec& spec, bool qat) {
  if (!spec.GetBool("train.amp")) return false;
  if (qat) {
    LogWarning(
        "train.amp ({}): QAT trains in FP32, because bfloat16 would round its INT8 operands a second time; amp is not "
        "used",
        spec.Where("train.amp"));
    return false;
  }
  if (StartsWith(spec.GetString("device"), "cuda") || CpuHasBf16()) return true;
  LogWarning("train.amp ({}): this CPU has neither AVX512-BF16 nor AMX; training runs in FP32",
             spec.Where("train.amp"));
  return false;
}

// quant.freeze_*: 0 and -1 mean never.
int64_t FreezeEpoch(const spec::Spec& spec, const std::string& key, bool qat) {
  const int64_t epoch = std::max<int64_t>(0, spec.GetInt(key));
  if (epoch == 0) return 0;
  if (!qat) {
    LogWarning("{} ({}) is for QAT; this training is in FP32, so it is not used", key, spec.Where(key));
    return 0;
  }
  if (epoch >= spec.GetInt("train.num_epochs")) {
    LogWarning("{} is {} ({}), but there are only {} epochs: nothing freezes", key, epoch, spec.Where(key),
               spec.GetInt("train.num_epochs"));
  }
  return epoch;
}

}  // namespace

train::TrainerOptions CommonTrainerOptions(const spec::Spec& spec, bool qat) {
  train::TrainerOptions o;
  o.epochs = spec.GetInt("train.num_epochs");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.threads = ComputeThreads(spec);
  o.moving_average_decay = spec.GetFloat("train.moving_average_decay");
  o.freeze_bn_epoch = FreezeEpoch(spec, "quant.freeze_bn_epoch", qat);
  o.freeze_observer_epoch = FreezeEpoch(spec, "quant.freeze_observer_epoch", qat);
  o.bf16 = UseBf16(spec, qat);
  return o;
}

bool UseIntegers(const spec::Spec& spec, const train::GraphModule& module, bool qat) {
  const std::string wish = spec.GetString("train.integer");
  if (!qat || wish == "off") {
    if (qat) LogInfo("QAT in FP32 with simulated rounding: train.integer is off");
    if (!qat && wish == "on") {
      LogWarning("train.integer ({}) is for QAT; this training is in FP32, so it is not used",
                 spec.Where("train.integer"));
    }
    return false;
  }
  const train::GraphModule::IntegerReport report = module.IntegerTraining();
  OCTET_REQUIRE(report.usable || wish != "on",
                "train.integer ({}) is on, but {}; set it to auto to train with simulated rounding",
                spec.Where("train.integer"), report.summary);
  LogInfo("{}: {}", report.usable ? "QAT in integers" : "QAT in FP32 with simulated rounding", report.summary);
  return report.usable;
}

bool CpuHasBf16() {
  const char* forced = std::getenv("OCTET_FORCE_BF16");
  if (forced != nullptr && std::string(forced) == "1") return true;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;  // every CPU with AMX has it
#else
  return false;
#endif
}

}  // namespace octet::task
