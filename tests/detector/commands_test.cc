// octet efficientdet as functions on a small drawn set: the whole line from TFRecords to annotated pictures, what each
// command leaves behind, that a resumed run equals a whole one and a plan the QAT evaluation, and every bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "boxes_data.h"
#include "data/image.h"
#include "ir/model_file.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/insert_qdq.h"
#include "spec/spec.h"
#include "task/efficientdet/efficientdet.h"
#include "tensorrt/calibration_cache.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

namespace fs = std::filesystem;
namespace det = task::efficientdet;
using testing::HasSubstr;

class DetectorCommands : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops::InstallOps();
    root_ = testing::TempDir() + "octet_detector_" + std::to_string(::getpid());
    fs::remove_all(root_);
    WriteBoxesData(root_ + "/data");
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static spec::Spec Spec(const std::string& name, const std::vector<std::string>& overrides = {}) {
    const std::string data = root_ + "/data";
    return spec::ParseSpec("efficientdet",
                           "results_dir: " + root_ + "/" + name + "\ndataset: {num_classes: 2, train_dirs: [" + data +
                               "/images], val_dirs: [" + data + "/images], train_json_file: " + data +
                               "/train.json, val_json_file: " + data + R"(/val.json,
          augmentation: {random_crop_min_scale: 0.8, random_crop_max_scale: 1.2}}
model: {name: efficientdet-d0, input_width: 128, input_height: 128}
train:
  num_epochs: 2
  batch_size: 6
  checkpoint_interval: 1
  validation_interval: 1
  threads: 1
  moving_average_decay: 0.9
  lr_schedule: {warmup_epoch: 1, learning_rate: 0.02}
evaluate: {batch_size: 3}
quant: {calibration_batches: 2}
)",
                           "spec.yaml", overrides);
  }
  static std::string Path(const std::string& name) { return root_ + "/" + name; }
  static nlohmann::json Json(const std::string& path) { return nlohmann::json::parse(ReadFile(Path(path))); }
  static nlohmann::json Metrics(const std::string& folder) { return Json(folder + "/results.json")["metrics"]; }
  static std::string MessageOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      return e.what();
    }
    return "no error";
  }
  static std::string LogOf(const std::function<void()>& body) {
    testing::internal::CaptureStderr();
    body();
    return testing::internal::GetCapturedStderr();
  }
  static std::vector<float> Weights(const std::string& file, const std::string& name) {
    const ir::Graph g = ir::ReadModel(Path(file)).graph;
    return g.value(g.Find(name)).constant.ToVector<float>();
  }
  static std::string root_;
};
std::string DetectorCommands::root_;

