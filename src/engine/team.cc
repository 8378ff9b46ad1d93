#include "engine/team.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace octet::engine {
namespace {

// Spins while `waiting` holds; after about 20 microseconds other programs get the core between two looks.
template <typename F>
void SpinWhile(F&& waiting) {
  for (int spins = 0; waiting(); ++spins) {
    if (spins < 1000) {
#if defined(__x86_64__)
      _mm_pause();
#endif
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace

Team::Team(int size) : size_(std::max(1, size)) {
  for (int i = 1; i < size_; ++i) threads_.emplace_back([this, i] { Loop(i); });
}

Team::~Team() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Team::Member(int member) {
  try {
    (*body_)(member);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    failed_ = true;
  }
}

void Team::Loop(int member) {
  uint32_t seen = 0;
  while (true) {
    // A short watch before sleep: the next Run often follows at once.
    for (int spins = 0; spins < 2000 && generation_.load() == seen && !stop_; ++spins) {
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
    if (generation_.load() == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, [&] { return stop_ || generation_.load() != seen; });
      --sleeping_;
    }
    if (stop_) return;
    ++seen;
    Member(member);
    finished_.fetch_add(1);
  }
}

void Team::Run(const std::function<void(int)>& body) {
  if (size_ == 1) {
    body(0);
    return;
  }
  body_ = &body;
  finished_ = 0;
  arrived_ = 0;
  failed_ = false;
  failure_ = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1);
  }
  if (sleeping_.load() > 0) wake_.notify_all();
  Member(0);
  SpinWhile([&] { return finished_.load() != size_ - 1; });
  if (failure_) std::rethrow_exception(failure_);
}

bool Team::Meet() {
  if (size_ == 1) return true;
  const uint32_t round = round_.load();
  if (arrived_.fetch_add(1) + 1 == size_) {
    arrived_ = 0;
    round_.fetch_add(1);
    return !failed_;
  }
  SpinWhile([&] { return round_.load() == round && !failed_; });
  return !failed_;
}

}  // namespace octet::engine
