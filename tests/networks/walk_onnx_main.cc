// octet_walk_onnx FILE.onnx ...: each file as model.backbone byom through all of octet (walk.h), one line a file. With
// FILE.x.npy and FILE.y.npy beside it (bench of an exporter: tests/witness/export_torchvision.py) the imported
// network's output is compared with that too. Exit code 1 when a file fails.
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "ops/install.h"
#include "passes/classifier_head.h"
#include "report/npy.h"
#include "task/classification/own_network.h"
#include "train/graph_module.h"
#include "walk.h"

namespace octet {
namespace {

// Largest difference over the largest magnitude, of the scores against the exporter's.
double Difference(const ir::Graph& graph, const std::string& stem) {
  const Tensor x = report::ReadNpy(stem + ".x.npy"), y = report::ReadNpy(stem + ".y.npy");
  const std::string logits = graph.value(passes::LogitsOf(graph)).name;
  const Tensor got = train::GraphModule(graph).Evaluate({{graph.value(graph.inputs()[0]).name, x}}, {logits}).at(0);
  double largest = 0, difference = 0;
  const std::vector<float> a = got.ToVector<float>(), b = y.ToVector<float>();
  OCTET_REQUIRE(a.size() == b.size(), "{} scores, expected {}", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max<double>(largest, std::abs(b[i]));
    difference = std::max<double>(difference, std::abs(a[i] - b[i]));
  }
  return difference / largest;
}

bool WalkFile(const std::string& path, const std::string& folder) {
  const auto start = std::chrono::steady_clock::now();
  const std::string stem = path.substr(0, path.size() - 5);
  const std::string name = stem.substr(stem.rfind('/') + 1);
  std::string stage = "import";
  try {
    task::classification::OwnNetworkOptions options;
    const ir::Graph graph = task::classification::ImportOwnNetwork(path, options);
    std::string forward = "-";
    if (FileExists(stem + ".y.npy")) {
      stage = "forward";
      const double difference = Difference(graph, stem);
      forward = fmt::format("{:.1e}", difference);
      OCTET_REQUIRE(difference <= 1e-4, "the scores differ by {:.2e} of the largest from the exporter's", difference);
    }
    stage = "new head";
    options.num_classes = 7;
    const ir::Graph seven = task::classification::ImportOwnNetwork(path, options);
    stage = "walk";
    WalkOptions walk;
    walk.folder = folder;
    walk.batch = 3;
    walk.still = 1;
    walk.codes_per_tie = 100000;
    walk.write_files = !folder.empty();
    const WalkResult result = WalkNetwork(seven, walk);
    std::string fallbacks;
    for (const auto& [op, count] : result.fallbacks) {
      fallbacks += fmt::format("{}{} {}", fallbacks.empty() ? "" : " + ", count, op);
    }
    fmt::print("ok    {:<40} forward {}, trained {}, quantizers {} + {}, codes {}, fallback {}, {:.1f} s\n", name,
               forward, result.trained, result.activations, result.weights, result.codes,
               fallbacks.empty() ? "none" : fallbacks,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    std::fflush(stdout);
    return true;
  } catch (const std::exception& error) {
    fmt::print("FAIL  {:<40} {}: {}\n", name, stage, error.what());
    std::fflush(stdout);
    return false;
  }
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  octet::ops::InstallOps();
  octet::InitLog(octet::LogLevel::kWarning);
  int failed = 0;
  for (int i = 1; i < argc; ++i) failed += octet::WalkFile(argv[i], "") ? 0 : 1;
  std::printf("%d files, %d failed\n", argc - 1, failed);
  return failed == 0 ? 0 : 1;
}