// FP32 -> prune -> train again -> QAT -> export -> build -> evaluate -> inference.
TEST_F(DetectorCommands, TheWholeLine) {
  det::Train(Spec("line"));
  for (const char* file : {"efficientdet-d0_001.octet", "efficientdet-d0_002.octet", "best.octet", "training.csv",
                           "results.json", "status.json", "tb_events"}) {
    EXPECT_TRUE(fs::exists(Path(std::string("line/train/") + file))) << file;
  }
  EXPECT_EQ(Metrics("line/train")["train_images"], 12);
  EXPECT_EQ(Metrics("line/train")["val_images"], 6);
  EXPECT_EQ(Split(ReadFile(Path("line/train/training.csv")), '\n').size(), 4U);
  EXPECT_THAT(ReadFile(Path("line/train/status.json")), HasSubstr("Training finished successfully."));
  const std::string trained = Path("line/train/efficientdet-d0_002.octet");

  det::Prune(Spec("line", {"prune.checkpoint=" + trained, "prune.threshold=0.8"}));
  const nlohmann::json pruning = Metrics("line/prune");
  EXPECT_LT(pruning["parameters_after"], pruning["parameters_before"]);
  const std::string pruned = Path("line/prune/model_th=0.8_eq=union.octet");
  ASSERT_TRUE(FileExists(pruned));

  // The pruned network is trained with quantization at once.
  det::Train(Spec("qat", {"train.pruned_model_path=" + pruned, "train.qat=true", "train.num_epochs=2"}));
  const std::string qat = Path("qat/train/efficientdet-d0_002.octet");
  EXPECT_TRUE(passes::HasQdq(ir::ReadModel(qat).graph));
  EXPECT_GT(Metrics("qat/train")["activation_quantizers"], 100);

  // The QAT checkpoint is evaluated by the engine; a plan from it, or from the exported Q/DQ file, finds the same.
  const std::vector<std::string> low = {"evaluate.score_threshold=0.001"};
  const auto evaluate = [&](const std::string& name, const std::string& network) {
    std::vector<std::string> overrides = low;
    overrides.push_back(network);
    det::Evaluate(Spec(name, overrides));
    return ReadFile(Path(name + "/evaluate/detections.json"));
  };
  const std::string found = evaluate("of_qat", "evaluate.checkpoint=" + qat);
  EXPECT_GT(nlohmann::json::parse(found).size(), 50U);
  for (const auto& d : nlohmann::json::parse(found)) EXPECT_TRUE(d["category_id"] == 3 || d["category_id"] == 7);
  det::Build(Spec("plan", {"gen_trt_engine.onnx_file=" + qat, "gen_trt_engine.tensorrt.data_type=int8"}));
  EXPECT_EQ(evaluate("of_plan", "evaluate.trt_engine=" + Path("plan/build/model.plan")), found);
  EXPECT_THAT(Metrics("of_plan/evaluate")["runs_as"].get<std::string>(), HasSubstr("INT8"));
  EXPECT_EQ(Metrics("of_plan/evaluate")["AP"], Metrics("of_qat/evaluate")["AP"]);

  det::Export(Spec("line", {"export.checkpoint=" + qat}));
  const tensorrt::CalibrationCache cache = tensorrt::ReadCalibrationCache(Path("line/export/calib.cache"));
  EXPECT_EQ(static_cast<double>(cache.entries.size()), Metrics("line/export")["scales_qat"]);
  det::Build(Spec("from_qdq", {"gen_trt_engine.onnx_file=" + Path("line/export/qdq.onnx")}));
  EXPECT_EQ(evaluate("of_qdq", "evaluate.trt_engine=" + Path("from_qdq/build/model.plan")), found);
  EXPECT_EQ(evaluate("of_onnx", "evaluate.checkpoint=" + Path("line/export/qdq.onnx")), found);

  // Post-training: the float file and images.
  det::Export(Spec("float", {"export.checkpoint=" + trained}));
  EXPECT_FALSE(FileExists(Path("float/export/qdq.onnx")));
  det::Build(Spec("ptq", {"gen_trt_engine.onnx_file=" + Path("float/export/fp32.onnx"),
                          "gen_trt_engine.tensorrt.calibration.cal_image_dir=" + Path("data/images"),
                          "gen_trt_engine.tensorrt.calibration.cal_batch_size=4",
                          "gen_trt_engine.tensorrt.calibration.cal_batches=2"}));
  EXPECT_TRUE(FileExists(Path("ptq/build/calib.cache")));
  evaluate("of_ptq", "evaluate.trt_engine=" + Path("ptq/build/model.plan"));

  // TAO's input and the two kinds of suppression: files of their own, the cache names tensors of the file.
  for (const char* form : {"nms", "efficient_nms"}) {
    const std::string name = std::string("form_") + form;
    det::Export(
        Spec(name, {"export.checkpoint=" + qat, "export.input=tao", std::string("export.postprocess=") + form}));
    const ir::Graph g = onnx::ImportOnnx(Path(name + "/export/qdq.onnx"));
    EXPECT_EQ(g.value(g.inputs()[0]).type.shape[3], 3);
    EXPECT_EQ(g.value(g.inputs()[0]).name, "input");
    EXPECT_EQ(g.outputs().size(), std::string(form) == "nms" ? 3U : 4U);
    bool normalised = false;
    for (const auto& entry : tensorrt::ReadCalibrationCache(Path(name + "/export/calib.cache")).entries) {
      EXPECT_NE(g.Find(entry.name), ir::kNoValue) << entry.name;
      EXPECT_NE(entry.name, "input");
      normalised = normalised || entry.name == "preprocessor/mean";
    }
    EXPECT_TRUE(normalised);
  }

  det::Infer(Spec("line", {"inference.trt_engine=" + Path("from_qdq/build/model.plan"), "inference.dump_label=true",
                           "inference.min_score_thresh=0.001", "inference.image_dir=" + Path("data/images/01*.png")}));
  const nlohmann::json results = Json("line/inference/detections.json");
  ASSERT_GT(results.size(), 0U);
  EXPECT_TRUE(results[0]["category"] == "red" || results[0]["category"] == "blue");
  EXPECT_EQ(results[0]["bbox"].size(), 4U);
  int pictures = 0;
  for (const auto& entry : fs::directory_iterator(Path("line/inference/images_annotated"))) {
    data::Image image;
    std::string problem;
    EXPECT_TRUE(data::DecodeImageFile(entry.path().string(), {}, &image, &problem)) << problem;
    EXPECT_EQ(image.width, 120);
    const std::string label = Path("line/inference/labels/" + entry.path().stem().string() + ".txt");
    EXPECT_TRUE(FileExists(label));
    for (const std::string& line : Split(ReadFile(label), '\n')) {
      EXPECT_TRUE(line.empty() || Split(line, ' ').size() == 16U) << line;
    }
    ++pictures;
  }
  EXPECT_EQ(pictures, 8);  // 010.png to 017.png
  EXPECT_EQ(Metrics("line/inference")["images"], 8);

  // octet-run needs the plan only, and finds the best box of `inference`.
  const std::string image = Path("data/images/010.png");
  FILE* pipe = popen(
      (OCTET_BIN_DIR "/octet-run --min-score 0.001 " + Path("from_qdq/build/model.plan") + " " + image).c_str(), "r");
  std::string output(1 << 16, '\0');
  output.resize(fread(output.data(), 1, output.size(), pipe));
  EXPECT_EQ(pclose(pipe), 0);
  const nlohmann::json* best = nullptr;
  for (const auto& d : results) {
    if (d["file_name"] == image && best == nullptr) best = &d;
  }
  ASSERT_NE(best, nullptr);
  EXPECT_THAT(output, testing::StartsWith(image + "\t" + (*best)["category"].get<std::string>() + " " +
                                          fmt::format("{:.4f}", (*best)["score"].get<double>())));
}

