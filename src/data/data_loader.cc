#include "data/data_loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace octet::data {
namespace {

constexpr double kBottleneck = 0.2;
constexpr uint64_t kMixupStream = 1;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

struct DataLoader::State {
  // A batch under construction: workers fill samples [0, size) in any order.
  struct Slot {
    Batch batch;
    float* images = nullptr;
    int64_t index = -1;  // which batch of the epoch
    int64_t left = 0;    // samples not yet written
  };

  State(std::shared_ptr<const ImageSet> set, const PreprocessOptions& p, const LoaderOptions& o)
      : images(std::move(set)), preprocessor(p), options(o), slots(std::max(1, o.prefetch)) {}

  std::shared_ptr<const ImageSet> images;
  Preprocessor preprocessor;
  LoaderOptions options;

  std::mutex mutex;
  std::condition_variable work_ready;   // workers wait: a free slot, or stop
  std::condition_variable batch_ready;  // the consumer waits: a full batch, or all workers idle
  std::vector<std::thread> threads;
  std::vector<Slot> slots;
  std::vector<int64_t> order;
  int64_t epoch = 0;
  int64_t batches = 0;      // in an epoch
  int64_t claim_batch = 0;  // next sample to be made
  int64_t claim_sample = 0;
  int64_t consumed = 0;  // batches handed out
  int busy = 0;          // workers that make a sample now
  bool stop = false;
  std::exception_ptr failure;

  Clock::time_point epoch_start;
  double waited = 0;
  double elapsed = 0;
  bool first_batch = true;

  int64_t BatchSize(int64_t batch) const {
    return std::min<int64_t>(options.batch_size, static_cast<int64_t>(order.size()) - batch * options.batch_size);
  }

  bool CanClaim() const {
    return !failure && claim_batch < batches && claim_batch < consumed + static_cast<int64_t>(slots.size());
  }

  // With the lock held: makes the slot of `batch` ready for its first sample.
  void OpenSlot(Slot* slot, int64_t batch) {
    const int64_t n = BatchSize(batch);
    const PreprocessOptions& p = preprocessor.options();
    const Shape shape = {n, p.channels, p.height, p.width};
    if (!slot->batch.images.defined() || slot->batch.images.shape() != shape) {
      slot->batch.images = Tensor(DType::kF32, shape);
    }
    slot->images = slot->batch.images.mutable_data<float>();
    slot->batch.samples.assign(order.begin() + batch * options.batch_size,
                               order.begin() + batch * options.batch_size + n);
    slot->batch.labels.clear();
    for (const int64_t sample : slot->batch.samples) slot->batch.labels.push_back(images->file(sample).label);
    slot->batch.mix.clear();
    slot->index = batch;
    slot->left = n;
  }

  void MakeSample(float* to, int64_t sample) const {
    const std::shared_ptr<const Image> image = images->Get(sample);
    if (options.training) {
      KeyedRng rng(options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
      preprocessor.ForTraining(*image, &rng, to);
    } else {
      preprocessor.ForEvaluation(*image, to);
    }
  }

  // Partner of i is n-1-i, as in TAO. Both of a pair are mixed at once, in place.
  void Mixup(Slot* slot) const {
    const auto n = static_cast<int64_t>(slot->batch.samples.size());
    const auto size = static_cast<int64_t>(preprocessor.output_size());
    slot->batch.mix.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      KeyedRng rng(options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(slot->batch.samples[i]),
                   kMixupStream);
      const double lambda = rng.Beta(options.mixup_alpha, options.mixup_alpha);
      slot->batch.mix[i] = static_cast<float>(std::max(lambda, 1.0 - lambda));
    }
    for (int64_t i = 0, j = n - 1; i < j; ++i, --j) {
      const float u = slot->batch.mix[i];
      const float v = slot->batch.mix[j];
      float* a = slot->images + i * size;
      float* b = slot->images + j * size;
      for (int64_t k = 0; k < size; ++k) {
        const float x = a[k];
        const float y = b[k];
        a[k] = u * x + (1.0f - u) * y;
        b[k] = v * y + (1.0f - v) * x;
      }
    }
  }

