// octet classification train, evaluate and inference as functions, on small drawn images: what each option changes,
// what every run leaves behind, and that a resumed run equals a whole one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "data/image.h"
#include "data/synthetic.h"
#include "ir/model_file.h"
#include "ops/install.h"
#include "task/classification/classification.h"
#include "task/classification/train_options.h"

namespace octet::task::classification {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TrainCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops::InstallOps();
    root_ = testing::TempDir() + "octet_train_command_" + std::to_string(::getpid());
    fs::remove_all(root_);
    data::SyntheticOptions o;
    o.classes = 3;
    o.train_per_class = 16;
    o.val_per_class = 8;
    o.size = 40;
    data::GenerateSynthetic(root_ + "/data", o);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  // A results folder of its own for every name.
  static spec::Spec Spec(const std::string& name, const std::vector<std::string>& overrides = {}) {
    return spec::ParseSpec("classification",
                           "results_dir: " + root_ + "/" + name + R"(
dataset: {num_classes: 3, preprocess_mode: torch, train_dataset_path: )" +
                               root_ + "/data/train, val_dataset_path: " + root_ + R"(/data/val}
model: {backbone: mobilenet_v1, width_multiplier: 0.25, input_width: 32, input_height: 32}
train:
  num_epochs: 2
  batch_size_per_gpu: 16
  validation_interval: 1
  n_workers: 2
  threads: 1
  optim_config: {momentum: 0.9, decay: 0.0}
  lr_config: {learning_rate: 0.02}
evaluate: {dataset_path: )" + root_ +
                               "/data/val, top_k: 2}\n",
                           "spec.yaml", overrides);
  }
  static std::string Path(const std::string& name) { return root_ + "/" + name; }
  static ir::Model Model(const std::string& name, int epoch = 2) {
    return ir::ReadModel(fmt::format("{}/train/mobilenet_v1_{:03}.octet", Path(name), epoch));
  }
  static std::vector<float> Weights(const ir::Graph& graph, const std::string& name) {
    return graph.value(graph.Find(name)).constant.ToVector<float>();
  }
  static nlohmann::json Metrics(const std::string& folder) {
    return nlohmann::json::parse(ReadFile(Path(folder) + "/results.json"))["metrics"];
  }
  // What `body` writes to standard error.
  static std::string LogOf(const std::function<void()>& body) {
    testing::internal::CaptureStderr();
    body();
    return testing::internal::GetCapturedStderr();
  }
  static std::string MessageOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 1);
      return e.what();
    }
    return "no error";
  }

  static std::string root_;
};
std::string TrainCommand::root_;

TEST_F(TrainCommand, TheSeedDecidesEverythingTheThreadsNothing) {
  const std::vector<std::string> options = {"train.random_seed=7", "dataset.augmentation.mixup_alpha=0.2",
                                            "dataset.augmentation.enable_color_augmentation=true", "model.dropout=0.3",
                                            "train.moving_average_decay=0.9"};
  const auto with = [&](const std::string& more) {
    std::vector<std::string> all = options;
    all.push_back(more);
    return all;
  };
  Train(Spec("seed_a", with("train.n_workers=1")));
  Train(Spec("seed_b", with("train.n_workers=2")));
  Train(Spec("seed_c", with("train.random_seed=8")));
  const ir::Model a = Model("seed_a"), b = Model("seed_b"), c = Model("seed_c");
  EXPECT_EQ(a.graph, b.graph);
  EXPECT_EQ(a.state, b.state);
  EXPECT_NE(Weights(a.graph, "conv1.weight"), Weights(c.graph, "conv1.weight"));
}

