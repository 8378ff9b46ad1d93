// A progress line with rate and time left. On a terminal it redraws in place; in a file or pipe it prints a
// line now and then, so that a log of `make demo` stays readable.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace octet {

class Progress {
 public:
  // `unit` is what is counted: "images", "steps". total 0 = unknown.
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Advance(int64_t count, const std::string& note = "");
  void Finish(const std::string& note = "");
  double seconds() const;

 private:
  void Draw(const std::string& note, bool last);

  std::string label_;
  int64_t total_;
  std::string unit_;
  int64_t done_ = 0;
  bool terminal_;
  bool finished_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

// "1h02m", "3m05s", "12.3s"
std::string FormatSeconds(double seconds);

}  // namespace octet
