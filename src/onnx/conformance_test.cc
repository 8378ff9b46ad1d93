// ONNX's own test vectors and pretrained networks through the importer and the reference kernels. Needs the shared
// data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "onnx/raw_model.h"
#include "ops/install.h"
#include "report/npz.h"

namespace octet::onnx {
namespace {

namespace fs = std::filesystem;

std::string SharedData() {
  const char* env = std::getenv("OCTET_SHARED_DATA");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/../shared/data";
}

// "" when equal within ONNX's own tolerance, else what differs.
std::string Difference(const Tensor& got, const Tensor& want, double relative, double absolute) {
  if (got.shape() != want.shape()) return fmt::format("shape {} for {}", ToString(got.shape()), ToString(want.shape()));
  if (got.dtype() != want.dtype()) return fmt::format("type {} for {}", NameOf(got.dtype()), NameOf(want.dtype()));
  const std::vector<double> a = got.ToVector<double>(), b = want.ToVector<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    if (!(std::abs(a[i] - b[i]) <= absolute + relative * std::abs(b[i]))) {
      return fmt::format("element {}: {} for {}", i, a[i], b[i]);
    }
  }
  return "";
}

std::vector<std::string> Numbered(const fs::path& folder, const std::string& prefix) {
  std::vector<std::string> files;
  for (int i = 0;; ++i) {
    const fs::path file = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(file)) return files;
    files.push_back(file.string());
  }
}

// The graph with the names that export gives.
ir::Graph CleanNames(ir::Graph graph) {
  for (const auto& [from, to] : ExportNames(graph)) graph.RenameValue(graph.Find(from), to);
  for (const ir::NodeId id : graph.Order()) {
    std::string& name = graph.mutable_node(id).name;
    std::replace(name.begin(), name.end(), ':', '_');
  }
  return graph;
}

struct Tally {
  int passed = 0;
  std::map<std::string, int> unsupported;  // by operator or reason
  std::vector<std::string> refused;        // forms of known operators
  std::vector<std::string> failed;
};

bool ReadTensors(const std::vector<std::string>& files, std::vector<Tensor>* tensors, Tally* tally) {
  for (const std::string& file : files) {
    try {
      tensors->push_back(ReadTensorProto(file));
    } catch (const Error& e) {
      const std::string text = e.what();
      const size_t at = text.find("unsupported element type");
      ++tally
            ->unsupported[at == std::string::npos ? "sequence or broken tensor" : text.substr(at, text.find(';') - at)];
      return false;
    }
  }
  return true;
}

// Operators that the graph of the file needs and octet lacks.
std::set<std::string> Missing(const std::string& message) {
  std::set<std::string> ops;
  const size_t at = message.find("not supported: ");
  if (at == std::string::npos || message.find("without") == std::string::npos) return ops;
  for (const std::string& part : Split(message.substr(at + 15), ';')) {
    const std::string op(Trim(part.substr(0, part.find(" (opset"))));
    if (op.find(' ') == std::string::npos) ops.insert(op);
  }
  return ops;
}

