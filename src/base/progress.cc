#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace octet {
namespace {
constexpr double kTerminalPeriod = 0.2;  // seconds between redraws
constexpr double kPipePeriod = 15.0;
}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (!finished_ && terminal_) std::fputc('\n', stderr);
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::Advance(int64_t count, const std::string& note) {
  done_ += count;
  const auto now = std::chrono::steady_clock::now();
  if (std::chrono::duration<double>(now - drawn_).count() < (terminal_ ? kTerminalPeriod : kPipePeriod)) return;
  drawn_ = now;
  Draw(note, false);
}

void Progress::Finish(const std::string& note) {
  if (finished_) return;
  finished_ = true;
  Draw(note, true);
}

void Progress::Draw(const std::string& note, bool last) {
  const double elapsed = seconds();
  const double rate = done_ / std::max(elapsed, 1e-9);
  std::string text = fmt::format("{} ", label_);
  if (total_ > 0) {
    constexpr int kWidth = 20;
    const int filled = static_cast<int>(std::min<int64_t>(kWidth, done_ * kWidth / total_));
    text += fmt::format("[{}{}] {}/{} {}", std::string(filled, '#'), std::string(kWidth - filled, '.'), done_, total_,
                        unit_);
  } else {
    text += fmt::format("{} {}", done_, unit_);
  }
  text += fmt::format(" {:.1f}/s", rate);
  if (last) {
    text += fmt::format(" in {}", FormatSeconds(elapsed));
  } else if (total_ > 0 && rate > 0) {
    text += fmt::format(" ETA {}", FormatSeconds((total_ - done_) / rate));
  }
  if (!note.empty()) text += " " + note;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s%s", text.c_str(), last ? "\n" : "");
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

std::string FormatSeconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace octet
