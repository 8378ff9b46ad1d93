#include "onnx/onnx_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "onnx/onnx_import.h"
#include "onnx/raw_model.h"
#include "ops/install.h"

namespace octet::onnx {
namespace {

using ::testing::HasSubstr;

ir::Graph Parse(const std::string& text) {
  ops::InstallOps();
  ir::Graph graph = ir::Parse(text, {}, true);
  ir::InferTypes(graph);
  ir::Verify(graph);
  return graph;
}

RawModel Raw(const ir::Graph& graph, const ExportOptions& options = {}) {
  return ParseRawModel(ExportOnnxBytes(graph, "out.onnx", options), "out.onnx");
}

const RawNode& NodeOf(const RawModel& model, const std::string& output) {
  for (const RawNode& node : model.nodes) {
    if (node.outputs[0] == output) return node;
  }
  ADD_FAILURE() << output;
  return model.nodes[0];
}

const Tensor& InitializerOf(const RawModel& model, const std::string& name) {
  for (const auto& [key, tensor] : model.initializers) {
    if (key == name) return tensor;
  }
  ADD_FAILURE() << name;
  return model.initializers[0].second;
}

// A quantized convolution with residual, in the project's naming.
const char kQuantized[] = R"(graph "small" {
  meta "recipe" = "fused"
  input %input_1: f32[N,3,8,8]
  const %input_1.scale: f32[] = [0.02]
  const %input_1.zero_point: s8[] = [0]
  const %conv1.weight: f32[4,3,3,3] = blob
  const %conv1.weight.scale: f32[4] = [0.1,0.2,0.3,0.4]
  const %conv1.weight.zero_point: s8[4] = [0,0,0,0]
  const %conv1.bias: f32[4] = [1,2,3,4]
  const %relu1.min: f32[] = [0.0]
  const %relu1.max: f32[] = [6.0]
  %input_1.q: s8[N,3,8,8] = QuantizeLinear(%input_1, %input_1.scale, %input_1.zero_point) {observer="moving_average"} "input_1.q"
  %input_1.dq: f32[N,3,8,8] = DequantizeLinear(%input_1.q, %input_1.scale, %input_1.zero_point) "input_1.dq"
  %conv1.weight.q: s8[4,3,3,3] = QuantizeLinear(%conv1.weight, %conv1.weight.scale, %conv1.weight.zero_point) {axis=0, observer="max_abs"} "conv1.weight.q"
  %conv1.weight.dq: f32[4,3,3,3] = DequantizeLinear(%conv1.weight.q, %conv1.weight.scale, %conv1.weight.zero_point) {axis=0} "conv1.weight.dq"
  %conv1: f32[N,4,8,8] = Conv(%input_1.dq, %conv1.weight.dq, %conv1.bias) {pads=[1,1,1,1]} "conv1"
  %relu1: f32[N,4,8,8] = Clip(%conv1, %relu1.min, %relu1.max) "relu1"
  %pool: f32[N,4,1,1] = GlobalAveragePool(%relu1) "pool"
  %logits: f32[N,4] = Flatten(%pool) {axis=1} "logits"
  %predictions: f32[N,4] = Softmax(%logits) {axis=1} "predictions"
  output %predictions
}
)";

TEST(Export, RoundTrip) {
  const ir::Graph graph = Parse(kQuantized);
  ir::Graph expected = graph;
  for (const ir::NodeId id : expected.Order()) expected.mutable_node(id).attrs.erase("observer");
  const ir::Graph back = ImportOnnxBytes(ExportOnnxBytes(graph, "x"), "x");
  EXPECT_EQ(ir::Print(back), ir::Print(expected));
  EXPECT_TRUE(back == expected);
}

TEST(Export, QuantizationAsTensorRtWantsIt) {
  const RawModel model = Raw(Parse(kQuantized));
  EXPECT_EQ(model.opset, 13);
  EXPECT_EQ(model.ir_version, 8);
  EXPECT_EQ(model.inputs[0].dim_names, (std::vector<std::string>{"N", "", "", ""}));
  EXPECT_EQ(model.outputs[0].dim_names, (std::vector<std::string>{"N", ""}));
  EXPECT_EQ(NodeOf(model, "input_1.q").attrs.size(), 0u);
  EXPECT_EQ(std::get<int64_t>(NodeOf(model, "conv1.weight.q").attrs.at("axis")), 0);
  EXPECT_EQ(NodeOf(model, "conv1.weight.q").attrs.count("observer"), 0u);
  EXPECT_EQ(InitializerOf(model, "conv1.weight.zero_point"), Tensor(DType::kS8, {4}));
}

TEST(Export, MissingZeroPointsAndAxes) {
  const RawModel model = Raw(Parse(R"(graph "g" {
  input %x: f32[2,3]
  const %s: f32[3] = [0.1,0.2,0.3]
  const %z: s8[3] = [0,0,0]
  %q: s8[2,3] = QuantizeLinear(%x, %s, %z) "q"
  %y: f32[2,3] = DequantizeLinear(%q, %s, _) "y"
  output %y
}
)"));
  EXPECT_EQ(std::get<int64_t>(NodeOf(model, "q").attrs.at("axis")), 1);
  EXPECT_EQ(std::get<int64_t>(NodeOf(model, "y").attrs.at("axis")), 1);
  EXPECT_EQ(InitializerOf(model, NodeOf(model, "y").inputs[2]), Tensor(DType::kS8, {3}));
}

