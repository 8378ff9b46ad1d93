// Logging to standard error through spdlog's default logger. Use spdlog-style calls: LogInfo("read {} images", n).
#pragma once

#include <fmt/format.h>

#include <string>

namespace octet {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void InitLog(LogLevel level);
void LogText(LogLevel level, const std::string& text);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace octet
