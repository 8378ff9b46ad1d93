// A fork-join loop over threads kept alive between calls. For library code that has no OpenMP (data loading, engine).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace octet {

int HardwareThreads();

class ThreadPool {
 public:
  // `threads` counts the caller's thread; 1 starts none.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs body(i) for i in [0, count) on all threads and returns when all are done; the first exception is rethrown.
  // The caller takes part. Not re-entrant.
  void ParallelFor(int64_t count, const std::function<void(int64_t)>& body);

 private:
  struct State;
  int threads_;
  std::unique_ptr<State> state_;
};

}  // namespace octet
