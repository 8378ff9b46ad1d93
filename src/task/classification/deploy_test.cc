// octet classification calibrate and export in every form, octet quantize, inspect --ranges and sensitivity, on small
// drawn images: which files, what stands in them, and what is said when it cannot be done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "data/synthetic.h"
#include "engine/engine.h"
#include "ir/model_file.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "report/npy.h"
#include "task/classification/classification.h"
#include "task/classification/setup.h"
#include "task/ptq/examine_file.h"
#include "task/ptq/quantize_file.h"
#include "tensorrt/calibration_cache.h"
#include "zoo/zoo.h"

namespace octet::task::classification {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Deploy : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops::InstallOps();
    root_ = testing::TempDir() + "octet_deploy_" + std::to_string(::getpid());
    fs::remove_all(root_);
    data::SyntheticOptions o;
    o.classes = 3;
    o.train_per_class = 8;
    o.val_per_class = 4;
    o.size = 40;
    data::GenerateSynthetic(root_ + "/data", o);
    // A float model and one as after QAT; batch norms as they are made.
    zoo::NetworkOptions options;
    options.backbone = "mobilenet_v1";
    options.width_multiplier = 0.25f;
    options.num_classes = 3;
    options.input_height = options.input_width = 32;
    ir::Model model;
    model.graph = zoo::BuildNetwork(options);
    data::PreprocessOptions preprocess;
    preprocess.width = preprocess.height = 32;
    preprocess.mode = data::PreprocessMode::kTorch;
    model.info = DescribeData({"arrow", "crescent", "cross"}, preprocess);
    ir::WriteModel(root_ + "/float.octet", model);
    onnx::ExportOnnx(passes::PrepareForExport(model.graph), root_ + "/float.onnx");
    model.graph = passes::PrepareForQat(model.graph);
    ir::WriteModel(root_ + "/qat.octet", model);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static spec::Spec Spec(const std::string& name, const std::vector<std::string>& overrides = {}) {
    return spec::ParseSpec("classification",
                           "results_dir: " + root_ + "/" + name + R"(
dataset: {num_classes: 3, preprocess_mode: torch, train_dataset_path: )" +
                               root_ + R"(/data/train}
model: {backbone: mobilenet_v1, width_multiplier: 0.25, input_width: 32, input_height: 32}
train: {threads: 1}
quant: {calibration_images: 16, probe_images: 8}
calibrate: {checkpoint: )" + root_ +
                               "/float.octet}\nexport: {checkpoint: " + root_ + "/qat.octet}\n",
                           "spec.yaml", overrides);
  }
  static std::string Path(const std::string& name) { return root_ + "/" + name; }
  static nlohmann::json Results(const std::string& folder) {
    return nlohmann::json::parse(ReadFile(Path(folder) + "/results.json"));
  }
  static std::string MessageOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 1) << e.what();
      return e.what();
    }
    return "no error";
  }
  static std::string root_;
};
std::string Deploy::root_;

TEST_F(Deploy, CalibrateWritesEveryForm) {
  Calibrate(Spec("ptq", {"export.qdq_target=both", "export.opset=17", "export.tensorrt_version=10.3.0"}));
  const nlohmann::json results = Results("ptq/calibrate");
  EXPECT_EQ(results["metrics"]["images"], 16);
  EXPECT_EQ(results["metrics"]["probe_images"], 8);
  EXPECT_GT(results["metrics"]["sqnr_db"], 10);
  for (const char* file :
       {"fp32_onnx", "qdq_onnx", "qdq_ort_onnx", "calibration_cache", "tensor_scales", "trtexec", "plan", "ranges"}) {
    ASSERT_TRUE(results["files"].contains(file)) << file;
    EXPECT_TRUE(FileExists(results["files"][file])) << file;
  }
  const tensorrt::CalibrationCache cache = tensorrt::ReadCalibrationCache(Path("ptq/calibrate/calib.cache"));
  EXPECT_EQ(cache.version, 100300);
  const nlohmann::json scales =
      nlohmann::json::parse(ReadFile(Path("ptq/calibrate/tensor_scales.json")))["tensor_scales"];
  ASSERT_EQ(scales.size(), cache.entries.size());
  for (const auto& entry : cache.entries) EXPECT_FLOAT_EQ(scales[entry.name], entry.scale * 127) << entry.name;
  const ir::Graph fp32 = onnx::ImportOnnx(Path("ptq/calibrate/fp32.onnx"));
  for (const auto& entry : cache.entries) EXPECT_NE(fp32.Find(entry.name), ir::kNoValue) << entry.name;
  EXPECT_THAT(ReadFile(Path("ptq/calibrate/trtexec.txt")),
              AllOf(HasSubstr("trtexec --onnx=" + Path("ptq/calibrate/fp32.onnx") + " --int8 --calib="),
                    HasSubstr("--optShapes=input_1:1x3x32x32"), HasSubstr("qdq.onnx --int8")));
  EXPECT_THAT(ReadFile(Path("ptq/calibrate/ranges.csv")),
              HasSubstr("tensor,min,max,amax,scale,method,error\ninput_1,"));
  // The plan evaluates like any other.
  Evaluate(Spec(
      "ptq", {"evaluate.trt_engine=" + Path("ptq/calibrate/model.plan"), "evaluate.dataset_path=" + Path("data/val")}));
}

