// Work of the own kernels over the threads of LibTorch. Threads take the next job when they are done with one, so that
// a core that is slower, or taken by somebody else for a while, does not hold the others up.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#ifndef _OPENMP
#error at::parallel_for runs on one thread in files that are compiled without OpenMP
#endif

namespace octet::train {

// body(0) ... body(jobs - 1), in any order and on any threads. An exception of a body ends the whole call.
template <typename F>
void ForEachJob(int64_t jobs, const F& body) {
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), jobs);
  std::atomic<int64_t> next{0};
  const auto work = [&](int64_t, int64_t) {
    for (int64_t job = next++; job < jobs; job = next++) body(job);
  };
  if (threads > 1) {
    at::parallel_for(0, threads, 1, work);
  } else {
    work(0, 0);
  }
}

// body(begin, end) for pieces of [0, count) of at least `grain`, but for the last. For bodies whose result does not
// depend on the split.
template <typename F>
void ForEachPiece(int64_t count, int64_t grain, const F& body) {
  constexpr int64_t kMost = 32;
  const int64_t pieces = std::max<int64_t>(1, std::min(kMost, count / std::max<int64_t>(1, grain)));
  ForEachJob(pieces, [&](int64_t i) {
    const int64_t begin = count * i / pieces, end = count * (i + 1) / pieces;
    if (begin < end) body(begin, end);
  });
}

}  // namespace octet::train
