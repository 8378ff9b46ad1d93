// Loading specs: what is accepted, and every message a wrong spec gets, word for word.
#include "spec/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "spec/samples.h"

namespace octet::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Spec Parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return ParseSpec("classification", text, "spec.yaml", overrides);
}

template <typename F>
std::string MessageOf(F&& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    EXPECT_EQ(e.exit_code(), 1);
    return e.what();
  }
  return "no error";
}

std::string ParseError(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return MessageOf([&] { Parse(text, overrides); });
}

// TAO's classification sample: QAT retrain, export and engine in one file.
constexpr char kTaoSample[] = R"(results_dir: /results
num_gpus: 1
dataset: {num_classes: 20, train_dataset_path: /data/train, val_dataset_path: /data/val, preprocess_mode: torch,
          augmentation: {enable_color_augmentation: true, enable_center_crop: true}}
train: {qat: true, checkpoint: /results/prune/model_th=0.68_eq=union.tlt, batch_size_per_gpu: 64, num_epochs: 80,
        optim_config: {optimizer: sgd}, lr_config: {scheduler: cosine, learning_rate: 0.05, soft_start: 0.05},
        reg_config: {type: L2, scope: [conv2d, dense], weight_decay: 5.0e-5}}
model: {backbone: efficientnet-b0, input_width: 256, input_height: 256, input_channels: 3, input_image_depth: 8}
evaluate: {dataset_path: /data/test, checkpoint: /results/train/efficientnet-b0_080.tlt, top_k: 3, batch_size: 256}
export: {checkpoint: /results/train/efficientnet-b0_080.tlt, onnx_file: /out/efficientnet-b0.qat.onnx}
gen_trt_engine: {onnx_file: /out/efficientnet-b0.qat.onnx, trt_engine: /out/efficientnet-b0.qat.engine,
                 tensorrt: {data_type: int8, max_batch_size: 16}}
)";

TEST(Spec, LoadsTaosSample) {
  const Spec spec = Parse(kTaoSample);
  EXPECT_TRUE(spec.GetBool("train.qat"));
  EXPECT_EQ(spec.GetInt("train.num_epochs"), 80);
  EXPECT_EQ(spec.GetString("train.checkpoint"), "/results/prune/model_th=0.68_eq=union.tlt");
  EXPECT_DOUBLE_EQ(spec.GetFloat("train.reg_config.weight_decay"), 5e-5);
  EXPECT_THAT(spec.GetStrings("train.reg_config.scope"), ElementsAre("conv2d", "dense"));
  EXPECT_EQ(spec.GetString("gen_trt_engine.tensorrt.data_type"), "int8");
  EXPECT_EQ(spec.Where("train.qat"), "spec.yaml:5");
  EXPECT_EQ(spec.Where("train.n_workers"), "default");
  EXPECT_EQ(spec.GetInt("train.n_workers"), 10);
  EXPECT_TRUE(spec.IsSet("evaluate.top_k"));
  EXPECT_FALSE(spec.IsSet("evaluate.trt_engine"));
  // num_gpus is set to its default, which is worth no warning.
  EXPECT_THAT(spec.IgnoredKeys(), ElementsAre("gen_trt_engine.tensorrt.max_batch_size"));
}

TEST(Spec, DefaultsAreTaos) {
  const Spec spec = Parse("");
  EXPECT_EQ(spec.GetString("model.backbone"), "efficientnet-b0");
  EXPECT_EQ(spec.GetInt("model.input_width"), 256);
  EXPECT_THAT(spec.GetFloats("dataset.image_mean"), ElementsAre(103.939, 116.779, 123.68));
  EXPECT_DOUBLE_EQ(spec.GetFloat("train.reg_config.weight_decay"), 0.000015);
  EXPECT_DOUBLE_EQ(spec.GetFloat("train.optim_config.momentum"), 0.99);
  EXPECT_DOUBLE_EQ(spec.GetFloat("train.lr_config.min_lr_ratio"), 0.00003);
  EXPECT_TRUE(spec.GetInts("model.freeze_blocks").empty());
  EXPECT_EQ(spec.GetString("evaluate.trt_engine"), "");
  EXPECT_TRUE(spec.IgnoredKeys().empty());
}

