// Every backbone of the zoo through everything (walk.h) at the smallest input: two FP32 steps, both recipes of QAT with
// two steps, exports, plan, engine; and ONNX Runtime on what was exported. The large ones carry the label `slow`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "ops/install.h"
#include "train/graph_module.h"
#include "walk.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

std::string Python() {
  const char* env = std::getenv("OCTET_PYTHON");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
}

ir::Graph Network(const std::string& backbone) {
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.num_classes = 5;
  options.input_height = options.input_width = 32;
  return zoo::BuildNetwork(options);
}

bool IsLarge(const std::string& backbone) {
  for (const char* name :
       {"resnet_50", "resnet_101", "resnet_152", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
        "efficientnet-b6", "efficientnet-b7", "efficientnet-lite4", "darknet_53", "vgg_19"}) {
    if (backbone == name) return true;
  }
  return false;
}

void WalkBackbone(const std::string& backbone) {
  ops::InstallOps();
  WalkOptions options;
  options.folder = ::testing::TempDir() + fmt::format("octet_walk_{}_{}", backbone, ::getpid());
  const bool witness = FileExists(Python());
  const WalkResult result = WalkNetwork(Network(backbone), options);
  std::printf(
      "%s: %ld parameter tensors trained, %ld + %ld quantizers, %ld codes of the engine equal LibTorch's, %ld "
      "operators "
      "fall back\n",
      backbone.c_str(), static_cast<long>(result.trained), static_cast<long>(result.activations),
      static_cast<long>(result.weights), static_cast<long>(result.codes), static_cast<long>(result.fallbacks.size()));
  if (witness) {
    WriteFileAtomic(options.folder + "/manifest.txt", Join(result.manifest, "\n") + "\n");
    const std::string command =
        Python() + " " + OCTET_SOURCE_DIR + "/tests/witness/check_walk.py " + options.folder + "/manifest.txt";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  } else {
    std::printf("skipped: no %s for ONNX Runtime; run scripts/make_venv.sh\n", Python().c_str());
  }
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(options.folder);
}

std::vector<std::string> Backbones(bool large) {
  std::vector<std::string> names;
  for (const std::string& name : zoo::BackboneNames()) {
    if (IsLarge(name) == large) names.push_back(name);
  }
  return names;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

class Backbone : public testing::TestWithParam<std::string> {};
TEST_P(Backbone, TrainsExportsAndRuns) {
  WalkBackbone(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Zoo, Backbone, testing::ValuesIn(Backbones(false)), TestName);

class SlowBackbone : public testing::TestWithParam<std::string> {};
TEST_P(SlowBackbone, TrainsExportsAndRuns) {
  WalkBackbone(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Zoo, SlowBackbone, testing::ValuesIn(Backbones(true)), TestName);

}  // namespace
}  // namespace octet