// A QAT run with an average and both freezes, cut after its first epoch.
TEST_F(TrainCommand, AResumedRunIsTheWholeOne) {
  const std::vector<std::string> options = {"train.num_epochs=3",
                                            "train.qat=true",
                                            "train.moving_average_decay=0.9",
                                            "quant.freeze_bn_epoch=2",
                                            "quant.freeze_observer_epoch=1",
                                            "quant.calibration_batches=2",
                                            "train.resume=true"};
  Train(Spec("whole", options));
  MakeDirectories(Path("cut/train"));
  for (const char* file : {"mobilenet_v1_001.octet", "training.csv", "best.octet"})
    fs::copy(Path("whole/train/") + file, Path("cut/train/") + file);
  const std::string log = LogOf([&] { Train(Spec("cut", options)); });
  EXPECT_THAT(log, HasSubstr("resumed from"));
  EXPECT_THAT(log, testing::Not(HasSubstr("other settings")));
  const ir::Model whole = Model("whole", 3), cut = Model("cut", 3), first = Model("whole", 1), second = Model("whole");
  EXPECT_EQ(whole.graph, cut.graph);
  EXPECT_EQ(whole.state, cut.state);
  // The rows of the epochs after the cut are there once.
  const std::vector<std::string> rows = Split(ReadFile(Path("cut/train/training.csv")), '\n');
  ASSERT_EQ(rows.size(), 5U);
  for (int epoch = 1; epoch <= 3; ++epoch) EXPECT_EQ(rows[epoch].substr(0, 2), std::to_string(epoch) + ",");
  // Ranges stayed from the first epoch on, running statistics from the second (the average still follows them).
  EXPECT_EQ(Weights(first.graph, "input_1.scale"), Weights(whole.graph, "input_1.scale"));
  const auto raw = [](const ir::Model& m) { return m.state.at("raw/conv1_bn.mean").ToVector<float>(); };
  EXPECT_NE(raw(first), raw(second));
  EXPECT_EQ(raw(second), raw(whole));
  EXPECT_NE(Weights(second.graph, "conv1.weight"), Weights(whole.graph, "conv1.weight"));
  // Going on differently is said.
  std::vector<std::string> other = options;
  other.insert(other.end(), {"train.num_epochs=4", "quant.freeze_bn_epoch=0", "train.threads=2"});
  EXPECT_THAT(LogOf([&] { Train(Spec("cut", other)); }),
              HasSubstr("resumed with other settings than it began with: train.num_epochs: 3 -> 4; "
                        "quant.freeze_bn_epoch: 2 -> 0\n"));
}

// The teacher is the checkpoint that QAT starts from; its outputs change what is learned, also after a resume.
TEST_F(TrainCommand, QatLearnsFromTheFloatNetwork) {
  Train(Spec("taught_fp32"));
  const std::string fp32 = Path("taught_fp32/train/mobilenet_v1_002.octet");
  const std::vector<std::string> qat = {"train.qat=true", "train.resume=true", "train.checkpoint=" + fp32};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), qat.begin(), qat.end());
    return more;
  };
  EXPECT_THAT(LogOf([&] { Train(Spec("taught", with({"quant.distillation=0.5"}))); }),
              HasSubstr("QAT learns from " + fp32 + " as well, with weight 0.5"));
  Train(Spec("untaught", qat));
  EXPECT_NE(Weights(Model("taught").graph, "conv1.weight"), Weights(Model("untaught").graph, "conv1.weight"));
  MakeDirectories(Path("taught_cut/train"));
  fs::copy(Path("taught/train/mobilenet_v1_001.octet"), Path("taught_cut/train/mobilenet_v1_001.octet"));
  Train(Spec("taught_cut", with({"quant.distillation=0.5"})));
  EXPECT_EQ(Model("taught_cut").graph, Model("taught").graph);

  const auto message = [&](const std::vector<std::string>& settings) {
    return MessageOf([&] { Train(Spec("taught_wrong", settings)); });
  };
  EXPECT_THAT(message({"train.qat=true", "quant.distillation=0.5"}),
              HasSubstr("quant.distillation (command line) needs a trained float network to learn from; give it as "
                        "quant.teacher"));
  EXPECT_THAT(message(with({"quant.distillation=0.5", "quant.teacher=" + Path("taught/train/best.octet")})),
              HasSubstr("is quantized; give a float network as quant.teacher"));
  EXPECT_THAT(message(with({"quant.distillation=0.5", "quant.teacher=" + Path("nothing.octet")})),
              HasSubstr("nothing.octet"));
  EXPECT_THAT(message(with({"quant.distillation=2"})), HasSubstr("quant.distillation"));
  // A file that names no classes, as `prune` writes it, may teach; one of other classes may not.
  ir::Model teacher = ir::ReadModel(fp32);
  teacher.info["classes"] = "[]";
  ir::WriteModel(Path("nameless.octet"), teacher);
  EXPECT_EQ(message(with({"quant.distillation=0.5", "quant.teacher=" + Path("nameless.octet")})), "no error");
  teacher.info["classes"] = "[\"a\",\"b\",\"c\"]";
  ir::WriteModel(Path("other.octet"), teacher);
  fs::remove_all(Path("taught_wrong"));
  EXPECT_THAT(message(with({"quant.distillation=0.5", "quant.teacher=" + Path("other.octet")})),
              HasSubstr("its list of classes is a, b, c, that of this training arrow, crescent, cross"));
  Train(Spec("taught_caffe", {"dataset.preprocess_mode=caffe", "train.num_epochs=1"}));
  EXPECT_THAT(
      message(with({"quant.distillation=0.5", "quant.teacher=" + Path("taught_caffe/train/mobilenet_v1_001.octet")})),
      HasSubstr("its preprocessing is"));
  EXPECT_THAT(LogOf([&] {
                Train(Spec("taught_float", {"train.num_epochs=1", "quant.distillation=0.5"}));
              }),
              HasSubstr("quant.distillation (command line) is for QAT"));
}