void RunVector(const fs::path& folder, Tally* tally) {
  const std::string name = folder.filename().string();
  const std::string path = (folder / "model.onnx").string();
  if (name.find("BFLOAT16") != std::string::npos) {  // bfloat16 is read as f32, so nothing rounds to it
    ++tally->unsupported["rounding to BFLOAT16"];
    return;
  }
  std::vector<Tensor> inputs, outputs;
  if (!ReadTensors(Numbered(folder / "test_data_set_0", "input"), &inputs, tally)) return;
  if (!ReadTensors(Numbered(folder / "test_data_set_0", "output"), &outputs, tally)) return;
  ir::Graph graph;
  std::map<std::string, Tensor> feeds;
  try {
    const RawModel raw = ParseRawModel(ReadFile(path), path);
    std::vector<std::string> names;
    for (const RawValue& in : raw.inputs) {
      const bool initialized = std::any_of(raw.initializers.begin(), raw.initializers.end(),
                                           [&](const auto& init) { return init.first == in.name; });
      if (!initialized) names.push_back(in.name);
    }
    if (names.size() != inputs.size()) names.resize(std::min(names.size(), inputs.size()));
    ImportOptions options;
    for (size_t i = 0; i < names.size(); ++i) {
      feeds[names[i]] = inputs[i];
      options.input_shapes[names[i]] = inputs[i].shape();
    }
    try {
      graph = ImportOnnx(path, options);
    } catch (const Error& first) {
      // Sizes, axes and switches are inputs in these vectors and constants in networks: all but the data become
      // constants.
      if (!Missing(first.what()).empty()) throw;
      for (size_t i = names.size() > 1 ? 1 : 0; i < names.size(); ++i) {
        options.input_shapes.erase(names[i]);
        options.constant_inputs[names[i]] = inputs[i];
      }
      graph = ImportOnnx(path, options);
    }
  } catch (const Error& e) {
    const std::set<std::string> missing = Missing(e.what());
    for (const std::string& op : missing) ++tally->unsupported[op];
    const std::string text = e.what();
    const size_t at = text.find("unsupported element type");
    if (missing.empty() && at != std::string::npos) {
      ++tally->unsupported[text.substr(at, text.find(';', at) - at)];
    } else if (missing.empty()) {
      (e.kind() == ErrorKind::kUser ? tally->refused : tally->failed)
          .push_back(name + ": " + text.substr(text.find("': ") + 3));
    }
    return;
  }
  try {
    const std::vector<Tensor> got = ir::RunReference(graph, feeds);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::string difference = Difference(got.at(i), outputs[i], 1e-3, 1e-6);
      if (!difference.empty()) {
        tally->failed.push_back(fmt::format("{}: output {}: {}", name, i, difference));
        return;
      }
    }
    // And once more through our own file.
    const ir::Graph again = ImportOnnxBytes(ExportOnnxBytes(graph, name), name);
    if (name != "test_swish" && again != graph) {  // Swish is written as Sigmoid and Mul
      tally->failed.push_back(name + ": changed by export and import");
      return;
    }
    ++tally->passed;
  } catch (const Error& e) {
    tally->failed.push_back(name + ": " + e.what());
  }
}

Tally RunFolder(const std::string& group) {
  ops::InstallOps();
  Tally tally;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(SharedData() + "/onnx_conformance/" + group)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) RunVector(folder, &tally);
  int unsupported = 0;
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : tally.unsupported) {
    unsupported += count;
    reasons.push_back(fmt::format("{} ({})", reason, count));
  }
  fmt::print("{}: {} passed, {} unsupported, {} forms refused, {} failed\n  unsupported: {}\n", group, tally.passed,
             unsupported, tally.refused.size(), tally.failed.size(), Join(reasons, ", "));
  for (const std::string& text : tally.refused) fmt::print("  refused {}\n", text);
  for (const std::string& text : tally.failed) ADD_FAILURE() << text;
  return tally;
}

bool NoData() {
  if (fs::exists(SharedData() + "/onnx_conformance")) return false;
  fmt::print("skipped: no shared data\n");
  return true;
}

TEST(Conformance, Node) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  EXPECT_GE(RunFolder("node").passed, 300);
}

TEST(Conformance, PytorchOperator) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  EXPECT_GE(RunFolder("pytorch-operator").passed, 30);
}

TEST(Conformance, PytorchConverted) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  EXPECT_GE(RunFolder("pytorch-converted").passed, 33);
}

// Whole networks with constant weights; the input is 0, 1/n, 2/n, ... as in ONNX's test runner.
class Light : public ::testing::TestWithParam<const char*> {};

TEST_P(Light, Network) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  if (std::string(GetParam()) == "vgg19" && std::getenv("OCTET_SLOW_TESTS") == nullptr) {
    GTEST_SKIP() << "half a minute; set OCTET_SLOW_TESTS=1";
  }
  ops::InstallOps();
  const std::string stem = SharedData() + "/onnx_conformance/light/light_" + GetParam();
  const ir::Graph graph = ImportOnnx(stem + ".onnx");
  ASSERT_EQ(graph.inputs().size(), 1u);
  const ir::Value& in = graph.value(graph.inputs()[0]);
  Tensor x(DType::kF32, in.type.shape);
  float* data = x.mutable_data<float>();
  for (int64_t i = 0; i < x.size(); ++i)
    data[i] = static_cast<float>(static_cast<double>(i) / static_cast<double>(x.size()));
  const std::vector<Tensor> got = ir::RunReference(graph, {{in.name, x}});
  EXPECT_EQ(Difference(got.at(0), ReadTensorProto(stem + "_output_0.pb"), 1e-3, 1e-6), "");
}

