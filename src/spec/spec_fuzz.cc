// libFuzzer target: any text as a spec of either task is a user error or a spec whose own text gives the same again.
// See scripts/fuzz.sh.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "spec/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  static const bool quiet = (InitLog(LogLevel::kError), true);
  if (!quiet || size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const char* task : {"classification", "efficientdet"}) {
    try {
      const spec::Spec spec = spec::ParseSpec(task, text, "fuzz.yaml");
      const spec::Spec again = spec::ParseSpec(task, spec.ToYaml(), "again.yaml");
      if (again.ToYaml() != spec.ToYaml()) __builtin_trap();
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kInternal) __builtin_trap();
    }
  }
  return 0;
}