TEST(Spec, BothSpellingsOfTheQatSwitchAndOldSections) {
  EXPECT_TRUE(Parse("training_config: {enable_qat: true}").GetBool("train.qat"));
  EXPECT_TRUE(Parse("training_config:\n  enable_qat: True\n").GetBool("train.qat"));
  EXPECT_TRUE(Parse("", {"training_config.enable_qat=true"}).GetBool("train.qat"));
  const Spec old = Parse(R"(
key: secret
data: {train_dataset_path: a, val_dataset_path: b}
augment: {enable_random_crop: false}
model: {arch: resnet_18, input_image_size: [3, 128, 224]}
train: {pretrained_model_path: p.tlt}
evaluate: {model_path: m.tlt}
export: {output_path: o.onnx, data_type: int8, cal_cache_file: c.bin}
build: {trt_engine: e.plan}
)");
  EXPECT_EQ(old.GetString("dataset.val_dataset_path"), "b");
  EXPECT_FALSE(old.GetBool("dataset.augmentation.enable_random_crop"));
  EXPECT_EQ(old.GetString("model.backbone"), "resnet_18");
  EXPECT_EQ(old.GetInt("model.input_height"), 128);
  EXPECT_EQ(old.GetInt("model.input_width"), 224);
  EXPECT_EQ(old.GetString("train.checkpoint"), "p.tlt");
  EXPECT_EQ(old.GetString("evaluate.checkpoint"), "m.tlt");
  EXPECT_EQ(old.GetString("export.onnx_file"), "o.onnx");
  EXPECT_EQ(old.GetString("gen_trt_engine.tensorrt.data_type"), "int8");
  EXPECT_EQ(old.GetString("gen_trt_engine.tensorrt.calibration.cal_cache_file"), "c.bin");
  EXPECT_EQ(old.GetString("gen_trt_engine.trt_engine"), "e.plan");
  EXPECT_THAT(old.IgnoredKeys(), ElementsAre("encryption_key"));
  EXPECT_EQ(Parse("model: {input_image_size: '1,32,64'}").GetInt("model.input_channels"), 1);
}

TEST(Spec, TwoSpellingsMayAgreeButNotContradict) {
  EXPECT_TRUE(Parse("train: {qat: true}\ntraining_config: {enable_qat: true}").GetBool("train.qat"));
  EXPECT_EQ(ParseError("train: {qat: true}\ntraining_config: {enable_qat: false}"),
            "spec.yaml:2: 'training_config.enable_qat' contradicts 'train.qat' at spec.yaml:1: both mean train.qat; "
            "keep one");
}

TEST(Spec, OverridesWinAndLastOneWins) {
  const Spec spec = Parse("train: {num_epochs: 5}",
                          {"train.num_epochs=7", "++train.num_epochs=9", "model.freeze_blocks=[0,2]",
                           "train.lr_config={learning_rate: 0.1, scheduler: step}", "evaluate.checkpoint=a=b: c.octet",
                           "train.checkpoint=", "dataset.image_mean=[1.5]", "train.reg_config.type=null"});
  EXPECT_EQ(spec.GetInt("train.num_epochs"), 9);
  EXPECT_EQ(spec.Where("train.num_epochs"), "command line");
  EXPECT_THAT(spec.GetInts("model.freeze_blocks"), ElementsAre(0, 2));
  EXPECT_DOUBLE_EQ(spec.GetFloat("train.lr_config.learning_rate"), 0.1);
  EXPECT_EQ(spec.GetString("train.lr_config.scheduler"), "step");
  EXPECT_EQ(spec.GetString("evaluate.checkpoint"), "a=b: c.octet");
  EXPECT_EQ(spec.GetString("train.checkpoint"), "");
  EXPECT_EQ(spec.GetString("train.reg_config.type"), "None");
  EXPECT_EQ(spec.With({"train.num_epochs=11"}).GetInt("train.num_epochs"), 11);
  EXPECT_EQ(spec.GetInt("train.num_epochs"), 9);
}

