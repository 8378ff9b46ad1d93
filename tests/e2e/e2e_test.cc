// The `octet` and `octet-run` programs as a user runs them: the whole line on a small drawn data set, kill and resume,
// and every bad input with its message and exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "data/data_loader.h"
#include "ir/model_file.h"
#include "ops/install.h"
#include "report/npy.h"
#include "spec/spec.h"
#include "task/classification/setup.h"
#include "task/predictor.h"

namespace octet {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct Outcome {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

Outcome Shell(const std::string& command) {
  Outcome o;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  size_t n = 0;
  while ((n = fread(buffer, 1, sizeof buffer, pipe)) > 0) o.output.append(buffer, n);
  const int status = pclose(pipe);
  o.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return o;
}

std::string Octet(const std::string& arguments) {
  return std::string(OCTET_BIN_DIR) + "/octet " + arguments;
}

class E2e : public testing::Test {
 protected:
  // One data set and one trained line for all tests of this program.
  static void SetUpTestSuite() {
    root_ = testing::TempDir() + "octet_e2e_" + std::to_string(::getpid());
    fs::remove_all(root_);
    const Outcome o = Shell(Octet("dataset synth -o " + root_ + "/data --classes 3 --train 64 --val 50 --size 32"));
    ASSERT_EQ(o.exit_code, 0) << o.output;
    WriteFileAtomic(Spec(), R"(results_dir: )" + root_ + R"(/results
dataset:
  train_dataset_path: )" + root_ +
                                R"(/data/train
  val_dataset_path: )" + root_ + R"(/data/val
  num_classes: 3
  preprocess_mode: torch
model:
  backbone: resnet_10
  input_width: 32
  input_height: 32
train:
  num_epochs: 2
  batch_size_per_gpu: 16
  validation_interval: 1
  n_workers: 2
  optim_config: {optimizer: sgd, momentum: 0.9, decay: 0.0}
  lr_config: {learning_rate: 0.01}
evaluate:
  dataset_path: )" + root_ + R"(/data/val
)");
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static std::string Spec() { return root_ + "/spec.yaml"; }
  static std::string Path(const std::string& name) { return root_ + "/" + name; }
  static Outcome Run(const std::string& command, const std::string& overrides = "") {
    return Shell(Octet("classification " + command + " -e " + Spec() + " " + overrides));
  }
  static std::string MustRun(const std::string& command, const std::string& overrides = "") {
    const Outcome o = Run(command, overrides);
    EXPECT_EQ(o.exit_code, 0) << command << " " << overrides << "\n" << o.output;
    return o.output;
  }
  static nlohmann::json Results(const std::string& folder) {
    return nlohmann::json::parse(ReadFile(folder + "/results.json"));
  }
  // Fails with exit code 1 and one "error: " line that holds `message`; nothing else is claimed.
  static void ExpectUserError(const Outcome& o, const std::string& message) {
    EXPECT_EQ(o.exit_code, 1) << o.output;
    EXPECT_THAT(o.output, HasSubstr(message));
    EXPECT_THAT(o.output, HasSubstr("error: "));
  }
  static std::string root_;
};
std::string E2e::root_;

// ONNX Runtime runs the Q/DQ file, the engine the model it was exported from: the same class for 99.5 % of the images.
void CompareWithOnnxRuntime(const std::string& model, const std::string& qdq, const std::string& images,
                            const std::string& scratch) {
  const char* env = std::getenv("OCTET_PYTHON");
  const std::string python = env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
  ops::InstallOps();
  if (!FileExists(python)) GTEST_SKIP() << "no " << python << "; run scripts/make_venv.sh";
  const auto predictor = task::LoadPredictor(model, "cpu", 2);
  const data::PreprocessOptions preprocess =
      task::classification::PreprocessOf(predictor->info(), spec::ParseSpec("classification", "", "defaults"));
  data::ImageSetOptions set_options;
  set_options.show_progress = false;
  const auto set = std::make_shared<data::ImageSet>(data::ScanImageFolder(images), set_options);
  data::LoaderOptions loader_options;
  loader_options.batch_size = 25;
  data::DataLoader loader(set, preprocess, loader_options);
  loader.StartEpoch(0);
  Tensor inputs(DType::kF32, {set->size(), preprocess.channels, preprocess.height, preprocess.width});
  std::vector<int64_t> predictions;
  data::Batch batch;
  int64_t at = 0;
  while (loader.Next(&batch)) {
    std::memcpy(inputs.mutable_data<float>() + at, batch.images.data<float>(), batch.images.bytes());
    at += batch.images.size();
    const Tensor p = predictor->Predict(batch.images);
    for (int64_t i = 0; i < p.dim(0); ++i) {
      const float* row = p.data<float>() + i * p.dim(1);
      predictions.push_back(std::max_element(row, row + p.dim(1)) - row);
    }
  }
  report::WriteNpy(scratch + "/inputs.npy", inputs);
  report::WriteNpy(scratch + "/predictions.npy", Tensor::From<int64_t>({set->size()}, predictions));
  const Outcome o = Shell(python + " " OCTET_SOURCE_DIR "/tests/witness/ort_top1.py " + qdq + " " + scratch +
                          "/inputs.npy --expect " + scratch + "/predictions.npy --bar 0.995");
  std::printf("%s", o.output.c_str());
  EXPECT_EQ(o.exit_code, 0) << o.output;
}

TEST_F(E2e, TheWholeLine) {
  // Long enough that the classes are apart: a network near chance has ties that any rounding decides.
  MustRun("train", "train.num_epochs=8");
  const std::string fp32 = Path("results/train/resnet_10_008.octet");
  ASSERT_TRUE(FileExists(fp32));
  EXPECT_EQ(ReadFile(Path("results/train/classmap.json")).find("{"), 0U);
  const std::string status = ReadFile(Path("results/train/status.json"));
  EXPECT_THAT(status, HasSubstr("\"status\":\"STARTED\""));
  EXPECT_THAT(status, HasSubstr("\"status\":\"SUCCESS\""));
  EXPECT_THAT(status, HasSubstr("\"max_epoch\":8"));

  // TAO's two spellings of the switch are the same.
  const std::string log =
      MustRun("train", "results_dir=" + Path("qat") + " training_config.enable_qat=true train.checkpoint=" + fp32 +
                           " train.num_epochs=1");
  EXPECT_THAT(log, HasSubstr("QAT: 14 activation and 13 weight quantizers, recipe fused"));
  const std::string qat = Path("qat/train/resnet_10_001.octet");

  const std::string exported = MustRun("export", "results_dir=" + Path("qat") + " export.checkpoint=" + qat);
  EXPECT_THAT(exported, HasSubstr("scales: QAT wrote 15, post-training calibration of the same network writes"));
  const nlohmann::json scales = Results(Path("qat/export"))["metrics"];
  EXPECT_LT(scales["scales_qat"], scales["scales_ptq"]);

  // Three sources, one network: the plan's lowered graph is the same, constant for constant.
  MustRun("build", "results_dir=" + Path("from_octet") + " gen_trt_engine.onnx_file=" + qat);
  MustRun("build", "results_dir=" + Path("from_qdq") + " build.onnx_file=" + Path("qat/export/qdq.onnx"));
  const std::string from_cache =
      Octet("classification gen_trt_engine -e " + Spec() + " results_dir=" + Path("from_cache") +
            " gen_trt_engine.onnx_file=" + Path("qat/export/fp32.onnx") +
            " gen_trt_engine.tensorrt.calibration.cal_cache_file=" + Path("qat/export/calib.cache") +
            " gen_trt_engine.tensorrt.data_type=int8");
  ASSERT_EQ(Shell(from_cache).exit_code, 0);
  std::string accuracies;
  for (const char* source : {"from_octet", "from_qdq", "from_cache"}) {
    MustRun("evaluate",
            std::string("results_dir=") + Path(source) + " evaluate.trt_engine=" + Path(source) + "/build/model.plan");
    const nlohmann::json metrics = Results(Path(source) + "/evaluate")["metrics"];
    accuracies += metrics["top_1_accuracy"].dump() + "/" + metrics["loss"].dump() + " ";
    EXPECT_EQ(metrics["images"], 150);
    EXPECT_THAT(metrics["runs_as"].get<std::string>(), HasSubstr("INT8, engine"));
  }
  const auto parts = Split(accuracies, ' ');
  EXPECT_EQ(parts[0], parts[1]);
  EXPECT_EQ(parts[0], parts[2]);
  // What training said of the last epoch is what the engine measures.
  EXPECT_EQ(Results(Path("qat/train"))["metrics"]["val_accuracy"],
            Results(Path("from_octet/evaluate"))["metrics"]["top_1_accuracy"]);

  // PTQ: the FP32 network, calibrated at build.
  MustRun("export", "export.checkpoint=" + fp32);
  MustRun(
      "build",
      "results_dir=" + Path("ptq") + " gen_trt_engine.onnx_file=" + Path("results/export/fp32.onnx") +
          " gen_trt_engine.tensorrt.calibration.cal_image_dir=" + Path("data/train") +
          " gen_trt_engine.tensorrt.calibration.cal_batch_size=8 gen_trt_engine.tensorrt.calibration.cal_batches=4");
  EXPECT_TRUE(FileExists(Path("ptq/build/calib.cache")));
  MustRun("evaluate", "evaluate.checkpoint=" + fp32);
  MustRun("evaluate", "results_dir=" + Path("onnx") + " evaluate.checkpoint=" + Path("results/export/fp32.onnx"));
  EXPECT_EQ(Results(Path("results/evaluate"))["metrics"]["top_1_accuracy"],
            Results(Path("onnx/evaluate"))["metrics"]["top_1_accuracy"]);

  MustRun("inference", "inference.checkpoint=" + qat + " inference.image_dir=" + Path("data/val"));
  const auto lines = Split(ReadFile(Path("results/inference/result.csv")), '\n');
  EXPECT_EQ(lines.size(), 151U);
  EXPECT_EQ(Split(lines[0], ',').size(), 3U);

  CompareWithOnnxRuntime(qat, Path("qat/export/qdq.onnx"), Path("data/val"), root_);

  for (const std::string& file :
       {qat, Path("qat/export/qdq.onnx"), Path("qat/export/calib.cache"), Path("from_octet/build/model.plan")}) {
    const Outcome o = Shell(Octet("inspect " + file));
    EXPECT_EQ(o.exit_code, 0) << o.output;
    EXPECT_GT(o.output.size(), 100U);
  }
  EXPECT_THAT(Shell(Octet("inspect --graph " + qat)).output, HasSubstr("QuantizeLinear("));
  const Outcome table =
      Shell(Octet("compare FP32=" + Path("results/evaluate") + " QAT=" + Path("from_octet/evaluate")));
  EXPECT_THAT(table.output, HasSubstr("| FP32"));

  const Outcome run = Shell(std::string(OCTET_BIN_DIR) + "/octet-run " + Path("from_octet/build/model.plan") + " " +
                            Split(lines[0], ',')[0]);
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const std::string ldd = Shell("ldd " OCTET_BIN_DIR "/octet-run").output;
  EXPECT_THAT(ldd, testing::Not(HasSubstr("torch")));

  // Damaged files: one line, exit code 1, and the error names the file.
  for (const std::string& file :
       {qat, Path("from_octet/build/model.plan"), Path("results/export/fp32.onnx"), Path("qat/export/calib.cache")}) {
    const std::string extension = fs::path(file).extension().string();
    const std::string cut = Path("cut" + extension);
    const std::string bytes = ReadFile(file);
    WriteFileAtomic(cut, bytes.substr(0, bytes.size() - bytes.size() / 3 - 3));
    ExpectUserError(Shell(Octet("inspect " + cut)), "cut" + extension);
  }
  ExpectUserError(Run("evaluate", "evaluate.trt_engine=" + Path("cut.plan")), "cut.plan");
  ExpectUserError(Run("train", "train.checkpoint=" + fp32 + " model.backbone=resnet_18"),
                  "holds the network 'resnet_10', but the spec asks for 'resnet_18'");
  // Prune, then retrain with QAT.
  MustRun("prune", "results_dir=" + Path("pruned") + " prune.checkpoint=" + fp32 +
                       " prune.threshold=0.9 prune.min_num_filters=8");
  const std::string pruned = Path("pruned/prune/model_th=0.9_eq=union.octet");
  ASSERT_TRUE(FileExists(pruned));
  EXPECT_LT(fs::file_size(pruned), fs::file_size(Path("results/train/best.octet")));
  MustRun("train",
          "results_dir=" + Path("pruned") + " train.checkpoint=" + pruned + " train.qat=true train.num_epochs=1");
  MustRun("build",
          "results_dir=" + Path("pruned") + " gen_trt_engine.onnx_file=" + Path("pruned/train/resnet_10_001.octet"));
  // A quantized checkpoint stays quantized without a flag.
  EXPECT_THAT(MustRun("train", "results_dir=" + Path("goes_on") + " train.checkpoint=" + qat + " train.num_epochs=1"),
              HasSubstr("quantized already (recipe fused): QAT goes on"));
}

// Any trained model against ONNX Runtime: OCTET_WITNESS_MODEL=m.octet OCTET_WITNESS_QDQ=qdq.onnx
// OCTET_WITNESS_IMAGES=folder.
TEST(Witness, OnnxRuntimeAgreesOnATrainedModel) {
  const char* model = std::getenv("OCTET_WITNESS_MODEL");
  if (model == nullptr) GTEST_SKIP() << "no model given; the whole line below compares its own";
  CompareWithOnnxRuntime(model, std::getenv("OCTET_WITNESS_QDQ"), std::getenv("OCTET_WITNESS_IMAGES"),
                         testing::TempDir());
}

// The weights and the state of a finished run, for comparison.
std::string Fingerprint(const std::string& path) {
  ir::Model m = ir::ReadModel(path);
  m.info.clear();
  return ir::SerializeModel(m);
}

TEST_F(E2e, KilledTrainingResumesToTheSameWeights) {
  const std::string common = " train.num_epochs=3 train.qat=true";
  MustRun("train", "results_dir=" + Path("whole") + common);
  // The same in a child that is killed in the middle of the second epoch.
  const std::string results = Path("killed");
  const std::string command =
      "exec " + Octet("classification train -e " + Spec() + " results_dir=" + results + common) + " >/dev/null 2>&1";
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  const std::string first = results + "/train/resnet_10_001.octet";
  for (int i = 0; i < 1200 && !FileExists(first); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(FileExists(first));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the run ended before it was killed";
  ASSERT_FALSE(FileExists(results + "/train/resnet_10_003.octet"));
  const std::string log = MustRun("train", "results_dir=" + results + common + " train.resume=true");
  EXPECT_THAT(log, HasSubstr("resumed from"));
  EXPECT_EQ(Fingerprint(results + "/train/resnet_10_003.octet"), Fingerprint(Path("whole/train/resnet_10_003.octet")));
}

TEST_F(E2e, BadSpecs) {
  ExpectUserError(Run("train", "train.num_epoch=3"), "train.num_epochs");
  ExpectUserError(Run("train", "train.lr_config.learning_rate=-0.1"), "train.lr_config.learning_rate");
  ExpectUserError(Run("train", "train.num_epochs=many"), "train.num_epochs");
  ExpectUserError(Run("train", "model.backbone=resnet_81"), "resnet_81");
  ExpectUserError(Run("train", "model.input_width=16 model.input_height=16"), "its total stride is 32");
  ExpectUserError(Run("train", "dataset.num_classes=4"), "has 3 class folders; set it to 3");
  ExpectUserError(Run("evaluate"), "evaluate.checkpoint");
  ExpectUserError(Run("build", "gen_trt_engine.onnx_file=/no/such.onnx"), "/no/such.onnx");
  ExpectUserError(Shell(Octet("classification train -e /no/such.yaml")), "/no/such.yaml");
  WriteFileAtomic(Path("typo.yaml"), "results_dir: x\ntrain:\n  batch_size_per_gpuu: 4\n");
  ExpectUserError(Shell(Octet("classification train -e " + Path("typo.yaml"))), "typo.yaml:3");
  EXPECT_EQ(Shell(Octet("classification trian -e x")).exit_code, 2);
  EXPECT_EQ(Shell(Octet("--version")).exit_code, 0);
}

TEST_F(E2e, DownloadSpecs) {
  const Outcome o = Shell(Octet("classification download_specs -o " + Path("specs")));
  EXPECT_EQ(o.exit_code, 0) << o.output;
  EXPECT_THAT(o.output, HasSubstr("specs/spec_retrain_qat.yaml"));
  // A sample is read by the command that it is for: what is missing is the data only.
  ExpectUserError(Shell("cd " + root_ + " && " +
                        Octet("classification train -e specs/spec.yaml model.input_width=32 "
                              "dataset.train_dataset_path=no/data")),
                  "command line: dataset.train_dataset_path: folder 'no/data' does not exist");
  const Outcome tao =
      Shell(Octet("classification_tf2 download_specs target_data_dir=" + Path("specs2") + " workflow=tao"));
  EXPECT_EQ(tao.exit_code, 0) << tao.output;
  EXPECT_THAT(tao.output, HasSubstr("octet does not use workflow"));
  ExpectUserError(Shell(Octet("classification download_specs")), "no folder given; add -o FOLDER");
  ExpectUserError(Shell(Octet("classification download_specs target_dir=x")),
                  "'target_dir=x': expected target_data_dir");
}

TEST_F(E2e, BadData) {
  const auto fresh = [](const std::string& name) {
    fs::remove_all(Path(name));
    fs::copy(Path("data"), Path(name), fs::copy_options::recursive);
    return Path(name);
  };
  const auto train = [](const std::string& data, const std::string& more = "") {
    return Run("train", "results_dir=" + data + "_out train.num_epochs=1 dataset.train_dataset_path=" + data +
                            "/train dataset.val_dataset_path=" + data + "/val " + more);
  };
  const auto first_class = [](const std::string& data) {
    std::vector<std::string> names;
    for (const auto& e : fs::directory_iterator(data + "/train")) names.push_back(e.path().filename().string());
    std::sort(names.begin(), names.end());
    return names.at(0);
  };
  {
    const std::string data = fresh("empty_class");
    fs::create_directories(data + "/train/zebra");
    ExpectUserError(train(data), "zebra");
  }
  {
    const std::string data = fresh("one_class");
    const std::string keep = first_class(data);
    for (const char* part : {"/train", "/val"}) {
      std::vector<fs::path> others;
      for (const auto& e : fs::directory_iterator(data + part)) {
        if (e.path().filename() != keep) others.push_back(e.path());
      }
      for (const auto& p : others) fs::remove_all(p);
    }
    ExpectUserError(train(data), keep);
  }
  {
    const std::string data = fresh("differ");
    fs::rename(data + "/val/" + first_class(data), data + "/val/other_name");
    ExpectUserError(train(data), "other_name");
  }
  {
    // Bad images: named, left out, counted; training goes on.
    const std::string data = fresh("bad_images");
    const std::string folder = data + "/train/" + first_class(data);
    WriteFileAtomic(folder + "/text.jpg", "this is no picture");
    const std::string bytes = ReadFile(fs::directory_iterator(folder)->path().string());
    WriteFileAtomic(folder + "/cut.png", bytes.substr(0, bytes.size() / 2));
    const Outcome o = train(data);
    EXPECT_EQ(o.exit_code, 0) << o.output;
    EXPECT_THAT(o.output, HasSubstr("text.jpg"));
    EXPECT_THAT(o.output, HasSubstr("cut.png"));
    EXPECT_EQ(Results(data + "_out/train")["metrics"]["train_images_skipped"], 2);
  }
}

TEST_F(E2e, FullDiskKeepsTheOldModel) {
  const std::string results = Path("full_disk");
  MustRun("train", "results_dir=" + results + " train.num_epochs=1");
  const std::string model = results + "/train/resnet_10_001.octet";
  const std::string before = ReadFile(model);
  // 1 MiB is the largest file that this shell's children may write; the model is larger.
  const Outcome o =
      Shell("trap '' XFSZ; ulimit -f 1024; " + Octet("classification train -e " + Spec() + " results_dir=" + results +
                                                     " train.num_epochs=1 train.random_seed=7"));
  ExpectUserError(o, "cannot write");
  EXPECT_EQ(ReadFile(model), before);
}

}  // namespace
}  // namespace octet
