// model.backbone byom through the commands: train FP32, prune, QAT from the pruned model, resume, export, build,
// evaluate; what a checkpoint remembers without a flag.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "data/synthetic.h"
#include "exporter_graph.h"
#include "ir/model_file.h"
#include "ops/install.h"
#include "passes/insert_qdq.h"
#include "task/classification/classification.h"

namespace octet::task::classification {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class OwnNetworkLine : public testing::Test {
 protected:
  void SetUp() override {
    ops::InstallOps();
    root_ = testing::TempDir() + "octet_own_line_" + std::to_string(::getpid());
    data::SyntheticOptions options;
    options.classes = 3;
    options.train_per_class = 24;
    options.val_per_class = 10;
    options.size = 24;
    options.show_progress = false;
    data::GenerateSynthetic(root_ + "/data", options);
    WriteFileAtomic(root_ + "/net.onnx", ExporterGraph::Typical().Bytes());  // ten classes, 24x24
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // No input size: it is the network's.
  spec::Spec Spec(const std::string& results, const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all = {"results_dir=" + root_ + "/" + results};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return spec::ParseSpec("classification",
                           "dataset: {num_classes: 3, preprocess_mode: torch, train_dataset_path: " + root_ +
                               "/data/train, val_dataset_path: " + root_ + "/data/val}\n" +
                               "model: {backbone: byom, byom_model: " + root_ + "/net.onnx}\n" +
                               "train: {num_epochs: 1, batch_size_per_gpu: 8, n_workers: 2, validation_interval: 1, "
                               "lr_config: {learning_rate: 0.01}}\n" +
                               "evaluate: {dataset_path: " + root_ + "/data/val}\n",
                           "spec.yaml", all);
  }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  static std::string ErrorOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser);
      return e.what();
    }
    return "no error";
  }
  std::string root_;
};

TEST_F(OwnNetworkLine, LikeAnyOther) {
  Train(Spec("fp32"));
  const ir::Model fp32 = ir::ReadModel(Path("fp32/train/byom_001.octet"));
  EXPECT_EQ(fp32.graph.metadata().at("backbone"), "byom");
  EXPECT_EQ(fp32.graph.value(fp32.graph.inputs()[0]).type.shape, (Shape{ir::kDynamic, 3, 24, 24}));
  EXPECT_EQ(fp32.graph.value(fp32.graph.outputs()[0]).type.shape, (Shape{ir::kDynamic, 3}));
  EXPECT_NE(fp32.graph.Find("stem_bn.running_mean"), ir::kNoValue);
  Evaluate(Spec("fp32", {"evaluate.checkpoint=" + Path("fp32/train/byom_001.octet")}));

  // Resume: the checkpoint says what it is; the .onnx is not needed any more.
  Train(Spec("fp32", {"train.resume=true", "train.num_epochs=2", "model.byom_model=" + Path("gone.onnx")}));
  EXPECT_TRUE(FileExists(Path("fp32/train/byom_002.octet")));

  Prune(Spec("fp32", {"prune.checkpoint=" + Path("fp32/train/byom_002.octet"), "prune.threshold=0.97",
                      "prune.min_num_filters=2", "prune.granularity=1"}));
  const std::string pruned = Path("fp32/prune/model_th=0.97_eq=union.octet");
  EXPECT_LT(ReadFile(pruned).size(), ReadFile(Path("fp32/train/best.octet")).size());

  // QAT from the pruned model, although model.byom_model still names the whole one.
  Train(Spec("qat", {"train.checkpoint=" + pruned, "train.qat=true"}));
  const std::string qat = Path("qat/train/byom_001.octet");
  const ir::Graph quantized = ir::ReadModel(qat).graph;
  EXPECT_TRUE(passes::HasQdq(quantized));
  EXPECT_EQ(quantized.metadata().at("recipe"), "fused");
  Train(Spec("qat", {"train.resume=true", "train.num_epochs=2"}));  // stays quantized without the flag
  EXPECT_TRUE(passes::HasQdq(ir::ReadModel(Path("qat/train/byom_002.octet")).graph));

  Export(Spec("qat", {"export.checkpoint=" + Path("qat/train/byom_002.octet")}));
  for (const char* file : {"fp32.onnx", "qdq.onnx", "calib.cache"})
    EXPECT_TRUE(FileExists(Path("qat/export/") + file)) << file;
  Build(Spec("qat", {"gen_trt_engine.onnx_file=" + Path("qat/export/qdq.onnx"),
                     "gen_trt_engine.tensorrt.calibration.cal_image_dir=" + Path("data/train")}));
  Evaluate(Spec("qat", {"evaluate.trt_engine=" + Path("qat/build/model.plan")}));
  EXPECT_TRUE(FileExists(Path("qat/evaluate/confusion.csv")));

  // The other recipe, straight from the file; the file itself evaluates and builds as it is, with its ten classes.
  Train(Spec("inputs", {"train.qat=true", "quant.recipe=inputs"}));
  EXPECT_EQ(ir::ReadModel(Path("inputs/train/byom_001.octet")).graph.metadata().at("recipe"), "inputs");
}

TEST_F(OwnNetworkLine, WhereTheNetworkComesFrom) {
  // train.checkpoint alone
  Train(Spec("checkpoint", {"model.byom_model=", "train.checkpoint=" + Path("net.onnx")}));
  EXPECT_TRUE(FileExists(Path("checkpoint/train/byom_001.octet")));
  // The .onnx as weights for itself: every tensor but the new head's loads.
  std::filesystem::copy(Path("net.onnx"), Path("weights.onnx"));
  Train(Spec("weights", {"train.checkpoint=" + Path("weights.onnx")}));
  EXPECT_TRUE(FileExists(Path("weights/train/byom_001.octet")));
  EXPECT_THAT(ErrorOf([&] { Train(Spec("x", {"model.byom_model="})); }),
              AllOf(HasSubstr("set model.byom_model to its .onnx file"), HasSubstr("spec.yaml")));
  EXPECT_THAT(ErrorOf([&] { Train(Spec("x", {"model.byom_model=" + Path("none.onnx")})); }), HasSubstr("none.onnx"));
  EXPECT_THAT(ErrorOf([&] { Train(Spec("x", {"model.retain_head=true"})); }), HasSubstr("has 10 classes"));
  EXPECT_THAT(ErrorOf([&] {
                Train(Spec("x", {"train.checkpoint=" + Path("checkpoint/train/byom_001.octet"),
                                 "model.backbone=resnet_10", "model.input_width=32", "model.input_height=32"}));
              }),
              HasSubstr("holds the network 'byom', but the spec asks for 'resnet_10'"));
  Prune(Spec("p", {"prune.byom_model_path=" + Path("net.onnx"), "prune.threshold=0.9", "prune.min_num_filters=4"}));
  EXPECT_TRUE(FileExists(Path("p/prune/model_th=0.9_eq=union.octet")));
}

}  // namespace
}  // namespace octet::task::classification
