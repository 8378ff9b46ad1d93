// Where the time of training steps goes, for bench/train_step_bench. Off unless asked for; then the parts of all steps
// since are added up. One thread trains at a time.
#pragma once

#include <chrono>
#include <ctime>
#include <map>
#include <string>

namespace octet::train {

class StepProfile {
 public:
  static void Enable(bool on);
  struct Seconds {
    double wall = 0, cpu = 0;  // cpu: of all threads of the process
  };
  static std::map<std::string, Seconds> Take();  // by part; starts anew

  // Adds its lifetime to a part, without that of scopes inside it.
  class Scope {
   public:
    explicit Scope(const char* part);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const char* part_;
    Scope* outer_ = nullptr;
    std::chrono::steady_clock::time_point start_;
    std::clock_t cpu_ = 0;
    Seconds inner_;
  };
};

}  // namespace octet::train
