// Whole networks on the INT8 engine: ResNet-18 and MobileNetV2 at 224x224, batch 1, one thread and two. Weights are
// fresh random ones: time does not depend on them. With OCTET_BENCH_PLANS=folder it writes the plans there and leaves.
// OCTET_BENCH_PROFILE=1 prints each step's time.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "engine/engine.h"
#include "engine/plan.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

ir::Graph Lowered(const std::string& backbone) {
  ops::InstallOps();
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.num_classes = 1000;
  return passes::PrepareForEngine(passes::PrepareForQat(zoo::BuildNetwork(options)));
}

void Network(benchmark::State& state, const std::string& backbone) {
  const engine::Engine engine = engine::Engine::FromGraph(Lowered(backbone));
  engine::ContextOptions options;
  options.threads = static_cast<int>(state.range(0));
  const auto context = engine.NewContext(options);
  const std::vector<float> image(3 * 224 * 224, 0.5f);
  std::vector<float> out(1000);
  for (auto _ : state) context->Run({image.data()}, {out.data()});
  state.SetLabel(engine.isa());
  if (std::getenv("OCTET_BENCH_PROFILE") != nullptr && options.threads == 1) {
    std::vector<engine::StepTime> best = context->Profile();
    for (int round = 0; round < 50; ++round) {
      const std::vector<engine::StepTime> times = context->Profile();
      for (size_t i = 0; i < best.size(); ++i) best[i].ms = std::min(best[i].ms, times[i].ms);
    }
    double sum = 0;
    for (const engine::StepTime& t : best) {
      fmt::print("{:<45} {:<20} {:8.1f} us {:6.0f} GMAC/s\n", t.node, t.op, t.ms * 1e3, t.macs / t.ms * 1e-6);
      sum += t.ms;
    }
    fmt::print("{} ms, {}\n", sum, engine.description());
  }
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  if (const char* folder = std::getenv("OCTET_BENCH_PLANS")) {
    for (const char* name : {"resnet_18", "mobilenet_v2"}) {
      octet::engine::WritePlan(fmt::format("{}/{}.plan", folder, name), {octet::Lowered(name), {{"network", name}}});
    }
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  for (const char* name : {"resnet_18", "mobilenet_v2"}) {
    benchmark::RegisterBenchmark(name, octet::Network, name)
        ->Arg(1)
        ->Arg(2)
        ->ArgName("threads")
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