// Recipe `inputs` keeps swish and leaves the BiFPN in float, as TAO's TF2 code does; its counts are TAO's.
TEST_F(DetectorCommands, RecipeInputsGoesTheWholeLine) {
  det::Train(Spec("inputs",
                  {"train.qat=true", "quant.recipe=inputs", "train.num_epochs=1", "train.lr_schedule.warmup_epoch=0"}));
  EXPECT_EQ(Metrics("inputs/train")["activation_quantizers"], 143);
  EXPECT_EQ(Metrics("inputs/train")["weight_quantizers"], 86);
  const std::string qat = Path("inputs/train/efficientdet-d0_001.octet");
  det::Export(Spec("inputs", {"export.checkpoint=" + qat}));
  det::Build(Spec("inputs", {"gen_trt_engine.onnx_file=" + Path("inputs/export/qdq.onnx")}));
  const auto evaluate = [&](const std::string& name, const std::string& network) {
    det::Evaluate(Spec(name, {"evaluate.score_threshold=0.001", network}));
    return ReadFile(Path(name + "/evaluate/detections.json"));
  };
  const std::string found = evaluate("inputs_of_qat", "evaluate.checkpoint=" + qat);
  EXPECT_GT(nlohmann::json::parse(found).size(), 50U);
  EXPECT_EQ(evaluate("inputs_of_plan", "evaluate.trt_engine=" + Path("inputs/build/model.plan")), found);
  EXPECT_THAT(MessageOf([&] {
                det::Train(Spec("keep", {"train.qat=true", "quant.recipe=inputs", "quant.keep_fp32=[stem_con]"}));
              }),
              HasSubstr("nearest: 'stem_conv'"));
}