TEST(Spec, ChangesSinceNamesUsedKeysOfTheSections) {
  const Spec before = Parse("train: {num_epochs: 3, wandb: {name: a}}\nprune: {threshold: 0.2}");
  EXPECT_THAT(before.ChangesSince(before, {"train", "prune"}), testing::IsEmpty());
  const Spec now = before.With({"train.num_epochs=5", "train.wandb.name=b", "prune.threshold=0.3",
                                "dataset.train_dataset_path=/d", "model.freeze_blocks=[1]"});
  EXPECT_THAT(now.ChangesSince(before, {"train", "model", "dataset"}),
              ElementsAre("dataset.train_dataset_path: nothing -> /d", "model.freeze_blocks: [] -> [1]",
                          "train.num_epochs: 3 -> 5"));
}

TEST(Spec, UnknownKeysNameTheNearest) {
  EXPECT_EQ(ParseError("train:\n  num_epoch: 3\n"),
            "spec.yaml:2: unknown key 'train.num_epoch'; did you mean 'train.num_epochs'?");
  EXPECT_EQ(ParseError("trian: {num_epochs: 3}"), "spec.yaml:1: unknown key 'trian'; did you mean 'train'?");
  EXPECT_EQ(ParseError("train: {momentum: 0.9}"),
            "spec.yaml:1: unknown key 'train.momentum'; did you mean 'train.bn_config.momentum'?");
  EXPECT_EQ(ParseError("quant: {zzzzzzzz: 1}"),
            "spec.yaml:1: unknown key 'quant.zzzzzzzz'; expected one of: recipe, calibration, qat_calibration, "
            "percentile, calibration_batches, freeze_bn_epoch, freeze_observer_epoch, distillation, "
            "distillation_temperature, teacher, calibration_dataset_path, calibration_images, probe_images, equalize, "
            "bias_correction, keep_fp32, max_drop, min_sqnr");
  EXPECT_EQ(ParseError("", {"train.qatt=true"}), "command line: unknown key 'train.qatt'; did you mean 'train.qat'?");
}

TEST(Spec, WrongTypes) {
  EXPECT_EQ(ParseError("train:\n  qat: false\n  num_epochs: ten\n"),
            "spec.yaml:3: train.num_epochs: expected an integer >= 1, got 'ten'");
  EXPECT_EQ(ParseError("train: {num_epochs: 2.5}"),
            "spec.yaml:1: train.num_epochs: expected an integer >= 1, got '2.5'");
  EXPECT_EQ(ParseError("train: {qat: maybe}"), "spec.yaml:1: train.qat: expected true or false, got 'maybe'");
  EXPECT_EQ(ParseError("training_config: {enable_qat: maybe}"),
            "spec.yaml:1: training_config.enable_qat: expected true or false, got 'maybe'");
  EXPECT_EQ(ParseError("train: {label_smoothing: [0.1]}"),
            "spec.yaml:1: train.label_smoothing: expected a float in [0, 1), got '[0.1]'");
  EXPECT_EQ(ParseError("train: {label_smoothing: nan}"),
            "spec.yaml:1: train.label_smoothing: expected a float in [0, 1), got 'nan'");
  EXPECT_EQ(ParseError("gpu_ids: 0"), "spec.yaml:1: gpu_ids: expected a list of integers >= 0, got '0'");
  EXPECT_EQ(ParseError("dataset: {image_mean: [1, 2]}"),
            "spec.yaml:1: dataset.image_mean: expected a list of 1 or 3 floats in [0, 65535], got '[1, 2]'");
  EXPECT_EQ(
      ParseError("train: 3"),
      "spec.yaml:1: 'train' is a section; expected keys below it (qat, checkpoint, resume_training_checkpoint_path, "
      "resume, checkpoint_interval, moving_average_decay, amp, integer, validation_interval, batch_size_per_gpu, "
      "num_epochs, "
      "n_workers, threads, "
      "random_seed, label_smoothing, reg_config, bn_config, lr_config, optim_config, wandb, clearml, "
      "results_dir), got '3'");
  EXPECT_EQ(ParseError("train: {num_epochs: {a: 1}}"),
            "spec.yaml:1: train.num_epochs: expected an integer >= 1, got a section");
  EXPECT_EQ(ParseError("train: {num_epochs: }"),
            "spec.yaml:1: train.num_epochs: expected an integer >= 1, got nothing");
  EXPECT_EQ(ParseError("model: {input_image_size: [3, 224]}"),
            "spec.yaml:1: model.input_image_size: expected a list of 3 values (model.input_channels, "
            "model.input_height, model.input_width), got '[3, 224]'");
}

