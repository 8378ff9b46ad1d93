// libFuzzer target: any bytes as a calibration cache are a user error, or a cache that is written and read again with
// the same entries. See scripts/fuzz.sh.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "tensorrt/calibration_cache.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  tensorrt::CalibrationCache cache;
  try {
    cache = tensorrt::ParseCalibrationCache({reinterpret_cast<const char*>(data), size}, "fuzz.cache");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
    return 0;
  }
  try {
    const auto again = tensorrt::ParseCalibrationCache(tensorrt::FormatCalibrationCache(cache), "again.cache");
    if (again.entries.size() != cache.entries.size()) __builtin_trap();
    for (size_t i = 0; i < cache.entries.size(); ++i) {
      if (again.entries[i].name != cache.entries[i].name || again.entries[i].scale != cache.entries[i].scale) {
        __builtin_trap();
      }
    }
  } catch (const Error& e) {  // names and headers that octet reads but does not write
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
  }
  return 0;
}
