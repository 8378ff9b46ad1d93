// The training loop of every task: one epoch over a source of batches, and everything that must be saved so that a
// killed run, resumed, ends with the weights of one that was never killed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/model_file.h"
#include "train/graph_module.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace octet::train {

struct Batch {
  std::vector<Tensor> inputs;   // in the order of the graph's inputs; f32 images [N,C,H,W]
  std::vector<Tensor> targets;  // what the loss reads; labels s64 [N] or probabilities f32 [N,K]
  int64_t size = 0;             // images
};

// Fills the next batch of the epoch; false at its end.
using BatchSource = std::function<bool(Batch& batch)>;

struct TrainerOptions {
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  int64_t epochs = 1;
  int64_t steps_per_epoch = 1;
  int64_t images_per_epoch = 0;  // for the progress bar; 0 = steps are counted
  uint64_t seed = 42;
  int threads = 0;  // of LibTorch; 0 = all cores
  // > 0: an average of the weights is kept (weight_average.h); Save and CurrentGraph give it instead of the weights.
  double moving_average_decay = 0;
  // Epochs after which statistics stay as they are, so that the last epochs train against a network that no longer
  // moves; 0: never. Running statistics of batch normalization (then used in training, too); ranges of observers.
  int64_t freeze_bn_epoch = 0;
  int64_t freeze_observer_epoch = 0;
  bool bf16 = false;     // convolutions and matrix products compute in bfloat16
  bool integer = false;  // GraphModule::SetInteger
};

struct StepResult {
  double loss = 0;
  std::map<std::string, double> metrics;  // sums over the batch
  double learning_rate = 0;
};

struct EpochResult {
  int64_t epoch = 0;                      // from 0
  double loss = 0;                        // mean over images
  std::map<std::string, double> metrics;  // means over images
  double learning_rate = 0;               // of the last step
  int64_t images = 0;
  double seconds = 0;
};

class Trainer {
 public:
  // `module` must outlive this.
  Trainer(GraphModule& module, Loss loss, TrainerOptions options);
  ~Trainer();

  // Forward, backward, update. Throws a user Error when the loss is not finite.
  StepResult Step(const Batch& batch);

  // All batches of the current epoch with a progress bar; the epoch counter then moves on. `after_step` (may be empty)
  // sees each step.
  using AfterStep = std::function<void(const StepResult& result)>;
  EpochResult TrainEpoch(const BatchSource& source, const AfterStep& after_step = {});

  int64_t epoch() const;  // the one to train next, from 0
  int64_t step() const;   // steps done since the start of training
  const Schedule& schedule() const;

  // What training has made of the graph: with its weights, or with their moving average.
  ir::Graph CurrentGraph() const;
  // Checkpoint: CurrentGraph, and the state of observers, optimizer and trainer.
  void Save(ir::Model& model) const;
  // Restores `state` of a model whose graph the module was made from. Throws a user Error when it does not fit.
  void Restore(const ir::Model& model);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::train
