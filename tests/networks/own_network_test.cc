// model.backbone byom: files as exporters write them become trainable classifiers, whatever their head looks like, and
// say clearly when they cannot.
#include "task/classification/own_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "exporter_graph.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "passes/prune.h"
#include "walk.h"

namespace octet::task::classification {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class OwnNetwork : public testing::Test {
 protected:
  void SetUp() override {
    ops::InstallOps();
    folder_ = testing::TempDir() + "octet_own_network_" + std::to_string(::getpid());
    MakeDirectories(folder_);
    path_ = folder_ + "/model.onnx";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  ir::Graph Import(const ExporterGraph& g, const OwnNetworkOptions& options = {}) const {
    WriteFileAtomic(path_, g.Bytes());
    return ImportOwnNetwork(path_, options);
  }
  std::string ErrorOf(const ExporterGraph& g, const OwnNetworkOptions& options = {}) const {
    try {
      Import(g, options);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      EXPECT_THAT(e.what(), HasSubstr("'" + path_ + "'"));
      return e.what();
    }
    return "no error";
  }
  static int Count(const ir::Graph& g, const std::string& op) {
    int count = 0;
    for (const ir::NodeId id : g.Order()) count += g.node(id).op == op ? 1 : 0;
    return count;
  }
  static Tensor Image(const ir::Graph& g) {
    Shape shape = g.value(g.inputs()[0]).type.shape;
    shape[0] = 2;
    Tensor x(DType::kF32, shape);
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 1);
    for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = normal(random);
    return x;
  }
  static void ExpectNear(const Tensor& a, const Tensor& b) {
    ASSERT_EQ(a.size(), b.size());
    for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 1e-5f) << i;
  }

  std::string folder_, path_;
};

// A head of the given nodes on a small body; the last node makes "out".
ExporterGraph WithHead(const std::function<void(ExporterGraph&, const std::string& features)>& head) {
  ExporterGraph g;
  g.model.inputs = {ExporterGraph::Typed("image", {-1, 3, 16, 16})};
  std::string x = g.Conv("conv", "image", 3, 8, 3, {{"strides", std::vector<int64_t>{2, 2}}}, true);
  head(g, g.Node("Relu", {x}, "relu"));
  onnx::RawValue out;
  out.name = "out";
  g.model.outputs = {out};
  return g;
}

TEST_F(OwnNetwork, PatternsOfExportersBecomeLayers) {
  ExporterGraph exported = ExporterGraph::Typical();
  const ir::Graph g = Import(exported);
  // The same numbers as the file read word by word (which keeps out of training mode).
  for (onnx::RawNode& node : exported.model.nodes) {
    if (node.op == "Dropout") node.inputs.resize(1);
  }
  const ir::Graph plain = onnx::ImportOnnxBytes(exported.Bytes(), "m.onnx");
  const Tensor x = Image(plain);
  ExpectNear(ir::RunReference(g, {{"image", x}}, {passes::LogitsOf(g)})[0], ir::RunReference(plain, {{"image", x}})[0]);

  EXPECT_EQ(Count(g, "HardSwish"), 1);
  EXPECT_EQ(Count(g, "Pad"), 0);
  EXPECT_EQ(Count(g, "ReduceMean"), 0);
  EXPECT_EQ(Count(g, "GlobalAveragePool"), 2);
  EXPECT_EQ(Count(g, "Gemm"), 1);
  EXPECT_EQ(Count(g, "MatMul"), 0);
  EXPECT_EQ(Count(g, "Dropout"), 1);
  EXPECT_EQ(Count(g, "Softmax"), 1);
  EXPECT_EQ(g.metadata().at("backbone"), "byom");
  // Every batch norm has parameters of its own.
  std::set<ir::ValueId> parameters;
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (node.op != "BatchNormalization") continue;
    for (size_t i = 1; i < 5; ++i) EXPECT_TRUE(parameters.insert(node.input(i)).second) << node.name;
  }
  EXPECT_EQ(parameters.size(), 16U);
  EXPECT_NE(g.Find("left_bn.weight"), ir::kNoValue);  // the name that the exporter meant
}