TEST_F(TrainCommand, TheAverageIsWhatIsValidatedAndSaved) {
  Train(Spec("average", {"train.moving_average_decay=0.9"}));
  const ir::Model model = Model("average");
  EXPECT_NE(Weights(model.graph, "conv1.weight"), model.state.at("raw/conv1.weight").ToVector<float>());
  Evaluate(Spec("average", {"evaluate.checkpoint=" + Path("average/train/mobilenet_v1_002.octet")}));
  EXPECT_EQ(Metrics("average/evaluate")["top_1_accuracy"], Metrics("average/train")["val_accuracy"]);
  EXPECT_THAT(MessageOf([&] {
                Train(Spec("average", {"train.num_epochs=3", "train.resume=true"}));
              }),
              HasSubstr("moving_average_decay is 0"));
}

TEST_F(TrainCommand, BnConfigReachesTheNetworkOfACheckpoint) {
  const auto attribute = [](const ir::Graph& graph, const char* name) {
    std::set<float> values;
    for (const ir::NodeId id : graph.Order()) {
      if (graph.node(id).op == "BatchNormalization") values.insert(graph.node(id).attr_float(name, -1.0f));
    }
    return values;
  };
  const std::string checkpoint = "train.checkpoint=" + Path("bn_a/train/mobilenet_v1_001.octet");
  Train(Spec("bn_a", {"train.num_epochs=1", "train.bn_config.momentum=0.8", "train.bn_config.epsilon=0.002"}));
  EXPECT_EQ(attribute(Model("bn_a", 1).graph, "momentum"), std::set<float>{0.8f});
  EXPECT_EQ(attribute(Model("bn_a", 1).graph, "epsilon"), std::set<float>{0.002f});
  Train(Spec("bn_b", {checkpoint, "train.num_epochs=1", "train.bn_config.momentum=0.7"}));
  EXPECT_EQ(attribute(Model("bn_b", 1).graph, "momentum"), std::set<float>{0.7f});
  EXPECT_EQ(attribute(Model("bn_b", 1).graph, "epsilon"), std::set<float>{0.002f});  // not asked for: stays
}

