// libFuzzer target: any bytes as a .npy file and as a .npz archive are a user error or tensors. See scripts/fuzz.sh.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "report/npy.h"
#include "report/npz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const bool archive : {false, true}) {
    try {
      if (archive) {
        report::ParseNpz(bytes, "fuzz.npz");
      } else {
        report::ParseNpy(bytes, "fuzz.npy");
      }
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kInternal) __builtin_trap();
    }
  }
  return 0;
}
