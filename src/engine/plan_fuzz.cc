// libFuzzer target: any bytes as a plan (its checksum is put right) are an error or a network that runs. See
// scripts/fuzz.sh.
#include <cstdint>
#include <map>
#include <string>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  std::string bytes(reinterpret_cast<const char*>(data), size < 8 ? size : size - 8);
  const uint64_t sum = engine::PlanChecksum(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), 8);
  try {
    const engine::Plan plan = engine::DeserializePlan(bytes, "fuzz.plan");
    const auto context = engine::Engine::FromGraph(plan.graph, plan.info).NewContext();
    if (context->arena_bytes() > (64 << 20)) return 0;
    std::map<std::string, Tensor> inputs;
    for (const engine::TensorInfo& info : context->inputs()) {
      if (NumElements(info.shape) > (1 << 22)) return 0;
      inputs[info.name] = Tensor(DType::kF32, info.shape);
    }
    context->Run(inputs);
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  }
  return 0;
}
