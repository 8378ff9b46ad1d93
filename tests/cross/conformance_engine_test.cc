// ONNX's test vectors on the INT8 engine: the float operators of a plan. src/onnx/conformance_test.cc runs them on the
// reference kernels. Needs the shared data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "ir/op_def.h"
#include "onnx/onnx_import.h"
#include "onnx/raw_model.h"
#include "ops/install.h"
#include "passes/pipelines.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

std::string SharedData() {
  const char* env = std::getenv("OCTET_SHARED_DATA");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/../shared/data";
}

std::vector<Tensor> Numbered(const fs::path& folder, const std::string& prefix) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path file = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(file)) return tensors;
    tensors.push_back(onnx::ReadTensorProto(file.string()));
  }
}

bool AllFloat(const std::vector<Tensor>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.dtype() == DType::kF32; });
}

struct Vector {
  ir::Graph graph;
  std::map<std::string, Tensor> feeds;
  std::vector<Tensor> outputs;
};

// All inputs but the first are constants, as in a network; where they must differ from run to run, inputs.
Vector Load(const fs::path& folder) {
  const std::string path = (folder / "model.onnx").string();
  Vector v;
  const std::vector<Tensor> inputs = Numbered(folder / "test_data_set_0", "input");
  v.outputs = Numbered(folder / "test_data_set_0", "output");
  OCTET_REQUIRE(!inputs.empty() && AllFloat({inputs[0]}) && AllFloat(v.outputs), "not of floats");
  const auto declared = onnx::InputsOf(path);
  for (const bool constants : {true, false}) {
    onnx::ImportOptions options;
    v.feeds.clear();
    for (size_t i = 0; i < inputs.size() && i < declared.size(); ++i) {
      const std::string& name = declared[i].first;
      if (i > 0 && constants) {
        options.constant_inputs[name] = inputs[i];
        continue;
      }
      OCTET_REQUIRE(inputs[i].dtype() == DType::kF32, "not of floats");
      options.input_shapes[name] = inputs[i].shape();
      v.feeds[name] = inputs[i];
    }
    try {
      v.graph = onnx::ImportOnnx(path, options);
      return v;
    } catch (const Error&) {
      if (!constants) throw;
    }
  }
  return v;
}

std::string Difference(const Tensor& got, const Tensor& want) {
  if (got.shape() != want.shape()) return fmt::format("shape {} for {}", ToString(got.shape()), ToString(want.shape()));
  const float* a = got.data<float>();
  const float* b = want.data<float>();
  for (int64_t i = 0; i < want.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    if (!(std::fabs(a[i] - b[i]) <= 1e-6f + 1e-3f * std::fabs(b[i]))) {
      return fmt::format("element {}: {} for {}", i, a[i], b[i]);
    }
  }
  return "";
}

void RunGroup(const std::string& group, int at_least) {
  ops::InstallOps();
  const std::string root = SharedData() + "/onnx_conformance/" + group;
  if (!fs::exists(root)) {
    fmt::print("skipped: no shared data\n");
    GTEST_SKIP();
  }
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  int passed = 0, fallbacks = 0;
  std::map<std::string, int> left_out;
  for (const fs::path& folder : folders) {
    if (folder.filename().string().find("BFLOAT16") != std::string::npos) {  // read as f32, so nothing rounds to it
      ++left_out["rounding to BFLOAT16"];
      continue;
    }
    Vector v;
    try {
      v = Load(folder);
    } catch (const Error& e) {
      ++left_out[std::string(e.what()) == "not of floats" ? "not of floats"
                                                          : "not imported (conformance_test says why)"];
      continue;
    }
    try {
      const engine::Engine engine = engine::Engine::FromGraph(passes::PrepareForEngine(v.graph));
      const auto context = engine.NewContext(
          {v.feeds.begin()->second.shape().empty() ? 1 : std::max<int64_t>(1, v.feeds.begin()->second.dim(0)), 1,
           false});
      const std::vector<Tensor> got = context->Run(v.feeds);
      ASSERT_GE(got.size(), v.outputs.size());
      std::string wrong;
      for (size_t i = 0; i < v.outputs.size() && wrong.empty(); ++i) wrong = Difference(got[i], v.outputs[i]);
      EXPECT_EQ(wrong, "") << folder.filename();
      if (wrong.empty()) {
        ++passed;
        fallbacks += context->fallback_nodes().empty() ? 0 : 1;
      }
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << folder.filename() << ": " << e.what();
      const std::string text = e.what();
      const size_t open = text.find('(');
      ++left_out["refused: " + (open == std::string::npos ? text : text.substr(0, 60))];
    }
  }
  fmt::print("{} on the engine: {} passed ({} of them with a reference kernel)\n", group, passed, fallbacks);
  for (const auto& [reason, count] : left_out) fmt::print("  {:4} {}\n", count, reason);
  EXPECT_GE(passed, at_least);
}

TEST(EngineConformance, Node) {
  RunGroup("node", 250);
}
TEST(EngineConformance, PytorchOperator) {
  RunGroup("pytorch-operator", 25);
}
TEST(EngineConformance, PytorchConverted) {
  RunGroup("pytorch-converted", 33);
}

}  // namespace
}  // namespace octet