INSTANTIATE_TEST_SUITE_P(All, Light,
                         ::testing::Values("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50",
                                           "shufflenet", "squeezenet", "vgg19", "zfnet512"),
                         [](const auto& test) { return std::string(test.param); });

// ---- pretrained networks

TEST(Pretrained, GoldenOutputs) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  ops::InstallOps();
  int count = 0;
  for (const auto& entry : fs::directory_iterator(SharedData() + "/models")) {
    if (entry.path().extension() != ".onnx") continue;
    const std::string stem = entry.path().stem().string();
    const std::string golden = SharedData() + "/models_golden/" + stem + ".npz";
    if (!fs::exists(golden)) continue;
    SCOPED_TRACE(stem);
    const ir::Graph graph = ImportOnnx(entry.path().string());
    const std::map<std::string, Tensor> arrays = report::ReadNpz(golden);
    const Tensor& x = arrays.at("input");
    const std::vector<Tensor> got = ir::RunReference(graph, {{graph.value(graph.inputs().at(0)).name, x}});
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const std::string name = graph.value(graph.outputs()[i]).name;
      const auto want = arrays.find("out_" + name);
      if (want == arrays.end()) continue;
      double largest = 0, worst = 0;
      ASSERT_EQ(got[i].size(), want->second.size());
      const std::vector<float> a = got[i].ToVector<float>(), b = want->second.ToVector<float>();
      for (size_t k = 0; k < a.size(); ++k) {
        largest = std::max(largest, std::abs(static_cast<double>(b[k])));
        worst = std::max(worst, std::abs(static_cast<double>(a[k]) - b[k]));
      }
      fmt::print("{} {}: largest difference {:.2g} of {:.3g}\n", stem, name, worst, largest);
      EXPECT_LE(worst, 1e-4 * largest);
      ++count;
    }
    // Our own file of it is the same network.
    const ir::Graph again = ImportOnnxBytes(ExportOnnxBytes(graph, stem), stem);
    const ir::Graph renamed = CleanNames(graph);
    EXPECT_TRUE(again == renamed);
  }
  EXPECT_GE(count, 7);
}

// ONNX Runtime's small Q/DQ networks: what we import we write again unchanged, and the rest is refused with a reason.
TEST(Pretrained, QuantizedModels) {
  if (!fs::exists(SharedData() + "/ort_qdq_models")) GTEST_SKIP() << "skipped: the shared data has no ort_qdq_models";
  ops::InstallOps();
  int imported = 0;
  std::vector<std::string> refused;
  for (const auto& entry : fs::recursive_directory_iterator(SharedData() + "/ort_qdq_models")) {
    if (entry.path().extension() != ".onnx") continue;
    SCOPED_TRACE(entry.path().string());
    try {
      const ir::Graph graph = ImportOnnx(entry.path().string());
      ++imported;
      const ir::Graph renamed = CleanNames(graph);
      const ir::Graph again = ImportOnnxBytes(ExportOnnxBytes(graph, "again"), "again");
      EXPECT_EQ(ir::Print(again), ir::Print(renamed));
      EXPECT_TRUE(again == renamed);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      const std::string text = e.what();
      refused.push_back(text.substr(text.rfind('/') + 1));
    }
  }
  fmt::print("Q/DQ models: {} imported, {} refused\n  {}\n", imported, refused.size(), Join(refused, "\n  "));
  EXPECT_GE(imported, 30);
}

TEST(Pretrained, CustomOperatorIsNamed) {
  if (NoData()) GTEST_SKIP() << "the shared data is absent";
  ops::InstallOps();
  try {
    ImportOnnx(SharedData() + "/models/qonnx_espcn_nnresize_quant.onnx");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("onnx.brevitas.Quant"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace octet::onnx
