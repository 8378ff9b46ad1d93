// octet classification prune, from spec to file, and what training makes of the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "ops/install.h"
#include "passes/insert_qdq.h"
#include "passes/measure_network.h"
#include "task/classification/classification.h"
#include "task/classification/setup.h"
#include "task/classification/start_network.h"
#include "zoo/zoo.h"

namespace octet::task::classification {
namespace {

using testing::HasSubstr;

class PruneCommand : public testing::Test {
 protected:
  void SetUp() override {
    ops::InstallOps();
    folder_ = std::string(testing::TempDir()) + "/octet_prune_command_test" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    MakeDirectories(folder_);
    zoo::NetworkOptions o;
    o.backbone = "resnet_10";
    o.num_classes = 3;
    o.input_height = o.input_width = 32;
    model_.graph = zoo::BuildNetwork(o);
    // Every second filter of every convolution is a tenth of the others.
    for (const ir::ValueId id : model_.graph.constants()) {
      Tensor w = model_.graph.value(id).constant;
      if (w.rank() != 4) continue;
      const int64_t inner = w.size() / w.dim(0);
      for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] *= i / inner % 2 == 0 ? 1.0f : 0.1f;
      model_.graph.set_constant(id, w);
    }
    model_.info = {{"classes", R"(["a","b","c"])"}, {"task", "classification"}};
    model_.state = {{"moment", Tensor::Scalar(1.0f)}};
    ir::WriteModel(folder_ + "/trained.octet", model_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  spec::Spec Spec(const std::vector<std::string>& overrides = {}) const {
    return spec::ParseSpec("classification",
                           "results_dir: " + folder_ +
                               "\nmodel: {backbone: resnet_10, input_width: 32, input_height: 32}\n"
                               "dataset: {num_classes: 3}\n"
                               "prune: {checkpoint: " +
                               folder_ + "/trained.octet, threshold: 0.25, excluded_layers: [conv1]}\n",
                           "spec.yaml", overrides);
  }
  StartingPoint Start(const spec::Spec& spec) const { return FindStartingPoint(spec, folder_, KindFromSpec(spec)); }
  std::string Pruned() const { return folder_ + "/prune/model_th=0.25_eq=union.octet"; }

  std::string folder_;
  ir::Model model_;
};

TEST_F(PruneCommand, WritesTheSmallerModel) {
  Prune(Spec());
  const ir::Model pruned = ir::ReadModel(Pruned());
  ir::Verify(pruned.graph);
  EXPECT_EQ(pruned.info, model_.info);
  EXPECT_TRUE(pruned.state.empty());
  EXPECT_EQ(pruned.graph.metadata().at("pruned"), "th=0.25_eq=union");
  EXPECT_EQ(pruned.graph.metadata().at("backbone"), "resnet_10");
  const auto shape = [&](const char* name) { return pruned.graph.value(pruned.graph.Find(name)).constant.shape(); };
  EXPECT_EQ(shape("conv1.weight"), (Shape{64, 3, 7, 7}));
  EXPECT_EQ(shape("block_4a_conv_1.weight"), (Shape{256, 128, 3, 3}));
  EXPECT_EQ(shape("block_4a_bn_2.mean"), (Shape{256}));
  EXPECT_EQ(shape("predictions_dense.weight"), (Shape{3, 256}));
  EXPECT_LT(passes::MeasureNetwork(pruned.graph).parameters, passes::MeasureNetwork(model_.graph).parameters * 0.3);
  const std::string results = ReadFile(folder_ + "/prune/results.json");
  for (const char* metric : {"pruning_ratio", "param_count", "macs_before", "macs_after"})
    EXPECT_THAT(results, HasSubstr(metric));
  EXPECT_THAT(ReadFile(folder_ + "/prune/plan.txt"), HasSubstr("whole: excluded_layers"));
  EXPECT_THAT(ReadFile(folder_ + "/prune/status.json"), HasSubstr("SUCCESS"));
}

TEST_F(PruneCommand, TrainingGoesOnWithThePrunedNetwork) {
  Prune(Spec());
  const std::string checkpoint = "train.checkpoint=" + Pruned();
  EXPECT_EQ(Start(Spec({checkpoint})).graph, ir::ReadModel(Pruned()).graph);
  const StartingPoint qat = Start(Spec({checkpoint, "train.qat=true"}));
  EXPECT_TRUE(qat.qat);
  EXPECT_TRUE(passes::HasQdq(qat.graph));
  EXPECT_EQ(qat.graph.value(qat.graph.Find("block_4a_conv_1.weight")).constant.dim(0), 256);
  try {
    Start(Spec({checkpoint, "dataset.num_classes=4"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is pruned and has 3 classes; the spec asks for 4"));
  }
}

TEST_F(PruneCommand, TakesAnOnnxFile) {
  onnx::ExportOnnx(model_.graph, folder_ + "/trained.onnx", {});
  Prune(Spec({"prune.checkpoint=" + folder_ + "/trained.onnx"}));
  const StartingPoint start = Start(Spec({"train.checkpoint=" + Pruned()}));
  EXPECT_EQ(start.graph.value(start.graph.Find("block_4a_conv_1.weight")).constant.dim(0), 256);
}

TEST_F(PruneCommand, RefusesAQuantizedModel) {
  ir::Model quantized;
  quantized.graph = Start(Spec({"train.checkpoint=" + folder_ + "/trained.octet", "train.qat=true"})).graph;
  ir::WriteModel(folder_ + "/qat.octet", quantized);
  try {
    Prune(Spec({"prune.checkpoint=" + folder_ + "/qat.octet"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is quantized: prune the float network"));
  }
  EXPECT_THAT(ReadFile(folder_ + "/prune/status.json"), HasSubstr("FAILURE"));
}

}  // namespace
}  // namespace octet::task::classification
