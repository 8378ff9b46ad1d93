#include "base/error.h"

#include <utility>

namespace octet {

Error::Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

void ThrowUser(std::string message) {
  throw Error(ErrorKind::kUser, std::move(message));
}

void ThrowInternal(const char* file, int line, std::string message) {
  const std::string path(file);
  const size_t at = path.rfind("src/");
  throw Error(ErrorKind::kInternal, fmt::format("internal error at {}:{}: {}",
                                                at == std::string::npos ? path : path.substr(at), line, message));
}

}  // namespace octet