TEST_F(Deploy, ExportWithFullCoverageHasMoreScales) {
  Export(Spec("fused"));
  Export(Spec("full", {"export.coverage=full"}));
  const auto fused = tensorrt::ReadCalibrationCache(Path("fused/export/calib.cache"));
  const auto full = tensorrt::ReadCalibrationCache(Path("full/export/calib.cache"));
  EXPECT_LT(fused.entries.size(), full.entries.size());
  for (const auto& entry : fused.entries) {
    ASSERT_NE(full.Find(entry.name), nullptr) << entry.name;
    EXPECT_EQ(full.Find(entry.name)->scale, entry.scale) << entry.name;
  }
  EXPECT_EQ(Results("fused/export")["metrics"]["scales_qat"], fused.entries.size());
  EXPECT_EQ(Results("full/export")["metrics"]["scales_qat"], fused.entries.size());
  EXPECT_EQ(Results("full/export")["metrics"]["scales_full"], full.entries.size());
  EXPECT_THAT(ReadFile(Path("full/export/trtexec.txt")),
              AllOf(HasSubstr("--useDLACore=0"), Not(HasSubstr("qdq.onnx"))));
  EXPECT_TRUE(FileExists(Path("fused/export/tensor_scales.json")));
  EXPECT_THAT(MessageOf([] {
                Export(Spec("none", {"export.coverage=full", "dataset.train_dataset_path=''"}));
              }),
              HasSubstr("no calibration images; set quant.calibration_dataset_path"));
}

TEST_F(Deploy, ExportForOnnxRuntimeAndForNewTensorRt) {
  Export(Spec("ort", {"export.qdq_target=ort", "export.tensorrt_version=11.0"}));
  EXPECT_FALSE(FileExists(Path("ort/export/calib.cache")));
  const ir::Graph graph = onnx::ImportOnnx(Path("ort/export/qdq.onnx"));
  EXPECT_EQ(passes::CountQuantizers(graph).weights, 0);
  EXPECT_GT(passes::CountQuantizers(graph).activations, 10);
  EXPECT_THAT(ReadFile(Path("ort/export/trtexec.txt")), Not(HasSubstr("--calib")));
}

TEST_F(Deploy, LayersStayInFloat) {
  Calibrate(Spec("keep", {"quant.keep_fp32=[conv1]"}));
  EXPECT_THAT(ReadFile(Path("keep/calibrate/layer_precisions.txt")), "conv1:fp32\n");
  EXPECT_THAT(ReadFile(Path("keep/calibrate/trtexec.txt")),
              HasSubstr("--precisionConstraints=obey --layerPrecisions=conv1:fp32"));
  EXPECT_THAT(MessageOf([] { Calibrate(Spec("keep2", {"quant.keep_fp32=[conv_1]"})); }),
              AllOf(HasSubstr("no layer 'conv_1'"), HasSubstr("nearest: 'conv1'")));
}

// Build with that cache and the same ONNX file gives the plan that calibrate wrote.
TEST_F(Deploy, BuildFromTheCacheIsThePlan) {
  Calibrate(Spec("line"));
  Build(Spec("line", {"gen_trt_engine.onnx_file=" + Path("line/calibrate/fp32.onnx"),
                      "gen_trt_engine.tensorrt.calibration.cal_cache_file=" + Path("line/calibrate/calib.cache")}));
  Tensor x(DType::kF32, {4, 3, 32, 32});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = static_cast<float>(i * 37 % 101) / 25 - 2;
  std::vector<std::vector<Tensor>> results;
  for (const char* plan : {"line/calibrate/model.plan", "line/build/model.plan"}) {
    results.push_back(engine::Engine::Load(Path(plan)).NewContext({4, 1, false})->Run({{"input_1", x}}));
  }
  EXPECT_EQ(results[0], results[1]);
}

QuantizeFileOptions Options(const std::string& path, const std::string& images, const std::string& folder) {
  QuantizeFileOptions o;
  o.path = path;
  o.images.path = images;
  o.deployment.folder = folder;
  o.ptq.probe_images = 4;
  return o;
}

