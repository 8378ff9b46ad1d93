// The machinery behind the loaders: worker threads that make the samples of coming batches, in any order, into a ring
// of slots. What a sample is, and where it is kept, is the loader's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace octet::data {

struct PipelineOptions {
  int64_t samples = 0;  // in the data set
  int batch_size = 1;
  bool shuffle = false;    // by (seed, epoch); else in order
  bool drop_last = false;  // leave out the last batch of an epoch when it is not full
  int workers = 1;         // at most the machine's threads
  int prefetch = 3;        // batches made ahead: the number of slots
  uint64_t seed = 42;
};

struct PipelineSteps {
  // Makes a slot ready for these samples. One thread at a time.
  std::function<void(int slot, const std::vector<int64_t>& samples)> open;
  // Makes the sample at place `at` of the slot. Many threads at once, each at a place of its own.
  std::function<void(int slot, int64_t at, int64_t sample, int64_t epoch)> make;
  // Once all samples of the slot are made; may be empty.
  std::function<void(int slot, int64_t epoch)> finish;
};

class BatchPipeline {
 public:
  // Throws Error(kUser) on a batch size that is not positive, or that leaves no batch.
  BatchPipeline(const PipelineOptions& options, PipelineSteps steps);
  ~BatchPipeline();
  BatchPipeline(const BatchPipeline&) = delete;
  BatchPipeline& operator=(const BatchPipeline&) = delete;

  int64_t batches_per_epoch() const;
  int slots() const;

  // Begins an epoch at its batch `first_batch`. An unfinished epoch is dropped.
  void StartEpoch(int64_t epoch, int64_t first_batch);
  // Waits for the next batch and calls take(slot), after which the slot is used again; false when the epoch is over.
  // Throws what a worker threw.
  bool Next(const std::function<void(int slot)>& take);

  // Of the time since StartEpoch, the fraction that Next() spent waiting for a worker (the first batch is not counted).
  double WaitFraction() const;
  // "" or advice, when the network waits for data more than a fifth of the time.
  std::string BottleneckMessage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::data