TEST(Export, NamesAreCleanAndUnique) {
  ops::InstallOps();
  ir::Graph graph("g");
  const ir::ValueId x = graph.AddInput("x:0", {DType::kF32, {1}});
  const ir::ValueId a = graph.node(graph.AddNode("Relu", "n:1", {x}, {"x_0"})).output();
  const ir::ValueId b = graph.node(graph.AddNode("Relu", "n_1", {a}, {" b\n"})).output();
  const ir::ValueId c = graph.node(graph.AddNode("Relu", "c", {b}, {"caf\xc3\xa9"})).output();
  graph.MarkOutput(c);
  ir::InferTypes(graph);
  const auto names = ExportNames(graph);
  EXPECT_EQ(names.at("x:0"), "x_0_1");  // x_0 needs no change, so it keeps its name
  EXPECT_EQ(names.at("x_0"), "x_0");
  EXPECT_EQ(names.at(" b\n"), "_b_");
  EXPECT_EQ(names.at("caf\xc3\xa9"), "caf__");
  const RawModel model = Raw(graph);
  EXPECT_EQ(model.inputs[0].name, "x_0_1");
  EXPECT_EQ(model.nodes[0].name, "n_1");
  EXPECT_EQ(model.nodes[1].name, "n_1_1");
}

TEST(Export, NewerOpsets) {
  const ir::Graph graph = Parse(R"(graph "g" {
  input %x: f32[N,4,2,2]
  %m: f32[N,4] = ReduceMean(%x) {axes=[2,3], keepdims=0} "m"
  %a: f32[N,2], %b: f32[N,2] = Split(%m) {axis=1} "split"
  %y: f32[N,2] = HardSwish(%a) "y"
  %z: f32[N,2] = Swish(%b) "z"
  output %y
  output %z
}
)");
  const RawModel m14 = Raw(graph);
  EXPECT_EQ(m14.opset, 14);  // HardSwish
  EXPECT_EQ(NodeOf(m14, "m").attrs.count("axes"), 1u);
  EXPECT_EQ(NodeOf(m14, "z").op, "Mul");
  const RawModel m18 = Raw(graph, {18, "octet", "1"});
  EXPECT_EQ(NodeOf(m18, "m").attrs.count("axes"), 0u);
  EXPECT_EQ(InitializerOf(m18, NodeOf(m18, "m").inputs.at(1)), Tensor::From<int64_t>({2}, {2, 3}));
  EXPECT_EQ(std::get<int64_t>(NodeOf(m18, "a").attrs.at("num_outputs")), 2);
  EXPECT_EQ(Raw(graph, {21, "octet", "1"}).ir_version, 10);
  EXPECT_THROW(Raw(graph, {12, "octet", "1"}), Error);
  for (const int opset : {13, 18, 21}) {
    const ir::Graph back = ImportOnnxBytes(ExportOnnxBytes(graph, "x", {opset, "octet", "1"}), "x");
    const Tensor x = Tensor::From<float>({1, 4, 2, 2}, {1, 2, 3, 4, -5, 6, 7, -8, 9, 0, 1, 2, -3, -4, -5, -6});
    EXPECT_EQ(ir::RunReference(back, {{"x", x}}), ir::RunReference(graph, {{"x", x}})) << opset;
  }
}

TEST(Export, OnlyTheBatchIsCalledN) {
  const RawModel model = Raw(Parse(R"(graph "g" {
  input %x: f32[N,4,2]
  const %shape: s64[2] = [-1,2]
  %r: f32[N,2] = Reshape(%x, %shape) "r"
  %y: f32[N,2] = Relu(%r) "y"
  output %y
}
)"));
  EXPECT_EQ(model.outputs[0].dim_names, (std::vector<std::string>{"", ""}));  // 4 N
}

TEST(Export, LoweredGraphsAreABug) {
  ops::InstallOps();
  ir::Graph graph("g");
  const ir::ValueId x = graph.AddInput("x", {DType::kF32, {1}});
  graph.MarkOutput(graph.node(graph.AddNode("QQuantize", "q", {x}, {"q"}, {{"scale", 1.0f}})).output());
  try {
    ExportOnnxBytes(graph, "x");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInternal);
    EXPECT_THAT(e.what(), HasSubstr("QQuantize"));
  }
}

TEST(Export, FailedWritesKeepTheOldFile) {
  const std::string dir = ::testing::TempDir() + "octet_export_" + std::to_string(::getpid());
  const std::string path = dir + "/a.onnx";
  const ir::Graph graph = Parse(kQuantized);
  ExportOnnx(graph, path);
  const std::string before = ReadFile(path);
  EXPECT_THROW(ExportOnnx(graph, path, {99, "octet", "1"}), Error);
  EXPECT_EQ(ReadFile(path), before);
  EXPECT_THROW(ExportOnnx(graph, path + "/b.onnx"), Error);
  EXPECT_EQ(ReadFile(path), before);
}

// ONNX's checker and ONNX Runtime on such files: tests/witness, when the Python environment is there.
TEST(Export, CheckerAcceptsIt) {
  const char* env = std::getenv("OCTET_PYTHON");
  const std::string python = env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
  if (!FileExists(python)) GTEST_SKIP() << "no .venv; run scripts/make_venv.sh";
  const std::string dir = ::testing::TempDir() + "octet_checker_" + std::to_string(::getpid());
  const ir::Graph graph = Parse(kQuantized);
  std::string files;
  for (const int opset : {13, 17, 19, 21}) {
    const std::string path = fmt::format("{}/q{}.onnx", dir, opset);
    ExportOnnx(graph, path, {opset, "octet", "0.1.0"});
    files += " " + path;
  }
  EXPECT_EQ(std::system((python + " " OCTET_SOURCE_DIR "/tests/witness/check_onnx.py" + files).c_str()), 0);
}

}  // namespace
}  // namespace octet::onnx
