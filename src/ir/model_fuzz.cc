// libFuzzer target: any bytes as a .octet model (its checksum is put right) are a user error, or a model that is
// written and read again. See scripts/fuzz.sh.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/strings.h"
#include "ir/model_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  std::string bytes(reinterpret_cast<const char*>(data), size < 8 ? size : size - 8);
  const uint64_t sum = Fnv1a64(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), 8);
  ir::Model model;
  try {
    model = ir::DeserializeModel(bytes, "fuzz.octet");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
    return 0;
  } catch (const std::bad_alloc&) {
    return 0;
  }
  try {
    const ir::Model again = ir::DeserializeModel(ir::SerializeModel(model), "again.octet");
    if (again.info != model.info || again.graph != model.graph) __builtin_trap();
  } catch (const std::exception&) {  // what was read must be writable
    __builtin_trap();
  }
  return 0;
}