  void Work() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      work_ready.wait(lock, [&] { return stop || CanClaim(); });
      if (stop) return;
      const int64_t batch = claim_batch;
      const int64_t at = claim_sample;
      Slot* slot = &slots[batch % static_cast<int64_t>(slots.size())];
      if (at == 0) OpenSlot(slot, batch);
      if (++claim_sample == BatchSize(batch)) {
        claim_sample = 0;
        ++claim_batch;
      }
      float* to = slot->images + at * static_cast<int64_t>(preprocessor.output_size());
      const int64_t sample = slot->batch.samples[at];
      ++busy;
      lock.unlock();
      std::exception_ptr error;
      try {
        MakeSample(to, sample);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (slot->left == 1 && !error && options.training && options.mixup_alpha > 0) {
        lock.unlock();  // nobody else touches a slot whose last sample is ours
        Mixup(slot);
        lock.lock();
      }
      --busy;
      if (error && !failure) failure = error;
      if (--slot->left == 0 || failure || busy == 0) batch_ready.notify_all();
    }
  }
};

DataLoader::DataLoader(std::shared_ptr<const ImageSet> images, const PreprocessOptions& preprocess,
                       const LoaderOptions& options)
    : state_(std::make_unique<State>(std::move(images), preprocess, options)) {
  State& s = *state_;
  const int64_t count = s.images->size();
  OCTET_REQUIRE(options.batch_size >= 1, "batch size must be at least 1, got {}", options.batch_size);
  s.batches = options.drop_last ? count / options.batch_size : (count + options.batch_size - 1) / options.batch_size;
  OCTET_REQUIRE(s.batches > 0, "batch size {} is larger than the data set ({} images); make it smaller",
                options.batch_size, count);
  s.claim_batch = s.consumed = s.batches;  // no epoch yet
  const int workers = std::clamp(options.workers, 1, HardwareThreads());
  for (int i = 0; i < workers; ++i) s.threads.emplace_back([&s] { s.Work(); });
}

DataLoader::~DataLoader() {
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop = true;
  }
  state_->work_ready.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int64_t DataLoader::batches_per_epoch() const {
  return state_->batches;
}
const ImageSet& DataLoader::images() const {
  return *state_->images;
}

void DataLoader::StartEpoch(int64_t epoch, int64_t first_batch) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  s.claim_batch = s.batches;  // nothing more of the old epoch
  s.claim_sample = 0;
  s.batch_ready.wait(lock, [&] { return s.busy == 0; });
  const int64_t count = s.images->size();
  if (s.options.training) {
    s.order = ShuffledOrder(count, s.options.seed, static_cast<uint64_t>(epoch));
  } else {
    s.order.resize(count);
    for (int64_t i = 0; i < count; ++i) s.order[i] = i;
  }
  s.epoch = epoch;
  s.failure = nullptr;
  for (State::Slot& slot : s.slots) slot.index = -1;
  s.claim_batch = s.consumed = std::clamp<int64_t>(first_batch, 0, s.batches);
  s.epoch_start = Clock::now();
  s.waited = 0;
  s.elapsed = 0;
  s.first_batch = true;
  s.work_ready.notify_all();
}

bool DataLoader::Next(Batch* batch) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  if (s.consumed == s.batches) {
    return false;
  }
  const Clock::time_point begin = Clock::now();
  State::Slot& slot = s.slots[s.consumed % static_cast<int64_t>(s.slots.size())];
  s.batch_ready.wait(lock, [&] { return s.failure || (slot.index == s.consumed && slot.left == 0); });
  if (s.failure) std::rethrow_exception(s.failure);
  if (s.first_batch) {
    s.first_batch = false;
    s.epoch_start = Clock::now();
  } else {
    s.waited += SecondsSince(begin);
  }
  s.elapsed = SecondsSince(s.epoch_start);
  std::swap(slot.batch, *batch);
  slot.images = nullptr;
  ++s.consumed;
  s.work_ready.notify_all();
  return true;
}

double DataLoader::WaitFraction() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->elapsed > 0 ? std::min(1.0, state_->waited / state_->elapsed) : 0.0;
}

std::string DataLoader::BottleneckMessage() const {
  const double fraction = WaitFraction();
  if (fraction < kBottleneck) return "";
  return fmt::format(
      "the network waited for images {:.0f} % of the time; use more data loading threads (n_workers, now {}), store "
      "the "
      "images smaller, or turn color augmentation off",
      100 * fraction, state_->threads.size());
}

}  // namespace octet::data