TEST_F(TrainCommand, FrozenLayersStay) {
  const std::string checkpoint = "train.checkpoint=" + Path("start/train/mobilenet_v1_001.octet");
  Train(Spec("start", {"train.num_epochs=1"}));
  Train(Spec("frozen", {checkpoint, "train.num_epochs=1", "model.freeze_bn=true", "model.freeze_blocks=[0,2]"}));
  const ir::Graph before = Model("start", 1).graph, after = Model("frozen", 1).graph;
  for (const char* name : {"conv1_bn.scale", "conv1_bn.mean", "conv_dw_3_bn.bias", "conv_pw_3_bn.var", "conv1.weight",
                           "conv_dw_2.weight", "conv_pw_2.weight"})
    EXPECT_EQ(Weights(before, name), Weights(after, name)) << name;
  for (const char* name : {"conv_pw_1.weight", "conv_dw_3.weight", "predictions_dense.weight"})
    EXPECT_NE(Weights(before, name), Weights(after, name)) << name;
  EXPECT_THAT(MessageOf([&] { Train(Spec("frozen", {"model.freeze_blocks=[0,17]"})); }),
              HasSubstr("17 is no block of mobilenet_v1; its blocks are 0 to 13"));
}

TEST_F(TrainCommand, QatInIntegersIsWhatTheSpecAndTheCpuSay) {
  const std::vector<std::string> qat = {"train.num_epochs=1", "train.qat=true"};
  const auto with = [&](const std::string& wish) {
    std::vector<std::string> keys = qat;
    keys.push_back("train.integer=" + wish);
    return keys;
  };
  EXPECT_THAT(LogOf([&] { Train(Spec("off", with("off"))); }), HasSubstr("train.integer is off"));
  ASSERT_EQ(setenv("OCTET_TRAIN_ISA", "portable", 1), 0);
  EXPECT_THAT(LogOf([&] { Train(Spec("portable", qat)); }),
              HasSubstr("QAT in FP32 with simulated rounding: this CPU has no AVX-512 VNNI"));
  EXPECT_THAT(
      MessageOf([&] { Train(Spec("impossible", with("on"))); }),
      HasSubstr("is on, but this CPU has no AVX-512 VNNI (or OCTET_TRAIN_ISA=portable is set); set it to auto"));
  ASSERT_EQ(unsetenv("OCTET_TRAIN_ISA"), 0);
  EXPECT_EQ(Model("portable", 1).graph, Model("off", 1).graph);
}

// How near its gradients are to those of FP32: trainer_options_test.
// Augmentation, which makes images that evaluation never sees, does not decide the ranges that QAT begins with; the
// three steps of the epoch count for little against the calibration's hundred.
TEST_F(TrainCommand, QatBeginsWithTheRangesOfPlainImages) {
  const auto scales = [](const std::string& name, const std::string& crop) {
    Train(Spec(name, {"train.qat=true", "train.num_epochs=1", "train.lr_config.learning_rate=1e-9",
                      "model.freeze_bn=true", "dataset.augmentation.enable_color_augmentation=true",
                      "dataset.augmentation.enable_random_crop=" + crop}));
    const ir::Graph graph = Model(name, 1).graph;
    std::map<std::string, float> result;
    for (const ir::NodeId id : graph.Order()) {
      const ir::Node& node = graph.node(id);
      if (node.attr_string("observer", "") != "moving_average") continue;
      result[graph.value(node.input(1)).name] = graph.value(node.input(1)).constant.data<float>()[0];
    }
    return result;
  };
  const std::map<std::string, float> cropped = scales("ranges_crop", "true"), plain = scales("ranges_plain", "false");
  ASSERT_GT(plain.size(), 20u);
  for (const auto& [name, scale] : plain) EXPECT_NEAR(cropped.at(name), scale, 0.02f * scale) << name;
}