TEST_F(OwnNetwork, WalksThroughEverything) {
  OwnNetworkOptions options;
  options.num_classes = 4;
  WalkOptions walk;
  walk.folder = folder_;
  walk.write_files = false;
  const WalkResult result = WalkNetwork(Import(ExporterGraph::Typical(), options), walk);
  EXPECT_GT(result.trained, 15);
  EXPECT_GT(result.codes, 10000);
}

TEST_F(OwnNetwork, Prunes) {
  const ir::Graph g = Import(ExporterGraph::Typical());
  passes::PruneOptions options;
  options.threshold = 0.95;
  options.granularity = 1;
  options.min_num_filters = 2;
  const ir::Graph pruned = passes::ApplyPruning(g, passes::AnalyzePruning(g, options));
  ir::Verify(pruned);
  EXPECT_LT(pruned.value(pruned.Find("reduce.weight")).constant.dim(0), 8);
  EXPECT_EQ(pruned.value(passes::LogitsOf(pruned)).type.shape.at(1), 10);
}

TEST_F(OwnNetwork, AnotherNumberOfClassesGetsANewHead) {
  OwnNetworkOptions options;
  options.num_classes = 10;
  const ir::Graph same = Import(ExporterGraph::Typical(), options);
  options.num_classes = 3;
  const ir::Graph other = Import(ExporterGraph::Typical(), options);
  EXPECT_EQ(other.value(other.outputs()[0]).type.shape, (Shape{ir::kDynamic, 3}));
  EXPECT_EQ(other.value(other.Find("classifier")).constant.shape(), (Shape{32, 3}));
  EXPECT_EQ(other.value(other.Find("body.weight")).constant, same.value(same.Find("body.weight")).constant);
  options.retain_head = true;
  EXPECT_THAT(ErrorOf(ExporterGraph::Typical(), options),
              AllOf(HasSubstr("has 10 classes and dataset.num_classes is 3"), HasSubstr("model.retain_head")));
}

TEST_F(OwnNetwork, HeadsOfEveryKind) {
  const std::map<std::string, ExporterGraph> graphs = {
      {"conv 1x1, relu, pool (SqueezeNet)", WithHead([](ExporterGraph& g, const std::string& x) {
         const std::string y = g.Node("Relu", {g.Conv("head", x, 8, 6, 1, {}, true)}, "head_relu");
         g.Node("Flatten", {g.Node("GlobalAveragePool", {y}, "pool")}, "out");
       })},
      {"pool, conv 1x1, softmax over [N,K,1,1], squeeze", WithHead([](ExporterGraph& g, const std::string& x) {
         const std::string y = g.Conv("head", g.Node("GlobalAveragePool", {x}, "pool"), 8, 6, 1, {});
         const std::string s = g.Node("Softmax", {y}, "soft", {{"axis", int64_t{1}}});
         g.Node("Squeeze", {s, g.Ints("axes", {2, 3})}, "out");
       })},
      {"gemm, log softmax", WithHead([](ExporterGraph& g, const std::string& x) {
         const std::string y = g.Node("Flatten", {g.Node("GlobalAveragePool", {x}, "pool")}, "flat");
         const std::string s =
             g.Node("Gemm", {y, g.Weight("w", {6, 8}, 1), g.Weight("b", {6}, 1)}, "scores", {{"transB", int64_t{1}}});
         g.Node("LogSoftmax", {s}, "out", {{"axis", int64_t{-1}}});
       })},
      {"conv 1x1 with a reshape to its classes", WithHead([](ExporterGraph& g, const std::string& x) {
         const std::string y = g.Conv("head", g.Node("GlobalAveragePool", {x}, "pool"), 8, 6, 1, {});
         g.Node("Reshape", {y, g.Ints("shape", {-1, 6})}, "out");
       })}};
  for (const auto& [name, graph] : graphs) {
    OwnNetworkOptions options;
    const ir::Graph six = Import(graph);
    EXPECT_EQ(six.value(six.outputs()[0]).type.shape, (Shape{ir::kDynamic, 6})) << name;
    const std::vector<float> p = ir::RunReference(six, {{"image", Image(six)}})[0].ToVector<float>();
    EXPECT_NEAR(p[0] + p[1] + p[2] + p[3] + p[4] + p[5], 1.0f, 1e-5f) << name;
    options.num_classes = 4;
    const ir::Graph four = Import(graph, options);
    EXPECT_EQ(ir::RunReference(four, {{"image", Image(four)}})[0].shape(), (Shape{2, 4})) << name;
  }
}

