// libFuzzer target: any bytes as an ONNX file are a user error or a graph that is written and read again. See
// scripts/fuzz.sh.
#include <cstdint>
#include <cstdio>
#include <string>

#include "base/error.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  ops::InstallOps();
  try {
    const ir::Graph graph = onnx::ImportOnnxBytes(std::string(reinterpret_cast<const char*>(data), size), "fuzz.onnx");
    ir::Verify(graph);
    onnx::ExportOnnxBytes(graph, "again.onnx");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) std::fprintf(stderr, "%s\n", e.what()), __builtin_trap();
  } catch (const std::bad_alloc&) {
  }
  return 0;
}