// Behind swish that became ReLU6 the running statistics are no longer those of the network: QAT begins with new ones.
// The first batch norm has no activation before it.
TEST_F(TrainCommand, QatOfNewActivationsBeginsWithTheirStatistics) {
  const std::vector<std::string> swish = {"model.activation_type=swish", "train.num_epochs=4",
                                          "train.bn_config.momentum=0.5"};
  Train(Spec("swish", swish));
  const ir::Graph fp32 = Model("swish", 4).graph;
  const auto qat = [&](const std::string& name, const std::string& freeze) {
    return LogOf([&] {
      Train(Spec(name, {"model.activation_type=swish", "train.num_epochs=1", "train.qat=true",
                        "train.lr_config.learning_rate=1e-9", "train.bn_config.momentum=0.999999",
                        "model.freeze_bn=" + freeze, "dataset.augmentation.enable_random_crop=false",
                        "train.checkpoint=" + Path("swish/train/mobilenet_v1_004.octet")}));
    });
  };
  EXPECT_THAT(qat("swish_qat", "false"), HasSubstr("27 activations became ReLU6: batch norms get the statistics of 3"));
  EXPECT_THAT(qat("swish_frozen", "true"), testing::Not(HasSubstr("became ReLU6")));
  const ir::Graph begun = Model("swish_qat", 1).graph, frozen = Model("swish_frozen", 1).graph;
  const auto change = [&](const ir::Graph& graph, const std::string& name) {  // of standard deviations, at most
    const std::vector<float> before = Weights(fp32, name + ".var"), after = Weights(graph, name + ".var");
    double most = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      most = std::max(most, std::fabs(std::log(static_cast<double>(after[i]) / before[i])) / 2);
    }
    return most;
  };
  EXPECT_LT(change(begun, "conv1_bn"), 0.3);
  EXPECT_GT(change(begun, "conv_pw_13_bn"), 0.45);
  EXPECT_EQ(change(frozen, "conv_pw_13_bn"), 0);
}

TEST_F(TrainCommand, Bf16WhereTheCpuHasItOrIsForced) {
  const std::vector<std::string> amp = {"train.num_epochs=1", "train.amp=true"};
  Train(Spec("fp32", {"train.num_epochs=1"}));
  if (!CpuHasBf16()) {
    EXPECT_THAT(LogOf([&] { Train(Spec("amp", amp)); }),
                HasSubstr("this CPU has neither AVX512-BF16 nor AMX; training runs in FP32"));
    EXPECT_EQ(Model("amp", 1).graph, Model("fp32", 1).graph);
  }
  ASSERT_EQ(setenv("OCTET_FORCE_BF16", "1", 1), 0);
  Train(Spec("forced", amp));
  const std::string log = LogOf([&] {
    Train(Spec("amp_qat", {"train.num_epochs=1", "train.amp=true", "train.qat=true"}));
  });
  ASSERT_EQ(unsetenv("OCTET_FORCE_BF16"), 0);
  EXPECT_THAT(log, HasSubstr("QAT trains in FP32"));
  const auto exact = Weights(Model("fp32", 1).graph, "conv1.weight");
  const auto rounded = Weights(Model("forced", 1).graph, "conv1.weight");
  EXPECT_NE(exact, rounded);
}

TEST_F(TrainCommand, FreezesThatCannotHappenAreNamed) {
  EXPECT_THAT(LogOf([&] {
                Train(Spec("late", {"train.num_epochs=1", "quant.freeze_bn_epoch=1"}));
              }),
              HasSubstr("quant.freeze_bn_epoch (command line) is for QAT"));
  EXPECT_THAT(LogOf([&] {
                Train(Spec("late", {"train.num_epochs=1", "train.qat=true", "quant.freeze_observer_epoch=9"}));
              }),
              HasSubstr("there are only 1 epochs: nothing freezes"));
}

