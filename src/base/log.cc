#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace octet {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_color_mt("octet");
    made->set_pattern("%H:%M:%S %^%l%$ %v");
    return made;
  }();
  return *logger;
}

}  // namespace

void InitLog(LogLevel level) {
  Logger().set_level(ToSpdlog(level));
}

void LogText(LogLevel level, const std::string& text) {
  Logger().log(ToSpdlog(level), spdlog::string_view_t(text));
}

}  // namespace octet