TEST(Spec, OutOfRange) {
  EXPECT_EQ(ParseError("train:\n  lr_config:\n    learning_rate: -0.05\n"),
            "spec.yaml:3: train.lr_config.learning_rate: -0.05 is out of range; expected a float > 0");
  EXPECT_EQ(ParseError("", {"train.lr_config.learning_rate=-1"}),
            "command line: train.lr_config.learning_rate: -1 is out of range; expected a float > 0");
  EXPECT_EQ(ParseError("model: {input_width: 8}"),
            "spec.yaml:1: model.input_width: 8 is out of range; expected an integer in [16, 8192]");
  EXPECT_EQ(ParseError("model: {input_channels: 2}"),
            "spec.yaml:1: model.input_channels: expected one of 1, 3, got '2'");
  EXPECT_EQ(
      ParseError("dataset: {preprocess_mode: cafe}"),
      "spec.yaml:1: dataset.preprocess_mode: expected one of caffe, torch, tf, got 'cafe'; did you mean 'caffe'?");
  EXPECT_EQ(ParseError("train: {lr_config: {scheduler: null}}"),
            "spec.yaml:1: train.lr_config.scheduler: expected one of cosine, soft_anneal, step, got nothing");
  EXPECT_EQ(
      ParseError("train: {reg_config: {scope: [conv2d, lstm]}}"),
      "spec.yaml:1: train.reg_config.scope: expected a list of values out of conv2d, depthwise, dense, got 'lstm'");
  EXPECT_EQ(Parse("train: {reg_config: {scope: [Conv2D]}}").GetStrings("train.reg_config.scope")[0], "conv2d");
}

TEST(Spec, RequiredKeysAndFiles) {
  const Spec spec = Parse("export:\n  checkpoint: no/such.octet\nevaluate:\n  checkpoint: ???\nresults_dir: ''\n");
  EXPECT_EQ(MessageOf([&] { spec.Require("dataset.train_dataset_path"); }),
            "spec.yaml: required key 'dataset.train_dataset_path' is missing (folder of class folders); add it under "
            "'dataset:', or give dataset.train_dataset_path=... on the command line");
  EXPECT_THAT(MessageOf([&] { spec.GetString("evaluate.checkpoint"); }), HasSubstr("'evaluate.checkpoint' is missing"));
  EXPECT_THAT(MessageOf([&] { spec.Require("results_dir"); }),
              HasSubstr("required key 'results_dir' is missing (root folder of everything that commands write); add it "
                        "at the top level, or give results_dir=... on the command line"));
  EXPECT_EQ(MessageOf([&] { spec.RequireFile("export.checkpoint"); }),
            "spec.yaml:2: export.checkpoint: file 'no/such.octet' does not exist");
  EXPECT_EQ(MessageOf([&] { spec.RequireFolder("export.checkpoint"); }),
            "spec.yaml:2: export.checkpoint: folder 'no/such.octet' does not exist");
  const std::string here = OCTET_SOURCE_DIR;
  const Spec real = Parse("results_dir: " + here, {"export.checkpoint=" + here + "/CMakeLists.txt"});
  EXPECT_EQ(real.RequireFolder("results_dir"), here);
  EXPECT_EQ(real.RequireFile("export.checkpoint"), here + "/CMakeLists.txt");
  EXPECT_EQ(MessageOf([&] { real.RequireFile("results_dir"); }),
            "spec.yaml:1: results_dir: '" + here + "' is a folder; expected a file");
  EXPECT_EQ(MessageOf([&] { real.RequireFolder("export.checkpoint"); }),
            "command line: export.checkpoint: '" + here + "/CMakeLists.txt' is a file; expected a folder");
  EXPECT_EQ(MessageOf([] { LoadSpec("classification", "no/such.yaml"); }), "spec file 'no/such.yaml' does not exist");
  EXPECT_EQ(MessageOf([] { LoadSpec("clasification", "x"); }),
            "unknown task 'clasification'; expected one of: classification, efficientdet");
}

