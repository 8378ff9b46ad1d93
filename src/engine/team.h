// The threads of one Context: during a Run all of them walk the list of steps together, and meet at a barrier after
// each. A barrier of spinning threads costs a tenth of a microsecond where waking a sleeper costs ten.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace octet::engine {

class Team {
 public:
  // `size` counts the caller's thread; 1 starts none.
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // body(member) on all members, 0 being the caller; returns when all are done. The first exception is rethrown.
  // Inside, all members call Meet equally often, or not at all after an exception of their own.
  void Run(const std::function<void(int)>& body);

  // Waits for the others. False when one of them has failed: then leave the body.
  bool Meet();

 private:
  void Loop(int member);
  void Member(int member);

  const int size_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  const std::function<void(int)>* body_ = nullptr;
  std::atomic<uint32_t> generation_{0};  // of Run
  std::atomic<int> finished_{0};
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> round_{0};  // of Meet
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleeping_{0};
  std::exception_ptr failure_;
};

}  // namespace octet::engine