TEST_F(TrainCommand, LeavesCsvEventsAndStatus) {
  Train(Spec("log"));
  Train(Spec("log"));  // from the start again: the table begins anew
  const std::vector<std::string> rows = Split(ReadFile(Path("log/train/training.csv")), '\n');
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0], "epoch,loss,accuracy,learning_rate,val_loss,val_accuracy,seconds");
  const std::vector<std::string> last = Split(rows[2], ',');
  ASSERT_EQ(last.size(), 7U);
  const nlohmann::json results = nlohmann::json::parse(ReadFile(Path("log/train/results.json")));
  if (std::system("python3 --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no python3";
  const std::string out = Path("events.txt");
  const std::string events = results["files"]["tensorboard"];
  ASSERT_EQ(
      std::system(("python3 " OCTET_SOURCE_DIR "/tests/witness/read_events.py '" + events + "' > " + out).c_str()), 0);
  const std::string text = ReadFile(out);
  EXPECT_THAT(text, HasSubstr("train/loss 2 " + last[1] + "\n"));
  EXPECT_THAT(text, HasSubstr("train/learning_rate 2 " + last[3] + "\n"));
  EXPECT_THAT(text, HasSubstr("val/loss 2 " + last[4] + "\n"));
  EXPECT_THAT(text, HasSubstr("val/accuracy 2 " + last[5] + "\n"));
  EXPECT_THAT(text, HasSubstr("train/waited_for_images 1 "));
}

// The same pictures in gray, as files of 8 or 16 bits.
class Gray : public TrainCommand, public testing::WithParamInterface<int> {};

TEST_P(Gray, TrainsAndEvaluates) {
  const bool deep = GetParam() == 16;
  const std::string data = Path("gray" + std::to_string(GetParam()));
  for (const auto& entry : fs::recursive_directory_iterator(Path("data"))) {
    if (!entry.is_regular_file()) continue;
    data::Image gray;
    std::string problem;
    ASSERT_TRUE(data::DecodeImageFile(entry.path().string(), {1, 8}, &gray, &problem)) << problem;
    if (deep) {
      std::vector<uint8_t> wide(gray.pixels.size() * 2);
      for (size_t i = 0; i < gray.pixels.size(); ++i) {
        const auto sample = static_cast<uint16_t>(gray.pixels[i] * 257);
        std::memcpy(&wide[2 * i], &sample, 2);
      }
      gray.pixels = wide;
      gray.depth = 16;
    }
    const fs::path to = data / fs::relative(entry.path(), Path("data")).replace_extension(".png");
    WriteFileAtomic(to.string(), data::EncodePng(gray));
  }
  const std::string name = "gray_results" + std::to_string(GetParam());
  const spec::Spec spec =
      Spec(name, {"dataset.train_dataset_path=" + data + "/train", "dataset.val_dataset_path=" + data + "/val",
                  "model.input_channels=1", "model.input_image_depth=" + std::to_string(GetParam()),
                  "train.num_epochs=1", "evaluate.dataset_path=" + data + "/val",
                  "evaluate.checkpoint=" + Path(name) + "/train/mobilenet_v1_001.octet"});
  Train(spec);
  Evaluate(spec);
  const ir::Graph graph = Model(name, 1).graph;
  EXPECT_EQ(graph.value(graph.Find("conv1.weight")).constant.shape(), (Shape{8, 1, 3, 3}));
  EXPECT_EQ(Metrics(name + "/evaluate")["top_1_accuracy"], Metrics(name + "/train")["val_accuracy"]);
  if (deep) {  // color of 16 bits is refused before any image is read
    EXPECT_THAT(MessageOf([&] { Train(spec.With({"model.input_channels=3"})); }), HasSubstr("16 is for gray images"));
  }
}
INSTANTIATE_TEST_SUITE_P(Bits, Gray, testing::Values(8, 16));

// One network as checkpoint, ONNX, Q/DQ ONNX and plan: the same reports from each.
TEST_F(TrainCommand, EvaluateAndInferenceTakeEveryKindOfFile) {
  Train(Spec("kinds", {"train.qat=true", "quant.calibration_batches=2"}));
  const std::string model = Path("kinds/train/mobilenet_v1_002.octet");
  Export(Spec("kinds", {"export.checkpoint=" + model}));
  Build(Spec("kinds", {"gen_trt_engine.onnx_file=" + model}));
  const std::string classmap = Path("kinds/train/classmap.json");
  const std::vector<std::vector<std::string>> kinds = {
      {"checkpoint=" + model},
      {"checkpoint=" + Path("kinds/export/fp32.onnx"), "classmap=" + classmap},
      {"checkpoint=" + Path("kinds/export/qdq.onnx"), "classmap=" + classmap},
      {"trt_engine=" + Path("kinds/build/model.plan")}};
  std::string int8_csv;
  for (size_t k = 0; k < kinds.size(); ++k) {
    const std::string name = "kind" + std::to_string(k);
    std::vector<std::string> evaluate, inference = {"inference.image_dir=" + Path("data/val")};
    for (const std::string& setting : kinds[k]) {
      evaluate.push_back("evaluate." + setting);
      inference.push_back("inference." + setting);
    }
    testing::internal::CaptureStdout();
    Evaluate(Spec(name, evaluate));
    const std::string table = testing::internal::GetCapturedStdout();
    Infer(Spec(name, inference));
    const nlohmann::json metrics = Metrics(name + "/evaluate");
    EXPECT_EQ(metrics["top_k"], 2);
    EXPECT_GE(metrics["top_k_accuracy"], metrics["top_1_accuracy"]);
    EXPECT_THAT(metrics["runs_as"].get<std::string>(), HasSubstr(k == 1 ? "FP32" : "INT8, engine"));
    // Every number again from the counts of confusion.csv.
    std::vector<std::vector<double>> confusion;
    std::vector<std::string> classes;
    const std::string csv = ReadFile(Path(name) + "/evaluate/confusion.csv");
    for (const std::string& line : Split(std::string(Trim(csv)), '\n')) {
      const std::vector<std::string> fields = Split(line, ',');
      ASSERT_EQ(fields.size(), 4U);
      if (fields[0] == "true\\predicted") continue;
      classes.push_back(fields[0]);
      confusion.push_back({std::stod(fields[1]), std::stod(fields[2]), std::stod(fields[3])});
    }
    ASSERT_EQ(confusion.size(), 3U);
    double hits = 0, f1_sum = 0;
    for (size_t c = 0; c < 3; ++c) {
      const double hit = confusion[c][c];
      const double predicted = confusion[0][c] + confusion[1][c] + confusion[2][c];
      const double precision = predicted > 0 ? hit / predicted : 0, recall = hit / 8;
      const double f1 = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
      const nlohmann::json row = metrics["per_class"][classes[c]];
      EXPECT_NEAR(row["precision"].get<double>(), precision, 1e-12);
      EXPECT_NEAR(row["recall"].get<double>(), recall, 1e-12);
      EXPECT_NEAR(row["f1"].get<double>(), f1, 1e-12);
      EXPECT_EQ(row["images"], 8);
      hits += hit;
      f1_sum += f1;
      EXPECT_THAT(table, HasSubstr(classes[c] + " "));
      EXPECT_THAT(table, HasSubstr(fmt::format("{:>9.4f}  {:>6.4f} {:>6.4f}", precision, recall, f1)));
    }
    EXPECT_NEAR(metrics["top_1_accuracy"].get<double>(), hits / 24, 1e-12);
    EXPECT_NEAR(metrics["mean_f1"].get<double>(), f1_sum / 3, 1e-12);
    data::Image picture;
    std::string problem;
    EXPECT_TRUE(data::DecodeImageFile(Path(name) + "/evaluate/confusion.png", {3, 8}, &picture, &problem)) << problem;
    EXPECT_GT(picture.width, 100);
    // path,label,confidence without a header; the three INT8 forms agree to the last digit.
    const std::string result = ReadFile(Path(name) + "/inference/result.csv");
    const std::vector<std::string> lines = Split(std::string(Trim(result)), '\n');
    ASSERT_EQ(lines.size(), 24U);
    EXPECT_THAT(classes, testing::Contains(Split(lines[0], ',').at(1)));
    if (k == 1) continue;
    if (int8_csv.empty()) int8_csv = result;
    EXPECT_EQ(result, int8_csv) << kinds[k][0];
  }
  WriteFileAtomic(Path("two.txt"), "a\nb\n");
  EXPECT_THAT(MessageOf([&] {
                Evaluate(Spec("wrong", {"evaluate." + kinds[1][0], "evaluate.classmap=" + Path("two.txt")}));
              }),
              HasSubstr("has 2 classes, but the network"));
}

}  // namespace
}  // namespace octet::task::classification