TEST_F(DetectorCommands, TrainsFromTfRecords) {
  for (const char* part : {"train", "val"}) {
    det::DatasetConvert(Spec(std::string("records_") + part,
                             {"dataset_convert.image_dir=" + Path("data/images"), "dataset_convert.num_shards=2",
                              std::string("dataset_convert.annotations_file=") + Path("data/") + part + ".json"}));
    EXPECT_EQ(Metrics(std::string("records_") + part + "/dataset_convert")["images"],
              std::string(part) == "train" ? 12 : 6);
  }
  const std::vector<std::string> overrides = {
      "dataset.train_dirs=[]",
      "dataset.val_dirs=[]",
      "dataset.train_tfrecords=[" + Path("records_train/dataset_convert/*.tfrecord") + "]",
      "dataset.val_tfrecords=[" + Path("records_val/dataset_convert/*.tfrecord") + "]",
      "train.num_epochs=1",
      "train.lr_schedule.warmup_epoch=0"};
  det::Train(Spec("from_records", overrides));
  EXPECT_EQ(Metrics("from_records/train")["train_images"], 12);
  EXPECT_EQ(Metrics("from_records/train")["train_boxes"],
            Metrics("records_train/dataset_convert")["objects_red"].get<double>() +
                Metrics("records_train/dataset_convert")["objects_blue"].get<double>());
}

TEST_F(DetectorCommands, AResumedRunEqualsAWholeOne) {
  const std::vector<std::string> more = {"train.optimizer.name=adam", "train.lr_schedule.learning_rate=0.002",
                                         "train.iou_loss_type=giou"};
  det::Train(Spec("whole", more));
  fs::create_directories(Path("parts/train"));
  fs::copy_file(Path("whole/train/efficientdet-d0_001.octet"), Path("parts/train/efficientdet-d0_001.octet"));
  std::vector<std::string> resume = more;
  resume.push_back("train.resume=true");
  const std::string log = LogOf([&] { det::Train(Spec("parts", resume)); });
  EXPECT_THAT(log, HasSubstr("resumed from"));
  EXPECT_THAT(log, testing::Not(HasSubstr("other settings")));
  for (const char* name : {"stem_conv.weight", "box-0_pointwise.weight"}) {
    EXPECT_EQ(Weights("parts/train/efficientdet-d0_002.octet", name),
              Weights("whole/train/efficientdet-d0_002.octet", name));
  }
  EXPECT_EQ(Metrics("parts/train")["AP"], Metrics("whole/train")["AP"]);
  EXPECT_EQ(Metrics("parts/train")["best_AP"], Metrics("whole/train")["best_AP"]);
  // With other settings: allowed, but said. Done already: refused.
  resume.push_back("train.box_loss_weight=10");
  EXPECT_THAT(LogOf([&] {
                EXPECT_THAT(MessageOf([&] { det::Train(Spec("parts", resume)); }),
                            HasSubstr("nothing is left to train"));
              }),
              HasSubstr("train.box_loss_weight"));
}

TEST_F(DetectorCommands, TheBackboneOfAClassifierIsLoaded) {
  zoo::NetworkOptions options;
  options.backbone = "efficientnet-b0";
  options.input_height = options.input_width = 32;
  options.seed = 5;
  ir::Model model;
  model.graph = zoo::BuildNetwork(options);
  ir::WriteModel(Path("b0.octet"), model);
  const auto weights = Weights("b0.octet", "stem_conv.weight");
  det::Train(Spec("backbone", {"train.checkpoint=" + Path("b0.octet"), "model.freeze_blocks=[0]", "train.num_epochs=1",
                               "train.lr_schedule.warmup_epoch=0", "model.freeze_bn=true"}));
  EXPECT_EQ(Weights("backbone/train/efficientdet-d0_001.octet", "stem_conv.weight"), weights);
}

