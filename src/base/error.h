// The one exception type of octet, for two audiences: the user's fault (bad spec, bad file, bad flag) and ours (a
// broken invariant). A user message says what is wrong, where, what was expected and what to do. Exceptions of
// libraries are caught where they are raised and rethrown as Error.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>

namespace octet {

enum class ErrorKind {
  kUser,      // bad input: exit code 1
  kInternal,  // a bug in octet: exit code 70
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message);
  const char* what() const noexcept override { return message_.c_str(); }
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return kind_ == ErrorKind::kUser ? 1 : 70; }

 private:
  ErrorKind kind_;
  std::string message_;
};

[[noreturn]] void ThrowUser(std::string message);
[[noreturn]] void ThrowInternal(const char* file, int line, std::string message);

}  // namespace octet

// OCTET_FAIL("{}:{}: unknown key '{}'; did you mean '{}'?", file, line, key, nearest);  the user's fault
#define OCTET_FAIL(...) ::octet::ThrowUser(::fmt::format(__VA_ARGS__))
// OCTET_REQUIRE(cond, "..."): a condition on what the user gave.
#define OCTET_REQUIRE(cond, ...)          \
  do {                                    \
    if (!(cond)) OCTET_FAIL(__VA_ARGS__); \
  } while (0)
// OCTET_CHECK(cond, "..."): a condition that only a bug in octet can break.
#define OCTET_CHECK(cond, ...)                                                                                     \
  do {                                                                                                             \
    if (!(cond)) ::octet::ThrowInternal(__FILE__, __LINE__, std::string(#cond ": ") + ::fmt::format(__VA_ARGS__)); \
  } while (0)
