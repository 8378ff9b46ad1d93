#include "data/batch_pipeline.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "data/keyed_rng.h"

namespace octet::data {
namespace {

constexpr double kBottleneck = 0.2;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

struct BatchPipeline::State {
  // A batch under construction: workers fill samples [0, size) in any order.
  struct Slot {
    std::vector<int64_t> samples;
    int64_t index = -1;  // which batch of the epoch
    int64_t left = 0;    // samples not yet written
  };

  State(const PipelineOptions& o, PipelineSteps s) : options(o), steps(std::move(s)), slots(std::max(1, o.prefetch)) {}

  PipelineOptions options;
  PipelineSteps steps;

  mutable std::mutex mutex;
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
  void OpenSlot(int number, int64_t batch) {
    Slot& slot = slots[number];
    const int64_t n = BatchSize(batch);
    slot.samples.assign(order.begin() + batch * options.batch_size, order.begin() + batch * options.batch_size + n);
    steps.open(number, slot.samples);
    slot.index = batch;
    slot.left = n;
  }

  void Work() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      work_ready.wait(lock, [&] { return stop || CanClaim(); });
      if (stop) return;
      const int64_t batch = claim_batch;
      const int64_t at = claim_sample;
      const int number = static_cast<int>(batch % static_cast<int64_t>(slots.size()));
      Slot& slot = slots[number];
      if (at == 0) OpenSlot(number, batch);
      if (++claim_sample == BatchSize(batch)) {
        claim_sample = 0;
        ++claim_batch;
      }
      const int64_t sample = slot.samples[at];
      const int64_t this_epoch = epoch;
      ++busy;
      lock.unlock();
      std::exception_ptr error;
      try {
        steps.make(number, at, sample, this_epoch);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (slot.left == 1 && !error && steps.finish) {
        lock.unlock();  // nobody else touches a slot whose last sample is ours
        steps.finish(number, this_epoch);
        lock.lock();
      }
      --busy;
      if (error && !failure) failure = error;
      if (--slot.left == 0 || failure || busy == 0) batch_ready.notify_all();
    }
  }
};

BatchPipeline::BatchPipeline(const PipelineOptions& options, PipelineSteps steps)
    : state_(std::make_unique<State>(options, std::move(steps))) {
  State& s = *state_;
  OCTET_REQUIRE(options.batch_size >= 1, "batch size must be at least 1, got {}", options.batch_size);
  s.batches = options.drop_last ? options.samples / options.batch_size
                                : (options.samples + options.batch_size - 1) / options.batch_size;
  OCTET_REQUIRE(s.batches > 0, "batch size {} is larger than the data set ({} images); make it smaller",
                options.batch_size, options.samples);
  s.claim_batch = s.consumed = s.batches;  // no epoch yet
  const int workers = std::clamp(options.workers, 1, HardwareThreads());
  for (int i = 0; i < workers; ++i) s.threads.emplace_back([&s] { s.Work(); });
}

BatchPipeline::~BatchPipeline() {
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop = true;
  }
  state_->work_ready.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int64_t BatchPipeline::batches_per_epoch() const {
  return state_->batches;
}
int BatchPipeline::slots() const {
  return static_cast<int>(state_->slots.size());
}

void BatchPipeline::StartEpoch(int64_t epoch, int64_t first_batch) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  s.claim_batch = s.batches;  // nothing more of the old epoch
  s.claim_sample = 0;
  s.batch_ready.wait(lock, [&] { return s.busy == 0; });
  if (s.options.shuffle) {
    s.order = ShuffledOrder(s.options.samples, s.options.seed, static_cast<uint64_t>(epoch));
  } else {
    s.order.resize(s.options.samples);
    for (int64_t i = 0; i < s.options.samples; ++i) s.order[i] = i;
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

bool BatchPipeline::Next(const std::function<void(int slot)>& take) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  if (s.consumed == s.batches) return false;
  const Clock::time_point begin = Clock::now();
  const int number = static_cast<int>(s.consumed % static_cast<int64_t>(s.slots.size()));
  const State::Slot& slot = s.slots[number];
  s.batch_ready.wait(lock, [&] { return s.failure || (slot.index == s.consumed && slot.left == 0); });
  if (s.failure) std::rethrow_exception(s.failure);
  if (s.first_batch) {
    s.first_batch = false;
    s.epoch_start = Clock::now();
  } else {
    s.waited += SecondsSince(begin);
  }
  s.elapsed = SecondsSince(s.epoch_start);
  take(number);
  ++s.consumed;
  s.work_ready.notify_all();
  return true;
}

double BatchPipeline::WaitFraction() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->elapsed > 0 ? std::min(1.0, state_->waited / state_->elapsed) : 0.0;
}

std::string BatchPipeline::BottleneckMessage() const {
  const double fraction = WaitFraction();
  if (fraction < kBottleneck) return "";
  const auto workers = static_cast<int>(state_->threads.size());
  const std::string remedy =
      workers < HardwareThreads()
          ? fmt::format("raise n_workers from {} to {}", workers, HardwareThreads())
          : fmt::format(
                "all {} CPU threads load images already: store the images not much larger than the network's "
                "input, or turn color augmentation off",
                workers);
  return fmt::format("the network waited for images {:.0f} % of the time; {}", 100 * fraction, remedy);
}

}  // namespace octet::data
