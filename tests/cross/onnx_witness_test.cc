// Whole networks, written by us and read by others: ONNX's checker and ONNX Runtime on the FP32 and the Q/DQ file, a
// Python script on the calibration cache. Needs the Python environment of scripts/make_venv.sh.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "base/files.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "report/npy.h"
#include "tensorrt/calibration_cache.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

std::string Python() {
  const char* env = std::getenv("OCTET_PYTHON");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
}

class OnnxWitness : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!FileExists(Python())) GTEST_SKIP() << "no " << Python() << "; run scripts/make_venv.sh";
    ops::InstallOps();
    folder_ = ::testing::TempDir() + fmt::format("octet_witness_{}_{}", GetParam(), ::getpid());
  }

  void Run(const std::string& script, const std::string& arguments) const {
    const std::string command = fmt::format("{} {}/tests/witness/{} {}", Python(), OCTET_SOURCE_DIR, script, arguments);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
  std::string File(const char* name) const { return folder_ + "/" + name; }

  std::string folder_;
};

// A network as if it were trained: batch norms that do something.
ir::Graph Network(const std::string& backbone) {
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.input_height = options.input_width = 32;
  ir::Graph graph = zoo::BuildNetwork(options);
  std::mt19937 random(5);
  std::uniform_real_distribution<float> spread(-0.3f, 0.3f);
  for (const ir::NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "BatchNormalization") continue;
    for (size_t i = 1; i < 5; ++i) {
      Tensor t = graph.value(node.inputs[i]).constant;
      float* data = t.mutable_data<float>();
      for (int64_t k = 0; k < t.size(); ++k) data[k] = (i == 1 || i == 4 ? 1.0f : 0.0f) + spread(random);
      graph.set_constant(node.inputs[i], t);
    }
  }
  return graph;
}

Tensor Images(int64_t count) {
  Tensor x(DType::kF32, {count, 3, 32, 32});
  std::mt19937 random(9);
  std::normal_distribution<float> normal(0, 1);
  float* data = x.mutable_data<float>();
  for (int64_t i = 0; i < x.size(); ++i) data[i] = normal(random);
  return x;
}

TEST_P(OnnxWitness, OthersAgree) {
  const ir::Graph fp32 = passes::PrepareForExport(Network(GetParam()));
  onnx::ExportOnnx(fp32, File("fp32.onnx"));
  EXPECT_TRUE(onnx::ImportOnnx(File("fp32.onnx")) == fp32);

  // Reference outputs and the range of every float tensor that a layer makes.
  const Tensor x = Images(4);
  std::vector<ir::ValueId> tensors;
  for (const ir::ValueId id : fp32.values()) {
    if (!fp32.value(id).is_constant()) tensors.push_back(id);
  }
  const std::vector<Tensor> values = ir::RunReference(fp32, {{"input_1", x}}, tensors);
  tensorrt::CalibrationCache cache;
  cache.version = tensorrt::VersionInteger("8.6.1");
  passes::InsertQdqOptions qdq_options;
  std::string json = "{";
  const std::map<std::string, std::string> names = onnx::ExportNames(fp32);
  for (size_t i = 0; i < tensors.size(); ++i) {
    float amax = 0;
    for (const float v : values[i].ToVector<float>()) amax = std::max(amax, std::abs(v));
    const std::string& name = fp32.value(tensors[i]).name;
    cache.entries.push_back({names.at(name), tensorrt::ScaleOfAmax(amax)});
    qdq_options.scales[name] = tensorrt::ScaleOfAmax(amax);
    json += fmt::format("{}\"{}\": {:.9g}", i == 0 ? "" : ", ", names.at(name), amax);
  }
  tensorrt::WriteCalibrationCache(File("calib.cache"), cache);
  WriteFileAtomic(File("amax.json"), json + "}\n");
  Run("check_cache.py", File("calib.cache") + " " + File("amax.json"));

  const ir::Graph qdq = passes::PrepareForExport(passes::PrepareForPtq(Network(GetParam()), qdq_options));
  onnx::ExportOnnx(qdq, File("qdq.onnx"));
  Run("check_onnx.py", File("fp32.onnx") + " " + File("qdq.onnx"));

  report::WriteNpy(File("x.npy"), x);
  const auto compare = [&](ir::Graph graph, const char* file, const std::string& bar) {
    graph.ReplaceOutput(0, graph.Find("logits"));  // the softmax would hide differences
    graph.RemoveUnused();
    onnx::ExportOnnx(graph, File(file));
    const Tensor logits = ir::RunReference(graph, {{"input_1", x}})[0];
    Tensor top1(DType::kS64, {logits.dim(0)});
    for (int64_t n = 0; n < logits.dim(0); ++n) {
      const float* row = logits.data<float>() + n * logits.dim(1);
      top1.mutable_data<int64_t>()[n] = std::max_element(row, row + logits.dim(1)) - row;
    }
    report::WriteNpy(File("y.npy"), logits);
    report::WriteNpy(File("top1.npy"), top1);
    Run("compare_ort.py", fmt::format("{} --input {} --expect {} {}", File(file), File("x.npy"), File("y.npy"), bar));
    Run("ort_top1.py", fmt::format("{} {} --expect {} --bar 0.995", File(file), File("x.npy"), File("top1.npy")));
  };
  compare(fp32, "fp32_logits.onnx", "--rtol 1e-4");
  // The same integers everywhere, except where float sums in another order cross a tie and move a code.
  compare(qdq, "qdq_logits.onnx", "--rtol 0.01 --only off");
}

INSTANTIATE_TEST_SUITE_P(Zoo, OnnxWitness, ::testing::Values("resnet_18", "mobilenet_v2"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace octet
