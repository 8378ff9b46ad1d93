// Batches for training and evaluation, made ahead of time by worker threads. What a batch holds depends on (seed,
// epoch, sample) only, never on the number of threads or on timing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/image_set.h"
#include "data/preprocess.h"
#include "tensor/tensor.h"

namespace octet::data {

struct Batch {
  Tensor images;                 // f32 [n, channels, height, width]
  std::vector<int64_t> labels;   // n class indices, -1 if unknown
  std::vector<int64_t> samples;  // n indices into the ImageSet
  // With mixup, image i is mix[i] * itself + (1 - mix[i]) * image n-1-i, and so must the targets be; else empty.
  std::vector<float> mix;
};

struct LoaderOptions {
  int batch_size = 64;
  bool training = false;   // shuffled and augmented; else in order and as for evaluation
  bool shuffle = false;    // in the order of a training, also without one
  bool drop_last = false;  // leave out the last batch of an epoch when it is not full
  int workers = 1;         // at most the machine's threads
  int prefetch = 3;        // batches made ahead
  uint64_t seed = 42;
  double mixup_alpha = 0;  // training only
};

class DataLoader {
 public:
  DataLoader(std::shared_ptr<const ImageSet> images, const PreprocessOptions& preprocess, const LoaderOptions& options);
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  int64_t batches_per_epoch() const;
  const ImageSet& images() const;

  // Begins an epoch, at its batch `first_batch` when training is resumed inside one. An unfinished epoch is dropped.
  void StartEpoch(int64_t epoch, int64_t first_batch = 0);

  // The next batch; false when the epoch is over. The memory of the old content of *batch is used again, unless a copy
  // of its tensor is alive. Throws what a worker threw.
  bool Next(Batch* batch);

  // Of the time since StartEpoch, the fraction that Next() spent waiting for a worker (the first batch is not counted).
  double WaitFraction() const;
  // "" or advice, when the network waits for data more than a fifth of the time.
  std::string BottleneckMessage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::data
