// One truth: the engine computes the same codes from an .octet model, from the FP32 ONNX with its calibration cache,
// and from the Q/DQ ONNX in either dialect; TensorRT's rule finds the codes of the weights in the FP32 file. And every
// network of the shared data goes through all of it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/fusion_regions.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "report/npy.h"
#include "report/npz.h"
#include "task/calibrate.h"
#include "task/ptq/apply_cache.h"
#include "task/ptq/full_coverage.h"
#include "task/ptq/post_training.h"
#include "task/ptq/quantize_file.h"
#include "task/ptq/write_deployment.h"
#include "tensorrt/calibration_cache.h"
#include "train/graph_module.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

constexpr int kSize = 64;

std::string SharedData() {
  const char* env = std::getenv("OCTET_SHARED_DATA");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/../shared/data";
}

Tensor Images(int64_t count, uint32_t seed) {
  Tensor x(DType::kF32, {count, 3, kSize, kSize});
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  auto* data = x.mutable_data<float>();
  // Neighbours resemble each other, as in pictures.
  for (int64_t i = 0; i < x.size(); ++i)
    data[i] = i % kSize == 0 ? normal(random) : 0.8f * data[i - 1] + 0.6f * normal(random);
  return x;
}

task::ImageSource Once(const Tensor& images) {
  auto given = std::make_shared<bool>(false);
  return [=](Tensor& out) {
    out = images;
    return !std::exchange(*given, true);
  };
}

// As after QAT: batch norms that know their tensors, learned ranges. `calibrated` with images.
ir::Graph TrainedNetwork(const std::string& backbone, const Tensor& images, const std::string& recipe = "fused") {
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.input_height = options.input_width = kSize;
  options.bn_momentum = 0.5f;
  train::GraphModule module(zoo::BuildNetwork(options));
  module.SetTraining(true);
  const Tensor seed(DType::kF32, {images.dim(0), 10});
  for (int i = 0; i < 6; ++i) module.Gradients({{"input_1", images}}, "logits", seed);
  ir::Graph g = passes::PrepareForQat(module.WriteBack(), {}, recipe);
  task::CalibrationOptions calibration;
  calibration.method = quant::CalibrationMethod::kMax;
  const auto amax = task::Calibrate(passes::StripQdq(g), Once(images), calibration);
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (node.op != "QuantizeLinear" || node.attr_string("observer", "") != "moving_average") continue;
    g.set_constant(node.input(1), Tensor::Scalar(quant::ScaleOfAmax(0.9f * amax.at(g.value(node.input(0)).name))));
  }
  return g;
}

std::map<std::string, Tensor> Codes(const ir::Graph& quantized, const std::string& input, const Tensor& images,
                                    std::vector<Tensor>* outputs) {
  const engine::Engine engine = engine::Engine::FromGraph(passes::PrepareForEngine(quantized));
  const auto context = engine.NewContext({images.dim(0), 2, true});
  *outputs = context->Run({{input, images}});
  std::map<std::string, Tensor> codes;
  for (const std::string& name : context->intermediate_names()) {
    const Tensor value = context->Intermediate(name);
    if (value.dtype() == DType::kS8) codes[name] = value;
  }
  return codes;
}

// Every code of `a` that `b` also has, and all outputs, are equal. Returns how many codes were compared.
int64_t ExpectSame(const std::map<std::string, Tensor>& a, const std::vector<Tensor>& outputs_a,
                   const std::map<std::string, Tensor>& b, const std::vector<Tensor>& outputs_b) {
  int64_t compared = 0;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, codes] : a) {
    const auto other = b.find(name);
    if (other == b.end()) {
      ADD_FAILURE() << "no codes '" << name << "'";
      continue;
    }
    EXPECT_EQ(codes, other->second) << name;
    compared += codes.size();
  }
  EXPECT_EQ(outputs_a.size(), outputs_b.size());
  for (size_t i = 0; i < outputs_a.size(); ++i) EXPECT_EQ(outputs_a[i], outputs_b[i]) << "output " << i;
  return compared;
}