TEST_F(DetectorCommands, BadInputsAreNamed) {
  const auto train = [&](const std::vector<std::string>& overrides) {
    return MessageOf([&] { det::Train(Spec("bad", overrides)); });
  };
  // Sizes: which ones work.
  const std::string size = train({"model.input_width=200"});
  EXPECT_THAT(size, HasSubstr("200"));
  EXPECT_THAT(size, HasSubstr("128"));
  EXPECT_THAT(size, HasSubstr("256"));
  // Too few classes: named.
  nlohmann::json coco = Json("data/train.json");
  nlohmann::json changed = coco;
  changed["categories"].push_back({{"id", 9}, {"name", "green"}});
  WriteFileAtomic(Path("three.json"), changed.dump());
  const std::string classes = train({"dataset.train_json_file=" + Path("three.json")});
  EXPECT_THAT(classes, HasSubstr("num_classes"));
  EXPECT_THAT(classes, HasSubstr("green"));
  // Listed but missing; duplicate ids; nothing at all.
  changed = coco;
  changed["images"][0]["file_name"] = "gone.png";
  WriteFileAtomic(Path("missing.json"), changed.dump());
  EXPECT_THAT(train({"dataset.train_json_file=" + Path("missing.json")}), HasSubstr("gone.png"));
  changed = coco;
  changed["images"][1]["id"] = coco["images"][0]["id"];
  WriteFileAtomic(Path("duplicate.json"), changed.dump());
  EXPECT_THAT(train({"dataset.train_json_file=" + Path("duplicate.json")}), HasSubstr("100"));
  changed = coco;
  changed["annotations"] = nlohmann::json::array();
  WriteFileAtomic(Path("empty.json"), changed.dump());
  EXPECT_THAT(train({"dataset.train_json_file=" + Path("empty.json")}), HasSubstr("box"));
  // Boxes outside the image or of no size are left out, counted and listed; the run goes on.
  changed = coco;
  changed["annotations"][0]["bbox"] = {500, 10, 20, 20};
  changed["annotations"][1]["bbox"] = {10, 10, 0, 20};
  WriteFileAtomic(Path("boxes.json"), changed.dump());
  det::Train(Spec("boxes", {"dataset.train_json_file=" + Path("boxes.json"), "train.num_epochs=1",
                            "train.lr_schedule.warmup_epoch=0"}));
  EXPECT_EQ(Metrics("boxes/train")["train_boxes_dropped"], 2);
  EXPECT_THAT(ReadFile(Path("boxes/train/train_warnings.json")), HasSubstr("box"));
  // No data; a damaged record.
  EXPECT_THAT(train({"dataset.train_json_file=", "dataset.train_tfrecords=[]"}), HasSubstr("no training set"));
  det::DatasetConvert(
      Spec("damaged", {"dataset_convert.image_dir=" + Path("data/images"), "dataset_convert.num_shards=1",
                       "dataset_convert.tag=t", "dataset_convert.annotations_file=" + Path("data/train.json")}));
  for (const auto& entry : fs::directory_iterator(Path("damaged/dataset_convert"))) {
    if (entry.path().extension() != ".tfrecord") continue;
    std::string bytes = ReadFile(entry.path().string());
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    WriteFileAtomic(entry.path().string(), bytes);
    const std::string message =
        train({"dataset.train_dirs=[]", "dataset.train_tfrecords=[" + entry.path().string() + "]"});
    EXPECT_THAT(message, HasSubstr(entry.path().filename().string()));
    EXPECT_THAT(message, HasSubstr("CRC"));
  }
  // More boxes in an image than the spec allows; a warm-up longer than the run; another network's checkpoint.
  EXPECT_THAT(train({"dataset.max_instances_per_image=1"}), HasSubstr("max_instances_per_image"));
  EXPECT_THAT(train({"train.lr_schedule.warmup_epoch=5"}), HasSubstr("warmup_epoch"));
  EXPECT_THAT(train({"train.iou_loss_type=huber"}), HasSubstr("huber"));
  zoo::NetworkOptions options;
  options.backbone = "resnet_10";
  options.input_height = options.input_width = 32;
  ir::Model model;
  model.graph = zoo::BuildNetwork(options);
  ir::WriteModel(Path("resnet.octet"), model);
  EXPECT_THAT(train({"train.checkpoint=" + Path("resnet.octet")}), HasSubstr("resnet_10"));
  EXPECT_THAT(MessageOf([&] { det::Evaluate(Spec("bad", {"evaluate.checkpoint=" + Path("resnet.octet")})); }),
              HasSubstr("reads images"));
  EXPECT_THAT(ReadFile(Path("bad/train/status.json")), HasSubstr("FAILURE"));
}

}  // namespace
}  // namespace octet