TEST_F(Deploy, QuantizeTakesImagesAndTensors) {
  QuantizeFileOptions o = Options(Path("float.onnx"), Path("data/val"), Path("q_images"));
  o.preprocess_mode = "torch";
  o.images.preprocess.mode = data::PreprocessMode::kTorch;
  o.images.max_images = 5;
  QuantizeFile(o);
  EXPECT_EQ(Results("q_images")["metrics"]["images"], 5);
  EXPECT_EQ(engine::Engine::Load(Path("q_images/model.plan")).info().count("preprocess"), 1u);

  for (int i = 0; i < 3; ++i) {
    Tensor x(DType::kF32, {3, 32, 32});
    for (int64_t k = 0; k < x.size(); ++k)
      x.mutable_data<float>()[k] = static_cast<float>((k * 31 + i * 7) % 53) / 26 - 1;
    report::WriteNpy(Path(fmt::format("tensors/{}.npy", i)), x);
  }
  QuantizeFile(Options(Path("float.onnx"), Path("tensors"), Path("q_tensors")));
  EXPECT_EQ(Results("q_tensors")["metrics"]["images"], 3);
  // A model file knows its preprocessing.
  QuantizeFile(Options(Path("float.octet"), Path("data/val"), Path("q_octet")));
  EXPECT_EQ(Results("q_octet")["metrics"]["images"], 12);
}

// Somebody else's network ends in scores, and so does its plan: evaluation and inference give probabilities all the
// same.
TEST_F(Deploy, PlanWithoutSoftmax) {
  ir::Graph graph = passes::PrepareForExport(ir::ReadModel(Path("float.octet")).graph);
  graph.ReplaceOutput(0, passes::LogitsOf(graph));
  graph.RemoveUnused();
  onnx::ExportOnnx(graph, Path("scores.onnx"));
  for (const char* name : {"float", "scores"}) {
    QuantizeFileOptions o =
        Options(Path(name + std::string(".onnx")), Path("data/val"), Path(name + std::string("_q")));
    o.preprocess_mode = "torch";
    o.images.preprocess.mode = data::PreprocessMode::kTorch;
    o.ptq.method = quant::CalibrationMethod::kMax;
    QuantizeFile(o);
    const std::string plan = Path(name + std::string("_q/model.plan"));
    Evaluate(
        Spec(name + std::string("_e"), {"evaluate.trt_engine=" + plan, "evaluate.dataset_path=" + Path("data/val")}));
    Infer(Spec(name + std::string("_i"),
               {"inference.trt_engine=" + plan, "inference.image_dir=" + Path("data/val/cross")}));
  }
  const nlohmann::json whole = Results("float_e/evaluate")["metrics"], scores = Results("scores_e/evaluate")["metrics"];
  EXPECT_GT(scores["loss"], 0);
  EXPECT_NEAR(scores["loss"], whole["loss"], 1e-5);
  EXPECT_EQ(scores["top_1_accuracy"], whole["top_1_accuracy"]);
  const auto lines = [](const std::string& run) { return Split(ReadFile(Path(run + "/inference/result.csv")), '\n'); };
  const std::vector<std::string> expected = lines("float_i"), got = lines("scores_i");
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {  // path,class,probability
    const size_t at = got[i].rfind(',') + 1;
    EXPECT_EQ(got[i].substr(0, at), expected[i].substr(0, at));
    if (at > 0) {
      EXPECT_NEAR(std::stod(got[i].substr(at)), std::stod(expected[i].substr(at)), 2e-6);
    }
  }
}

TEST_F(Deploy, QuantizeSaysWhatIsWrong) {
  const auto message = [](const QuantizeFileOptions& o) { return MessageOf([&] { QuantizeFile(o); }); };
  EXPECT_THAT(message(Options(Path("float.onnx"), Path("data/val"), Path("e1"))),
              AllOf(HasSubstr("does not say how images are prepared"), HasSubstr("--mode torch")));
  EXPECT_THAT(message(Options(Path("qat.octet"), Path("data/val"), Path("e2"))), HasSubstr("quantized already"));
  EXPECT_THAT(message(Options(Path("no.onnx"), Path("data/val"), Path("e3"))), HasSubstr("no.onnx"));
  EXPECT_THAT(message(Options(Path("data"), Path("data/val"), Path("e4"))), HasSubstr("data"));
  report::WriteNpy(Path("wrong/0.npy"), Tensor(DType::kF32, {3, 31, 32}));
  EXPECT_THAT(message(Options(Path("float.onnx"), Path("wrong"), Path("e5"))),
              AllOf(HasSubstr("0.npy' holds f32 [3,31,32]"), HasSubstr("the network reads f32 [N,3,32,32]")));
  EXPECT_THAT(ReadFile(Path("e5/status.json")), HasSubstr("FAILURE"));
}

