// libFuzzer target: any bytes as a .safetensors file are a user error or tensors. See scripts/fuzz.sh.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "ir/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  try {
    ir::ParseSafetensors(std::string(reinterpret_cast<const char*>(data), size), "fuzz.safetensors");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
  }
  return 0;
}