TEST(Spec, BrokenYaml) {
  EXPECT_EQ(ParseError("train:\n  qat: [true\n"), "spec.yaml:3:1: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(ParseError("train:\n\tqat: true\n"),
            "spec.yaml:2:5: not valid YAML: illegal map value; YAML wants spaces, this line has a tab");
  EXPECT_EQ(ParseError("- a\n- b\n"), "spec.yaml: expected 'key: value' lines at the top level, got a list");
  EXPECT_EQ(ParseError("train:\n  qat: true\n  num_epochs: 1\n  qat: false\n"),
            "spec.yaml:4: key 'train.qat' is given twice in the same section");
  EXPECT_EQ(ParseError("", {"train.qat"}),
            "command line: 'train.qat' is not an override; expected key=value, for example train.num_epochs=3");
}

TEST(Spec, Interpolation) {
  const Spec spec = Parse(
      "results_dir: /r\nexport: {onnx_file: '${train.results_dir}/m_${train.num_epochs}.onnx'}\n"
      "train: {results_dir: '${results_dir}/t', num_epochs: 4}\n");
  EXPECT_EQ(spec.GetString("export.onnx_file"), "/r/t/m_4.onnx");
  EXPECT_EQ(ParseError("results_dir: '${train.results_dir}'\ntrain: {results_dir: '${results_dir}'}"),
            "spec.yaml:1: results_dir: '${train.results_dir}' refers to itself");
  EXPECT_EQ(ParseError("results_dir: '${result_dir}'"),
            "spec.yaml:1: unknown key 'result_dir'; did you mean 'results_dir'?");
}

TEST(Spec, ResolvedSpecLoadsAgainWithTheSameValues) {
  const Spec spec = Parse(kTaoSample, {"encryption_key=a \"b\" \\ #c: d", "model_name=123", "train.wandb.name=yes",
                                       "prune.excluded_layers=[a, 'b, c', '']"});
  const std::string yaml = spec.ToYaml();
  const Spec again = ParseSpec("classification", yaml, "again.yaml");
  EXPECT_EQ(again.ToYaml(), yaml);
  EXPECT_EQ(again.GetString("encryption_key"), "a \"b\" \\ #c: d");
  EXPECT_EQ(again.GetString("model_name"), "123");
  EXPECT_THAT(again.GetStrings("prune.excluded_layers"), ElementsAre("a", "b, c", ""));
  EXPECT_THAT(yaml, HasSubstr("  optim_config:\n    optimizer: sgd\n"));
}

