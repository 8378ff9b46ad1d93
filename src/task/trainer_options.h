// What the specs of all tasks say alike about training.
#pragma once

#include "spec/spec.h"
#include "train/trainer.h"

namespace octet::task {

// Epochs, seed, threads, average of weights, freezing, mixed precision; the rest stays as it is by default. `qat`: the
// network is quantized. Warns where a wish has no effect: train.amp on a CPU without bfloat16 or with QAT,
// quant.freeze_* without QAT or too late.
train::TrainerOptions CommonTrainerOptions(const spec::Spec& spec, bool qat);

// train.integer: whether the steps of this QAT run in integers (docs/integer_training.md); the log says what runs and
// why. Throws a user Error when it is `on` and they cannot.
bool UseIntegers(const spec::Spec& spec, const train::GraphModule& module, bool qat);

// AVX512-BF16 or AMX. OCTET_FORCE_BF16=1 in the environment says yes on any CPU (LibTorch then emulates it, slowly).
bool CpuHasBf16();

}  // namespace octet::task
