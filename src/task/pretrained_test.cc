// Pretrained weights by name, from safetensors with torchvision's and timm's names and from .onnx.
#include "task/pretrained.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "ops/install.h"
#include "passes/classifier_head.h"
#include "report/npy.h"
#include "train/graph_module.h"
#include "zoo/names_elsewhere.h"
#include "zoo/zoo.h"

namespace octet::task {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

ir::Graph Network(const std::string& backbone, uint64_t seed, int64_t classes = 4) {
  ops::InstallOps();
  zoo::NetworkOptions o;
  o.backbone = backbone;
  o.num_classes = classes;
  o.input_height = o.input_width = 32;
  o.seed = seed;
  return zoo::BuildNetwork(o);
}

void WriteSafetensors(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  std::string header = "{\"__metadata__\": {\"format\": \"pt\"}", data;
  for (const auto& [name, t] : tensors) {
    std::string shape;
    for (const int64_t d : t.shape()) shape += (shape.empty() ? "" : ",") + std::to_string(d);
    header += fmt::format(", \"{}\": {{\"dtype\": \"F32\", \"shape\": [{}], \"data_offsets\": [{}, {}]}}", name, shape,
                          data.size(), data.size() + t.bytes());
    data.append(static_cast<const char*>(t.raw()), t.bytes());
  }
  header += "}";
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  WriteFileAtomic(path, length + header + data);
}

// Constants of convolutions, batch norms and the dense layer.
std::vector<ir::ValueId> Weights(const ir::Graph& g) {
  std::vector<ir::ValueId> found;
  for (const ir::ValueId id : g.constants()) {
    if (g.value(id).constant.rank() > 0 && g.value(id).constant.dtype() == DType::kF32) found.push_back(id);
  }
  return found;
}

class Pretrained : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "octet_pretrained_" + std::to_string(::getpid());
    MakeDirectories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST(NamesElsewhere, TorchvisionAndTimm) {
  const auto names = zoo::NamesElsewhere;
  EXPECT_THAT(names("resnet_50", "bn_conv1.var"), ElementsAre("bn_conv1.var", "bn1.running_var"));
  EXPECT_THAT(names("resnet_50", "block_3c_conv_2.weight"),
              ElementsAre("block_3c_conv_2.weight", "layer3.2.conv2.weight"));
  EXPECT_THAT(names("resnet_18", "block_2a_bn_shortcut.scale"), testing::Contains("layer2.0.downsample.1.weight"));
  EXPECT_THAT(names("resnet_152", "block_3aj_bn_1.mean"), testing::Contains("layer3.35.bn1.running_mean"));
  EXPECT_THAT(names("resnet_18", "predictions_dense.bias"), testing::Contains("fc.bias"));
  EXPECT_THAT(names("mobilenet_v2", "block_0_project_bn.bias"),
              ElementsAre("block_0_project_bn.bias", "features.1.conv.2.bias", "blocks.0.0.bn2.bias"));
  EXPECT_THAT(names("mobilenet_v2", "block_16_depthwise.weight"),
              ElementsAre("block_16_depthwise.weight", "features.17.conv.1.0.weight", "blocks.6.0.conv_dw.weight"));
  EXPECT_THAT(names("efficientnet-b0", "block1a_se_reduce.bias"),
              ElementsAre("block1a_se_reduce.bias", "features.1.0.block.1.fc1.bias", "blocks.0.0.se.conv_reduce.bias"));
  EXPECT_THAT(
      names("efficientnet-b3", "block5d_project_bn.var"),
      ElementsAre("block5d_project_bn.var", "features.5.3.block.3.1.running_var", "blocks.4.3.bn3.running_var"));
  EXPECT_THAT(names("googlenet", "conv1.weight"), ElementsAre("conv1.weight"));
}

TEST_F(Pretrained, OtherNamesOfTheSameWeights) {
  for (const char* backbone : {"resnet_50", "mobilenet_v2", "efficientnet-b0"}) {
    const ir::Graph source = Network(backbone, 1);
    for (const size_t toolkit : {1, 2}) {
      std::map<std::string, Tensor> tensors;
      for (const ir::ValueId id : Weights(source)) {
        const std::vector<std::string> names = zoo::NamesElsewhere(backbone, source.value(id).name);
        ASSERT_GT(names.size(), 1U) << source.value(id).name;
        const std::string name = "module." + names[std::min(toolkit, names.size() - 1)];
        ASSERT_TRUE(tensors.emplace(name, source.value(id).constant).second) << name << " stands for two tensors";
      }
      WriteSafetensors(File("w.safetensors"), tensors);
      ir::Graph target = Network(backbone, 2);
      const LoadedWeights loaded = LoadWeights(target, File("w.safetensors"));
      EXPECT_EQ(loaded.loaded, static_cast<int64_t>(tensors.size()));
      EXPECT_TRUE(loaded.missing.empty() && loaded.other_shape.empty());
      EXPECT_EQ(target, source) << backbone;
    }
  }
}

TEST_F(Pretrained, AnotherHeadStaysNew) {
  const ir::Graph source = Network("mobilenet_v2", 1, 10);
  onnx::ExportOnnx(source, File("w.onnx"));  // batch norms kept, octet's own names
  ir::Graph target = Network("mobilenet_v2", 2, 4);
  const Tensor head = target.value(target.Find("predictions_dense.weight")).constant;
  const LoadedWeights loaded = LoadWeights(target, File("w.onnx"));
  EXPECT_THAT(loaded.other_shape, ElementsAre("predictions_dense.weight", "predictions_dense.bias"));
  EXPECT_TRUE(loaded.missing.empty());
  EXPECT_EQ(target.value(target.Find("predictions_dense.weight")).constant, head);
  EXPECT_EQ(target.value(target.Find("conv1.weight")).constant, source.value(source.Find("conv1.weight")).constant);
}

// torchvision's ResNet-18 has no projection in its first block: what it computes is kept.
TEST_F(Pretrained, MissingFirstProjectionIsTheIdentity) {
  const ir::Graph source = Network("resnet_18", 1);
  std::map<std::string, Tensor> tensors;
  for (const ir::ValueId id : Weights(source)) {
    const std::string name = zoo::NamesElsewhere("resnet_18", source.value(id).name).back();
    if (name.find("layer1.0.downsample") == std::string::npos) tensors.emplace(name, source.value(id).constant);
  }
  WriteSafetensors(File("w.safetensors"), tensors);
  ir::Graph target = Network("resnet_18", 2);
  EXPECT_TRUE(LoadWeights(target, File("w.safetensors")).missing.empty());
  const Tensor x = [] {
    Tensor t(DType::kF32, {1, 3, 32, 32});
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = static_cast<float>(i % 23) / 11.0f - 1;
    return t;
  }();
  const auto values =
      ir::RunReference(target, {{"input_1", x}}, {target.Find("pool1"), target.Find("block_1a_bn_shortcut")});
  for (int64_t i = 0; i < values[0].size(); ++i) {
    ASSERT_NEAR(values[0].data<float>()[i], values[1].data<float>()[i],
                1e-6f * (1 + std::abs(values[0].data<float>()[i])));
  }
}

// OCTET_WITNESS_WEIGHTS=folder of tests/witness/export_torchvision.py --weights: the networks that are the same
// function there and here compute the same scores; the others load all their tensors.
TEST(Witness, TorchvisionWeights) {
  const char* folder = std::getenv("OCTET_WITNESS_WEIGHTS");
  if (folder == nullptr) GTEST_SKIP() << "no weights given";
  struct Case {
    const char* file;
    const char* backbone;
    bool same_function;
  };
  for (const Case& c :
       {Case{"resnet18", "resnet_18", true}, Case{"resnet34", "resnet_34", true}, Case{"resnet50", "resnet_50", false},
        Case{"mobilenet_v2", "mobilenet_v2", true}, Case{"efficientnet_b0", "efficientnet-b0", false},
        Case{"efficientnet_b3", "efficientnet-b3", false}, Case{"timm_resnet34", "resnet_34", true},
        Case{"timm_mobilenetv2_100", "mobilenet_v2", true}, Case{"timm_tf_efficientnet_b0", "efficientnet-b0", true},
        Case{"timm_tf_efficientnet_lite0", "efficientnet-lite0", true}}) {
    const std::string stem = std::string(folder) + "/" + c.file;
    if (!FileExists(stem + ".safetensors")) continue;
    ops::InstallOps();
    zoo::NetworkOptions o;
    o.backbone = c.backbone;
    o.num_classes = 10;
    o.input_height = o.input_width = 64;
    if (std::string(c.file).find("_tf_") != std::string::npos) o.bn_epsilon = 1e-3f;
    ir::Graph g = zoo::BuildNetwork(o);
    const LoadedWeights loaded = LoadWeights(g, stem + ".safetensors");
    EXPECT_TRUE(loaded.missing.empty() && loaded.other_shape.empty()) << c.file;
    if (!c.same_function) continue;
    const Tensor x = report::ReadNpy(stem + ".x.npy"), y = report::ReadNpy(stem + ".y.npy");
    const Tensor got = train::GraphModule(g).Evaluate({{"input_1", x}}, {"logits"}).at(0);
    float largest = 0, difference = 0;
    for (int64_t i = 0; i < y.size(); ++i) {
      largest = std::max(largest, std::abs(y.data<float>()[i]));
      difference = std::max(difference, std::abs(y.data<float>()[i] - got.data<float>()[i]));
    }
    std::printf("%s: largest difference %.1e of the largest score\n", c.file, difference / largest);
    EXPECT_LT(difference, 1e-4f * largest) << c.file;
  }
}

TEST_F(Pretrained, ErrorsSayWhatToDo) {
  const auto error = [&](const std::string& path) -> std::string {
    ir::Graph g = Network("resnet_10", 1);
    try {
      LoadWeights(g, path);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser);
      return e.what();
    }
    return "no error";
  };
  WriteSafetensors(File("other.safetensors"), {{"encoder.0", Tensor::From<float>({1}, {1})}});
  EXPECT_THAT(error(File("other.safetensors")),
              AllOf(HasSubstr("no weight that this network has"), HasSubstr("encoder.0")));
  WriteFileAtomic(File("w.pth"), "PK");
  EXPECT_THAT(error(File("w.pth")), AllOf(HasSubstr("no .octet model, .onnx or .safetensors"), HasSubstr("save_file")));
  EXPECT_THAT(error(File("absent.safetensors")), HasSubstr("absent.safetensors"));
}

}  // namespace
}  // namespace octet::task