TEST(Spec, EverySampleLoadsWithoutAWarning) {
  const std::string folder = std::string(testing::TempDir()) + "/octet_samples_" + std::to_string(::getpid());
  const std::vector<std::string> paths = WriteSamples("classification_tf2", folder);
  ASSERT_EQ(paths.size(), 3U);
  for (const std::string& path : paths) {
    const Spec spec = LoadSpec("classification", path);
    EXPECT_TRUE(spec.IgnoredKeys().empty()) << path;
    EXPECT_THAT(spec.Require("dataset.train_dataset_path"), HasSubstr("data"));
    EXPECT_EQ(spec.GetBool("train.qat"), path.find("qat") != std::string::npos);
  }
  EXPECT_EQ(WriteSamples("classification", folder), paths);  // again is fine, over somebody's changes is not
  WriteFileAtomic(paths[1], "results_dir: mine\n");
  EXPECT_THAT(MessageOf([&] { WriteSamples("classification", folder); }), HasSubstr("is not overwritten"));
  EXPECT_EQ(ReadFile(paths[1]), "results_dir: mine\n");
  std::filesystem::remove_all(folder);
}

TEST(Spec, EverySampleOfADetectorLoads) {
  const std::string folder = std::string(testing::TempDir()) + "/octet_detector_samples_" + std::to_string(::getpid());
  const std::vector<std::string> paths = WriteSamples("efficientdet_tf2", folder);
  ASSERT_EQ(paths.size(), 2U);
  for (const std::string& path : paths) {
    const Spec spec = LoadSpec("efficientdet", path);
    EXPECT_TRUE(spec.IgnoredKeys().empty()) << path;
    EXPECT_EQ(spec.GetBool("train.qat"), path.find("qat") != std::string::npos);
  }
  std::filesystem::remove_all(folder);
}

TEST(Spec, KeysWithoutAMeaningHereAreAcceptedAndNamed) {
  const Spec spec = Parse(R"(
encryption_key: tlt_encode
num_gpus: 4
cuda_blocking: true
mpi_args: {nccl_ib_hca: mlx5}
data_format: channels_last
train:
  wandb: {enable: false, project: mine, tags: [a]}
  clearml: {task: mine}
)");
  EXPECT_THAT(spec.IgnoredKeys(),
              ElementsAre("encryption_key", "num_gpus", "cuda_blocking", "data_format", "mpi_args.nccl_ib_hca",
                          "train.wandb.enable", "train.wandb.project", "train.wandb.tags", "train.clearml.task"));
}

TEST(Spec, RangesAreThoseOfTheTraining) {
  EXPECT_EQ(ParseError("train: {moving_average_decay: 1}"),
            "spec.yaml:1: train.moving_average_decay: 1 is out of range; expected a float in [0, 1)");
  EXPECT_EQ(ParseError("train: {lr_config: {soft_start: 1}}"),
            "spec.yaml:1: train.lr_config.soft_start: 1 is out of range; expected a float in [0, 1)");
  EXPECT_THAT(ParseError("train: {lr_config: {step_size: 101}}"), HasSubstr("101 is out of range"));
  EXPECT_EQ(ParseError("quant: {freeze_bn_epoch: -2}"),
            "spec.yaml:1: quant.freeze_bn_epoch: -2 is out of range; expected an integer >= -1");
  EXPECT_EQ(ParseError("quant: {freeze_observer_epoch: soon}"),
            "spec.yaml:1: quant.freeze_observer_epoch: expected an integer >= -1, got 'soon'");
  EXPECT_EQ(ParseError("model: {dropout: 1.0}"),
            "spec.yaml:1: model.dropout: 1.0 is out of range; expected a float in [0, 1)");
}

TEST(Spec, DocumentationIsWhatTheTablesSay) {
  const std::string path = std::string(OCTET_SOURCE_DIR) + "/docs/spec.md";
  if (std::getenv("OCTET_UPDATE_DOCS") != nullptr) WriteFileAtomic(path, SpecDocs());
  EXPECT_EQ(ReadFile(path), SpecDocs()) << "docs/spec.md is out of date: octet spec > docs/spec.md";
}

}  // namespace
}  // namespace octet::spec