class Deployment : public ::testing::Test {
 protected:
  Deployment() : folder_(::testing::TempDir() + fmt::format("octet_deployment_{}", ::getpid())) {
    ops::InstallOps();
    MakeDirectories(folder_);
  }
  ~Deployment() override { std::filesystem::remove_all(folder_); }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

class OneTruth : public Deployment, public ::testing::WithParamInterface<const char*> {
 protected:
  // ONNX Runtime: both dialects give the same, bit for bit.
  void ExpectSameDialects(const Tensor& images) const {
    const char* python = std::getenv("OCTET_PYTHON");
    const std::string interpreter = python != nullptr ? python : OCTET_SOURCE_DIR "/.venv/bin/python";
    if (!FileExists(interpreter)) {
      std::printf("skipped: no %s for ONNX Runtime; run scripts/make_venv.sh\n", interpreter.c_str());
      return;
    }
    report::WriteNpy(File("x.npy"), images);
    const std::string command = fmt::format("{} {}/tests/witness/compare_dialects.py {} {} --input {}", interpreter,
                                            OCTET_SOURCE_DIR, File("qdq.onnx"), File("qdq_ort.onnx"), File("x.npy"));
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
};

TEST_P(OneTruth, EveryFormGivesTheSameCodes) {
  const Tensor images = Images(8, 3);
  ir::Model model;
  model.graph = TrainedNetwork(GetParam(), images);
  ir::WriteModel(File("model.octet"), model);
  const ir::Graph trained = ir::ReadModel(File("model.octet")).graph;
  const ir::Graph folded = passes::PrepareForExport(trained);
  const ir::Graph plain = passes::StripQdq(folded);
  task::DeploymentOptions options;
  options.folder = folder_;
  options.qdq_target = "both";
  task::WriteDeployment(plain, folded, passes::CollectScales(folded), {}, options);

  std::vector<Tensor> outputs, others;
  const auto codes = Codes(trained, "input_1", images, &outputs);
  ASSERT_GT(codes.size(), 10u);
  int64_t compared = 0;
  const ir::Graph fp32 = onnx::ImportOnnx(File("fp32.onnx"));
  {
    SCOPED_TRACE("FP32 ONNX and calibration cache");
    const auto other =
        Codes(task::ApplyCache(fp32, tensorrt::ReadCalibrationCache(File("calib.cache"))), "input_1", images, &others);
    compared += ExpectSame(codes, outputs, other, others);
  }
  for (const char* file : {"qdq.onnx", "qdq_ort.onnx"}) {
    SCOPED_TRACE(file);
    const auto other = Codes(onnx::ImportOnnx(File(file)), "input_1", images, &others);
    compared += ExpectSame(codes, outputs, other, others);
  }
  {
    SCOPED_TRACE("plan");
    const engine::Engine engine = engine::Engine::Load(File("model.plan"));
    EXPECT_EQ(engine.NewContext({8, 1, false})->Run({{"input_1", images}}), outputs);
  }
  ExpectSameDialects(images);
  // TensorRT's implicit rule on the weights of the FP32 file: max |w| / 127 for each channel, ties to +infinity.
  int64_t weights = 0;
  const ir::Graph qdq = onnx::ImportOnnx(File("qdq.onnx"));
  for (const ir::NodeId id : qdq.Order()) {
    const ir::Node& node = qdq.node(id);
    if (node.op != "QuantizeLinear" || !qdq.value(node.input(0)).is_constant()) continue;
    const std::string& name = qdq.value(node.input(0)).name;
    const auto axis = static_cast<int>(node.attr_int("axis", 1));
    const Tensor learned = quant::QuantizeWeight(qdq.value(node.input(0)).constant,
                                                 qdq.value(node.input(1)).constant.ToVector<float>(), axis);
    const Tensor& w = fp32.value(fp32.Find(name)).constant;
    std::vector<float> scales = quant::AmaxPerChannel(w, axis);
    for (float& s : scales) s = quant::ScaleOfAmax(s);
    EXPECT_EQ(quant::QuantizeWeight(w, scales, axis, quant::WeightRounding::kTiesUp), learned) << name;
    weights += w.size();
  }
  EXPECT_GT(weights, 100000);
  std::printf("%s: %ld codes of activations and %ld of weights compared\n", GetParam(), static_cast<long>(compared),
              static_cast<long>(weights));
}

// TAO's pairs: the explicit forms give the same codes. A cache cannot say them (it has no scale for a result that no
// layer reads through a pair, and none for the output layer): TensorRT reads this recipe from the Q/DQ file.
TEST_P(OneTruth, ExplicitFormsOfRecipeInputs) {
  const Tensor images = Images(8, 3);
  const ir::Graph trained = TrainedNetwork(GetParam(), images, "inputs");
  const ir::Graph folded = passes::PrepareForExport(trained);
  task::DeploymentOptions options;
  options.folder = folder_;
  options.qdq_target = "both";
  task::WriteDeployment(passes::StripQdq(folded), folded, passes::CollectScales(folded), {}, options);
  std::vector<Tensor> outputs, others;
  const auto codes = Codes(trained, "input_1", images, &outputs);
  ASSERT_GT(codes.size(), 10u);
  for (const char* file : {"qdq.onnx", "qdq_ort.onnx"}) {
    SCOPED_TRACE(file);
    const auto other = Codes(onnx::ImportOnnx(File(file)), "input_1", images, &others);
    EXPECT_GT(ExpectSame(codes, outputs, other, others), 1000);
  }
  const engine::Engine engine = engine::Engine::Load(File("model.plan"));
  EXPECT_EQ(engine.NewContext({8, 1, false})->Run({{"input_1", images}}), outputs);
  ExpectSameDialects(images);
}

INSTANTIATE_TEST_SUITE_P(Networks, OneTruth,
                         ::testing::Values("resnet_18", "mobilenet_v2", "efficientnet-b0", "squeezenet"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

// A cache for DLA: QAT's scales stay, the other tensors get calibrated ones; fewer in the fused cache.
TEST_F(Deployment, FullCoverage) {
  const Tensor images = Images(8, 3);
  for (const char* backbone : {"resnet_10", "squeezenet"}) {
    const ir::Graph folded = passes::PrepareForExport(TrainedNetwork(backbone, images));
    const ir::Graph plain = passes::StripQdq(folded);
    const passes::Scales fused = passes::CollectScales(folded);
    const task::CoveredScales full = task::CoverEveryTensor(folded, plain, Once(images), {});
    EXPECT_LT(fused.size(), full.scales.size()) << backbone;
    EXPECT_EQ(full.learned, static_cast<int64_t>(fused.size()));
    EXPECT_EQ(full.learned + full.calibrated, static_cast<int64_t>(full.scales.size()));
    // Everything but what only leaves the network.
    EXPECT_EQ(full.scales.size(), task::CalibratedTensors(plain).size() - plain.outputs().size());
    const std::map<std::string, float> scales(full.scales.begin(), full.scales.end());
    for (const auto& [name, scale] : fused) EXPECT_EQ(scales.at(name), scale) << name;
    for (const auto& [name, scale] : full.scales) {
      EXPECT_GT(scale, 0) << name;
      EXPECT_FALSE(plain.is_output(plain.Find(name))) << name;
    }
    for (const ir::NodeId id : plain.Order()) {  // operators that move values, and Concat
      const ir::Node& node = plain.node(id);
      if (plain.is_output(node.output()) || scales.count(plain.value(node.output()).name) == 0) continue;
      if (node.op == "MaxPool" || node.op == "Flatten") {
        EXPECT_EQ(scales.at(plain.value(node.output()).name), scales.at(plain.value(node.input(0)).name)) << node.name;
      }
    }
    std::printf("%s: %zu scales fused, %zu full\n", backbone, fused.size(), full.scales.size());
    // The cache is one that our own reader and engine take.
    tensorrt::CalibrationCache cache;
    cache.version = 8601;
    for (const auto& [name, scale] : full.scales) cache.entries.push_back({name, scale});
    tensorrt::WriteCalibrationCache(File("full.cache"), cache);
    EXPECT_NO_THROW(task::ApplyCache(plain, tensorrt::ReadCalibrationCache(File("full.cache"))));
  }
}

// Networks that nobody here wrote: FP32 on LibTorch as recorded, calibrated, exported, read again, built, run in INT8;
// cache and both Q/DQ files give the plan's codes.
TEST_F(Deployment, EveryNetworkOfTheSharedData) {
  if (!FileExists(SharedData() + "/models_golden/mnist-8.npz")) {
    std::printf("skipped: no shared data\n");
    GTEST_SKIP();
  }
  int networks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SharedData() + "/models")) {
    const std::string stem = entry.path().stem().string();
    const std::string golden = SharedData() + "/models_golden/" + stem + ".npz";
    if (entry.path().extension() != ".onnx" || !FileExists(golden)) continue;
    SCOPED_TRACE(stem);
    const ir::Graph graph = task::LoadFloatNetwork(entry.path().string(), {}, nullptr);
    const std::map<std::string, Tensor> arrays = report::ReadNpz(golden);
    const Tensor& x = arrays.at("input");
    const std::string input = graph.value(graph.inputs().at(0)).name;
    const std::vector<Tensor> got = train::GraphModule(graph).Evaluate({{input, x}});
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const auto want = arrays.find("out_" + graph.value(graph.outputs()[i]).name);
      if (want == arrays.end()) continue;
      const std::vector<float> a = got[i].ToVector<float>(), b = want->second.ToVector<float>();
      ASSERT_EQ(a.size(), b.size());
      double largest = 0, worst = 0;
      for (size_t k = 0; k < a.size(); ++k) {
        largest = std::max<double>(largest, std::fabs(b[k]));
        worst = std::max<double>(worst, std::fabs(a[k] - b[k]));
      }
      EXPECT_LE(worst, 1e-4 * largest);
    }
    task::PtqOptions ptq;
    ptq.probe_images = 1;
    ptq.equalize = ptq.correct_bias = task::Apply::kYes;
    ptq.method = quant::CalibrationMethod::kMax;
    const task::PtqResult result = task::QuantizeAfterTraining(
        graph, [&] { return Once(x); }, ptq);
    task::DeploymentOptions options;
    options.folder = folder_;
    options.stem = stem;
    options.qdq_target = "both";
    task::WriteDeployment(result.float_graph, result.quantized, result.scales, {}, options);
    std::vector<Tensor> outputs, others;
    const auto codes = Codes(result.quantized, input, x, &outputs);
    const ir::Graph fp32 = onnx::ImportOnnx(File(stem + ".fp32.onnx"));
    const std::string exported = fp32.value(fp32.inputs()[0]).name;
    Codes(task::ApplyCache(fp32, tensorrt::ReadCalibrationCache(File(stem + ".calib.cache"))), exported, x, &others);
    EXPECT_EQ(outputs, others) << "cache";
    Codes(onnx::ImportOnnx(File(stem + ".qdq.onnx")), exported, x, &others);
    EXPECT_EQ(outputs, others) << "qdq.onnx";
    Codes(onnx::ImportOnnx(File(stem + ".qdq_ort.onnx")), exported, x, &others);
    EXPECT_EQ(outputs, others) << "qdq_ort.onnx";
    const engine::Engine engine = engine::Engine::Load(File(stem + ".model.plan"));
    EXPECT_EQ(engine.NewContext({x.dim(0), 1, false})->Run({{engine.inputs()[0].name, x}}), outputs) << "plan";
    EXPECT_GT(result.error.sqnr_db, 8);
    std::printf("%-40s %5zu tensors of codes, SQNR %.1f dB, %zu nodes by reference kernels\n", stem.c_str(),
                codes.size(), result.error.sqnr_db, engine.NewContext({x.dim(0), 1, false})->fallback_nodes().size());
    ++networks;
  }
  EXPECT_GE(networks, 7);
}

}  // namespace
}  // namespace octet