TEST_F(OwnNetwork, InputsFromFileOrSpec) {
  ExporterGraph open = ExporterGraph::Typical();
  open.model.inputs = {ExporterGraph::Typed("image", {-1, 3, -1, -1})};
  EXPECT_THAT(ErrorOf(open),
              AllOf(HasSubstr("its input 'image' is f32[N,3,N,N]"), HasSubstr("set model.input_height")));
  OwnNetworkOptions options;
  options.height = 32;
  options.width = 40;
  const ir::Graph g = Import(open, options);
  EXPECT_EQ(g.value(g.inputs()[0]).type.shape, (Shape{ir::kDynamic, 3, 32, 40}));
  options.channels = 1;
  EXPECT_THAT(ErrorOf(open, options), HasSubstr("has 3 channels, the spec asks for 1 (model.input_channels)"));

  // [N,H,W,C] with a Transpose behind it
  ExporterGraph nhwc = ExporterGraph::Typical();
  nhwc.model.inputs = {ExporterGraph::Typed("tf", {1, 24, 24, 3})};
  nhwc.Node("Transpose", {"tf"}, "image", {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
  const ir::Graph turned = Import(nhwc);
  EXPECT_EQ(turned.value(turned.inputs()[0]).type.shape, (Shape{ir::kDynamic, 3, 24, 24}));
  EXPECT_EQ(Count(turned, "Transpose"), 1);  // the shuffle's
  const ir::Graph plain = Import(ExporterGraph::Typical());
  const Tensor x = Image(plain);
  ExpectNear(ir::RunReference(turned, {{"tf", x}})[0], ir::RunReference(plain, {{"image", x}})[0]);
}

TEST_F(OwnNetwork, ErrorsSayWhatToDo) {
  EXPECT_THAT(ErrorOf(WithHead([](ExporterGraph& g, const std::string& x) { g.Node("Abs", {x}, "out"); })),
              AllOf(HasSubstr("output 'out' is f32[N,8,7,7]"), HasSubstr("classifiers only")));
  EXPECT_THAT(ErrorOf(WithHead([](ExporterGraph& g, const std::string& x) {
                g.Node("Sigmoid", {g.Node("Flatten", {g.Node("GlobalAveragePool", {x}, "p")}, "f")}, "out");
              })),
              HasSubstr("ends in Sigmoid"));
  const ExporterGraph sum = WithHead([](ExporterGraph& g, const std::string& x) {
    const std::string f = g.Node("Flatten", {g.Node("GlobalAveragePool", {x}, "p")}, "f");
    const std::string a = g.Node("Gemm", {f, g.Weight("wa", {8, 5}, 1)}, "a");
    g.Node("Add", {a, g.Node("Gemm", {f, g.Weight("wb", {8, 5}, 1)}, "b")}, "out");
  });
  EXPECT_EQ(ErrorOf(sum), "no error");  // five classes it has
  OwnNetworkOptions options;
  options.num_classes = 3;
  EXPECT_THAT(ErrorOf(sum, options), AllOf(HasSubstr("its head cannot be replaced"), HasSubstr("(Add)")));
  WriteFileAtomic(path_, onnx::ExportOnnxBytes(
                             passes::PrepareForExport(passes::PrepareForQat(Import(ExporterGraph::Typical()))), "q"));
  try {
    ImportOwnNetwork(path_, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr(path_), HasSubstr("quantized already")));
  }
  const auto spec = [](const std::string& model) {
    return spec::ParseSpec("classification", "model: {backbone: byom, byom_model: " + model + "}\n", "spec.yaml");
  };
  try {
    OwnNetworkFile(spec("net.tltb"), "");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("spec.yaml:1"), HasSubstr("TAO's encrypted form"), HasSubstr(".onnx")));
  }
  EXPECT_EQ(OwnNetworkFile(spec("net.onnx"), "weights.safetensors"), "net.onnx");
  EXPECT_EQ(OwnNetworkFile(spec("net.onnx"), "trained.octet"), "trained.octet");
  EXPECT_EQ(OwnNetworkFile(spec("\"\""), "net.onnx"), "net.onnx");
  EXPECT_EQ(OwnNetworkFile(spec("\"\""), "weights.safetensors"), "");
}

}  // namespace
}  // namespace octet::task::classification