TEST_F(Deploy, RangesAndSensitivity) {
  Calibrate(Spec("look"));
  QuantizeFileOptions o = Options(Path("look/calibrate/qdq.onnx"), Path("data/val"), "");
  o.preprocess_mode = "torch";
  o.images.preprocess.mode = data::PreprocessMode::kTorch;
  const nlohmann::json qdq = nlohmann::json::parse(ExamineRanges(o, "", true));
  EXPECT_EQ(qdq["images"], 12);
  ASSERT_GT(qdq["tensors"].size(), 20u);
  for (const auto& tensor : qdq["tensors"]) {
    EXPECT_LE(tensor["min"], tensor["max"]);
    EXPECT_GT(tensor["scale"], 0);
    EXPECT_LT(tensor["saturated"], 0.05) << tensor["name"];
  }
  double last = -1000;
  for (const auto& layer : qdq["layers"]) {  // the worst first
    EXPECT_GE(layer["sqnr_db"], last);
    last = layer["sqnr_db"];
    EXPECT_GT(layer["sqnr_db"], 3) << layer["layer"];
  }
  // The FP32 file with its cache is the same network.
  o.path = Path("look/calibrate/fp32.onnx");
  const nlohmann::json cache = nlohmann::json::parse(ExamineRanges(o, Path("look/calibrate/calib.cache"), true));
  EXPECT_EQ(cache["tensors"].size(), qdq["tensors"].size());
  EXPECT_THAT(ExamineRanges(o, Path("look/calibrate/calib.cache"), false), HasSubstr("(worst first)"));
  EXPECT_THAT(MessageOf([&] { ExamineRanges(o, "", false); }), HasSubstr("is not quantized"));

  const nlohmann::json layers = nlohmann::json::parse(
      ExamineSensitivity(o, Path("look/calibrate/calib.cache"), SensitivityMode::kQuantizeOne, true));
  ASSERT_GT(layers["layers"].size(), 20u);
  EXPECT_LE(layers["layers"].front()["sqnr_db"], layers["layers"].back()["sqnr_db"]);
  EXPECT_GT(layers["layers"].front()["sqnr_db"], static_cast<double>(layers["all_quantized"]["sqnr_db"]) - 1);
}

// Entries that fit nothing are counted, and a cache of another network is refused.
TEST_F(Deploy, CachesOfOtherNetworks) {
  WriteFileAtomic(Path("other.cache"), "TRT-8601-EntropyCalibration2\nnobody: 3c010204\n");
  EXPECT_THAT(MessageOf([] {
                Build(Spec("other", {"gen_trt_engine.onnx_file=" + Path("float.onnx"),
                                     "gen_trt_engine.tensorrt.calibration.cal_cache_file=" + Path("other.cache")}));
              }),
              HasSubstr("is it the cache of another network?"));
}

TEST(Trtexec, Commands) {
  TrtexecInputs in;
  in.fp32_onnx = "my net/fp32.onnx";
  in.cache = "c.cache";
  in.qdq_onnx = "q.onnx";
  in.input = "x:1x3x8x8";
  EXPECT_EQ(TrtexecCommands(in),
            "# implicit quantization: FP32 ONNX and calibration cache (TensorRT 5 to 10)\n"
            "trtexec --onnx='my net/fp32.onnx' --int8 --calib=c.cache --minShapes=x:1x3x8x8 --optShapes=x:1x3x8x8 "
            "--maxShapes=x:1x3x8x8 --saveEngine=model.engine\n"
            "# explicit quantization: Q/DQ nodes (TensorRT 8 and later)\n"
            "trtexec --onnx=q.onnx --int8 --minShapes=x:1x3x8x8 --optShapes=x:1x3x8x8 --maxShapes=x:1x3x8x8 "
            "--saveEngine=model.engine\n");
  in.version = "11.2";
  EXPECT_THAT(TrtexecCommands(in), AllOf(Not(HasSubstr("--int8")), HasSubstr("trtexec --onnx=q.onnx --min")));
  in.version = "8.6.1";
  in.dla = true;
  in.keep_fp32 = {"a", "it's"};
  EXPECT_THAT(TrtexecCommands(in), AllOf(HasSubstr("--useDLACore=0 --allowGPUFallback --precisionConstraints=obey "
                                                   "--layerPrecisions='a:fp16,it'\\''s:fp16' --saveEngine"),
                                         Not(HasSubstr("q.onnx"))));
}

}  // namespace
}  // namespace octet::task::classification
