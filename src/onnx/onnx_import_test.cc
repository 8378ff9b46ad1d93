// Forms of old and new opsets, shape arithmetic, and every message for a broken file. Files are made by
// SerializeRawModel.
#include "onnx/onnx_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "onnx/raw_model.h"
#include "ops/install.h"

namespace octet::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

RawValue Value(const std::string& name, Shape shape, std::vector<std::string> dims = {}, DType dtype = DType::kF32) {
  RawValue value;
  value.name = name;
  value.typed = true;
  value.type = {dtype, std::move(shape)};
  value.dim_names = std::move(dims);
  return value;
}

RawNode Node(const std::string& op, std::vector<std::string> inputs, std::vector<std::string> outputs,
             ir::Attrs attrs = {}) {
  RawNode node;
  node.op = op;
  node.name = "";
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  node.attrs = std::move(attrs);
  return node;
}

class Import : public ::testing::Test {
 protected:
  Import() {
    ops::InstallOps();
    model.ir_version = 8;
    model.opset = 13;
    model.graph_name = "g";
  }
  std::string Bytes() const { return SerializeRawModel(model, {}, "test", "1"); }
  ir::Graph Graph(const ImportOptions& options = {}) const { return ImportOnnxBytes(Bytes(), "m.onnx", options); }
  std::string ErrorText(const ImportOptions& options = {}) const {
    try {
      Graph(options);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      return e.what();
    }
    return "no error";
  }
  void Ints(const std::string& name, std::vector<int64_t> values) {
    const auto n = static_cast<int64_t>(values.size());
    model.initializers.emplace_back(name, Tensor::From<int64_t>({n}, values));
  }
  // The value's text line without the "%name: " in front.
  static std::string Line(const ir::Graph& graph, const std::string& name) {
    const std::string text = ir::Print(graph);
    const size_t at = text.find("%" + name + ": ");
    EXPECT_NE(at, std::string::npos) << text;
    const size_t from = at + name.size() + 3;
    return text.substr(from, text.find('\n', from) - from);
  }

  RawModel model;
};

// x.view(x.size(0), -1) as exporters write it.
TEST_F(Import, ShapeArithmeticWithDynamicBatch) {
  model.inputs = {Value("x", {-1, 8, 4, 4}, {"batch", "", "", ""})};
  model.outputs = {Value("y", {-1, -1})};
  model.nodes = {Node("Shape", {"x"}, {"s"}),
                 Node("Constant", {}, {"zero"}, {{"value", Tensor::Scalar<int64_t>(0)}}),
                 Node("Gather", {"s", "zero"}, {"n"}, {{"axis", int64_t{0}}}),
                 Node("Constant", {}, {"axes"}, {{"value", Tensor::From<int64_t>({1}, {0})}}),
                 Node("Unsqueeze", {"n", "axes"}, {"n1"}),
                 Node("Constant", {}, {"rest"}, {{"value", Tensor::From<int64_t>({1}, {-1})}}),
                 Node("Concat", {"n1", "rest"}, {"shape"}, {{"axis", int64_t{0}}}),
                 Node("Reshape", {"x", "shape"}, {"y"})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.node_count(), 1u);
  EXPECT_EQ(graph.value(graph.Find("y")).type.shape, (Shape{-1, 128}));
  const ir::Node& node = *graph.producer(graph.Find("y"));
  EXPECT_EQ(graph.value(node.inputs[1]).constant.ToVector<int64_t>(), (std::vector<int64_t>{0, 128}));
  const Tensor x(DType::kF32, {3, 8, 4, 4});
  EXPECT_EQ(ir::RunReference(graph, {{"x", x}})[0].shape(), (Shape{3, 128}));
}

// The batch may move to another place and be multiplied: [N,8,4,4] -> [N*16, 8].
TEST_F(Import, ReshapeThatMixesTheBatch) {
  model.inputs = {Value("x", {-1, 16, 8})};
  model.outputs = {Value("y", {-1, 8})};
  Ints("zero", {0});
  Ints("sixteen", {16});
  Ints("eight", {8});
  model.nodes = {
      Node("Shape", {"x"}, {"s"}), Node("Gather", {"s", "zero"}, {"n"}), Node("Mul", {"n", "sixteen"}, {"rows"}),
      Node("Concat", {"rows", "eight"}, {"shape"}, {{"axis", int64_t{0}}}), Node("Reshape", {"x", "shape"}, {"y"})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(ir::RunReference(graph, {{"x", Tensor(DType::kF32, {2, 16, 8})}})[0].shape(), (Shape{32, 8}));
}

// Upsampling to the size of another feature map, as detection necks do.
TEST_F(Import, ResizeToSizesOfAnotherTensor) {
  model.inputs = {Value("x", {-1, 3, 5, 5}), Value("like", {-1, 7, 10, 15})};
  model.outputs = {Value("y", {-1, 3, 10, 15})};
  Ints("two", {2});
  Ints("four", {4});
  Ints("zero", {0});
  model.nodes = {Node("Shape", {"like"}, {"s"}),
                 Node("Slice", {"s", "two", "four"}, {"hw"}),
                 Node("Shape", {"x"}, {"sx"}),
                 Node("Slice", {"sx", "zero", "two"}, {"nc"}),
                 Node("Concat", {"nc", "hw"}, {"sizes"}, {{"axis", int64_t{0}}}),
                 Node("Resize", {"x", "", "", "sizes"}, {"y"}, {{"mode", std::string("nearest")}})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.node_count(), 1u);
  const auto y = ir::RunReference(
      graph, {{"x", Tensor(DType::kF32, {2, 3, 5, 5})}, {"like", Tensor(DType::kF32, {2, 7, 10, 15})}});
  EXPECT_EQ(y[0].shape(), (Shape{2, 3, 10, 15}));
}

TEST_F(Import, WorkThatDependsOnTheBatchIsAnError) {
  model.inputs = {Value("x", {-1, 3})};
  model.outputs = {Value("y", {-1, 3})};
  model.nodes = {Node("Shape", {"x"}, {"s"}), Node("ConstantOfShape", {"s"}, {"zeros"}),
                 Node("Add", {"x", "zeros"}, {"y"})};
  EXPECT_THAT(ErrorText(),
              AllOf(HasSubstr("'m.onnx': node 'y' (Add) depends on the batch size"), HasSubstr("x=[1,3]")));
  EXPECT_EQ(Graph({{{"x", {2, 3}}}, {}}).value(0).type.shape, (Shape{2, 3}));
}

TEST_F(Import, AttributesBecomeInputs) {
  model.opset = 9;
  model.inputs = {Value("x", {1, 4, 4, 4})};
  model.nodes = {
      Node("Clip", {"x"}, {"c"}, {{"min", 0.0f}, {"max", 6.0f}}),
      Node(
          "Pad", {"c"}, {"p"},
          {{"pads", std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1}}, {"mode", std::string("constant")}, {"value", 0.5f}}),
      Node("Slice", {"p"}, {"s"},
           {{"starts", std::vector<int64_t>{1}}, {"ends", std::vector<int64_t>{5}}, {"axes", std::vector<int64_t>{2}}}),
      Node("Upsample", {"s", "scales"}, {"u"}, {{"mode", std::string("nearest")}}),
      Node("ReduceMean", {"u"}, {"m"}, {{"axes", std::vector<int64_t>{2, 3}}, {"keepdims", int64_t{1}}}),
      Node("Squeeze", {"m"}, {"q"}, {{"axes", std::vector<int64_t>{2, 3}}}),
      Node("Dropout", {"q"}, {"d"}, {{"ratio", 0.5f}}),
      Node("Unsqueeze", {"d"}, {"y"}, {{"axes", std::vector<int64_t>{2}}})};
  model.initializers.emplace_back("scales", Tensor::From<float>({4}, {1, 1, 2, 2}));
  model.outputs = {Value("y", {1, 4, 1})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.value(graph.Find("y")).type.shape, (Shape{1, 4, 1}));
  EXPECT_EQ(Line(graph, "c"), "f32[1,4,4,4] = Clip(%x, %c.min, %c.max) \"c\"");
  EXPECT_EQ(graph.producer(graph.Find("u"))->op, "Resize");
  EXPECT_EQ(graph.Find("d"), ir::kNoValue);
  Tensor x(DType::kF32, {1, 4, 4, 4});
  x.mutable_data<float>()[0] = 9;  // clipped to 6; padded rows of 0.5 are cut off at the top and kept left and right
  const std::vector<float> y = ir::RunReference(graph, {{"x", x}})[0].ToVector<float>();
  EXPECT_FLOAT_EQ(y[0], (6 + 8 * 0.5f) / 24);
  EXPECT_FLOAT_EQ(y[1], 8 * 0.5f / 24);
}

TEST_F(Import, NewFormsBecomeOpset13) {
  model.opset = 18;
  model.inputs = {Value("x", {2, 5, 4, 6})};
  Ints("axes", {2, 3});
  Ints("pads", {1, 2, 3, 4});
  model.nodes = {Node("Pad", {"x", "pads", "", "axes"}, {"p"}),
                 Node("Split", {"p"}, {"a", "b"}, {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}}),
                 Node("ReduceMean", {"a", "axes"}, {"y"}, {{"keepdims", int64_t{0}}})};
  model.outputs = {Value("y", {2, 3}), Value("b", {2, 2, 8, 12})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.value(graph.Find("y")).type.shape, (Shape{2, 3}));
  EXPECT_EQ(graph.value(graph.Find("b")).type.shape, (Shape{2, 2, 8, 12}));
}

TEST_F(Import, AutoPadBecomesPads) {
  model.inputs = {Value("x", {-1, 1, 32, 32})};
  model.initializers.emplace_back("w", Tensor(DType::kF32, {2, 1, 3, 3}));
  model.nodes = {Node("Conv", {"x", "w"}, {"y"},
                      {{"auto_pad", std::string("SAME_UPPER")}, {"strides", std::vector<int64_t>{2, 2}}})};
  model.outputs = {Value("y", {-1, 2, 16, 16})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(Line(graph, "y"), "f32[N,2,16,16] = Conv(%x, %w) {pads=[0,0,1,1], strides=[2,2]} \"y\"");
}

TEST_F(Import, SoftmaxOfOldOpsetsFlattens) {
  model.opset = 11;
  model.inputs = {Value("x", {-1, 2, 1, 3})};
  model.nodes = {Node("Softmax", {"x"}, {"y"}, {{"axis", int64_t{1}}})};
  model.outputs = {Value("y", {-1, 2, 1, 3})};
  const Tensor x = Tensor::From<float>({1, 2, 1, 3}, {0, 0, 0, 0, 0, 0});
  EXPECT_FLOAT_EQ(ir::RunReference(Graph(), {{"x", x}})[0].ToVector<float>()[4], 1.0f / 6);
}

TEST_F(Import, QuantizedWeightsStayPairs) {
  model.inputs = {Value("x", {-1, 1, 4, 4})};
  model.initializers.emplace_back("w", Tensor::From<float>({1, 1, 1, 1}, {2}));
  model.initializers.emplace_back("s", Tensor::From<float>({1}, {0.5f}));
  model.nodes = {Node("QuantizeLinear", {"w", "s"}, {"q"}, {{"axis", int64_t{0}}}),
                 Node("DequantizeLinear", {"q", "s"}, {"d"}, {{"axis", int64_t{0}}}), Node("Conv", {"x", "d"}, {"y"})};
  model.outputs = {Value("y", {-1, 1, 4, 4})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.node_count(), 3u);
  EXPECT_EQ(graph.value(graph.Find("q.zero_point")).type, (ir::TensorType{DType::kU8, {1}}));
}

TEST_F(Import, InitializersThatAreInputsToo) {
  model.inputs = {Value("x", {-1, 2}), Value("w", {2, 3})};
  model.initializers.emplace_back("w", Tensor(DType::kF32, {2, 3}));
  model.nodes = {Node("MatMul", {"x", "w"}, {"y"})};
  model.outputs = {Value("y", {-1, 3})};
  EXPECT_EQ(Graph().inputs().size(), 1u);
}

TEST_F(Import, NodesOutOfOrderAndIdentityOutputs) {
  model.inputs = {Value("x", {-1, 2})};
  model.nodes = {Node("Relu", {"h"}, {"r"}), Node("Sigmoid", {"x"}, {"h"}), Node("Identity", {"r"}, {"y"}),
                 Node("Identity", {"x"}, {"z"})};
  model.outputs = {Value("y", {-1, 2}), Value("z", {-1, 2})};
  const ir::Graph graph = Graph();
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "y");
  EXPECT_EQ(graph.value(graph.outputs()[1]).name, "z");
  EXPECT_EQ(graph.node_count(), 3u);  // Sigmoid, Relu, and the Identity that makes an output of an input
}

TEST_F(Import, FreesAFixedBatch) {
  model.inputs = {Value("x", {1, 4, 2, 2})};
  Ints("shape", {1, 16});
  model.nodes = {Node("Reshape", {"x", "shape"}, {"y"})};
  model.outputs = {Value("y", {1, 16})};
  EXPECT_EQ(Graph().value(Graph().Find("y")).type.shape, (Shape{1, 16}));
  const ir::Graph graph = Graph({{{"x", {-1, 4, 2, 2}}}, {}});
  EXPECT_EQ(ir::RunReference(graph, {{"x", Tensor(DType::kF32, {5, 4, 2, 2})}})[0].shape(), (Shape{5, 16}));
}

TEST_F(Import, Messages) {
  model.inputs = {Value("x", {-1, 3, 8, 8})};
  model.outputs = {Value("y", {-1, 3, 8, 8})};
  const auto with = [&](std::vector<RawNode> nodes) {
    model.nodes = std::move(nodes);
    return ErrorText();
  };
  EXPECT_THAT(
      with({Node("GridSample", {"x"}, {"a"}), Node("com.acme.Foo", {"a"}, {"b"}), Node("GridSample", {"b"}, {"y"})}),
      AllOf(HasSubstr("'m.onnx': 2 operators are not supported: GridSample (opset 13), first in the GridSample node "
                      "that makes 'a', 2 nodes"),
            HasSubstr("com.acme.Foo"), HasSubstr("export the model without them")));
  EXPECT_THAT(with({Node("Relu", {"lost"}, {"y"})}), HasSubstr("reads 'lost', which is no input, no initializer"));
  EXPECT_THAT(with({Node("Relu", {"b"}, {"a"}), Node("Relu", {"a"}, {"b"}), Node("Relu", {"x"}, {"y"})}),
              HasSubstr("cycle"));
  EXPECT_THAT(with({Node("Relu", {"x"}, {"y"}), Node("Abs", {"x"}, {"y"})}), HasSubstr("two nodes write 'y'"));
  EXPECT_THAT(with({Node("Relu", {"x"}, {"z"})}), HasSubstr("output 'y' is made by no node"));
  EXPECT_THAT(with({Node("Conv", {"x"}, {"y"})}), HasSubstr("1 inputs; expected 2 to 3"));
  EXPECT_THAT(with({Node("Relu", {"x"}, {"y"}, {{"speed", int64_t{2}}})}),
              HasSubstr("attribute 'speed' is not supported"));
  EXPECT_THAT(with({Node("LeakyRelu", {"x"}, {"y"}, {{"alpha", std::string("big")}})}),
              HasSubstr("attribute 'alpha' has the wrong kind"));
  model.initializers.emplace_back("w", Tensor(DType::kF32, {4, 5, 3, 3}));
  EXPECT_THAT(with({Node("Conv", {"x", "w"}, {"y"})}),
              AllOf(HasSubstr("m.onnx"), HasSubstr("3 channels"), HasSubstr("'y' (Conv)")));
  model.nodes = {Node("Relu", {"x"}, {"y"})};
  model.inputs = {Value("x", {-1, 3, -1, -1}, {"N", "", "height", "width"})};
  EXPECT_THAT(ErrorText(),
              AllOf(HasSubstr("dimension 2 ('height') is dynamic"), HasSubstr("x=N,3,224,224 (--input-shape)")));
  EXPECT_EQ(Graph({{{"x", {-1, 3, 8, 8}}}, {}}).value(0).type.shape, (Shape{-1, 3, 8, 8}));
  EXPECT_THAT(ErrorText({{{"x", {-1, 4, 8, 8}}}, {}}), HasSubstr("another number"));
  EXPECT_THAT(ErrorText({{{"x", {-1, 3}}}, {}}), HasSubstr("another number of dimensions"));
  EXPECT_THAT(ErrorText({{{"x", {-1, 3, 8, 8}}, {"z", {1}}}, {}}), HasSubstr("no such input"));
  model.opset = 5;
  EXPECT_THAT(ErrorText(), HasSubstr("opset 5 is not supported"));
  EXPECT_THROW(ImportOnnx("no_such.onnx"), Error);
}

// Nodes without the inputs, outputs and attributes that their operators have.
TEST_F(Import, NodesThatAreNotWhole) {
  model.inputs = {Value("x", {1, 3, 8, 8})};
  model.outputs = {Value("y", {1, 3, 8, 8})};
  Ints("huge", {1 << 20, 1 << 20});
  Ints("overflow", {int64_t{1} << 40, int64_t{1} << 40});
  Ints("negative", {-4});
  Ints("wide", {1, 1 << 20, 1 << 20, 1 << 20});
  Ints("hole", {-1, int64_t{1} << 40, int64_t{1} << 40});
  for (const char* name : {"zero", "far", "one"}) {
    model.initializers.emplace_back(name, Tensor::Scalar<int64_t>(*name == 'f' ? INT64_MAX : *name == 'o'));
  }
  model.initializers.emplace_back("f", Tensor::Scalar<float>(1));
  const auto with = [&](RawNode node) {
    model.nodes = {std::move(node)};
    return ErrorText();
  };
  EXPECT_THAT(with(Node("Max", {"x"}, {})), HasSubstr("it has no output"));
  EXPECT_THAT(with(Node("Sum", {}, {"y"})), HasSubstr("it has no input"));
  EXPECT_THAT(with(Node("Shape", {}, {"y"})), HasSubstr("its inputs or attributes are not those of ONNX's Shape"));
  EXPECT_THAT(with(Node("Size", {"", "x"}, {"y"})), HasSubstr("an input is missing"));
  EXPECT_THAT(with(Node("Shape", {"x"}, {"y"}, {{"start", 1.0f}})), HasSubstr("not those of ONNX's Shape"));
  EXPECT_THAT(with(Node("Identity", {"", "x"}, {"y"})), HasSubstr("its input is missing"));
  EXPECT_THAT(with(Node("Add", {"", "f"}, {"y"})), HasSubstr("input 0 is missing"));
  EXPECT_THAT(with(Node("ConstantOfShape", {}, {"y"})), HasSubstr("not those of ONNX's ConstantOfShape"));
  EXPECT_THAT(with(Node("ConstantOfShape", {"negative"}, {"y"})), HasSubstr("[N] has a negative size"));
  EXPECT_THAT(with(Node("ConstantOfShape", {"huge"}, {"y"})), HasSubstr("the computed constants exceed 2 GiB"));
  EXPECT_THAT(with(Node("ConstantOfShape", {"overflow"}, {"y"})), HasSubstr("is too large"));
  EXPECT_THAT(with(Node("Expand", {"f", "huge"}, {"y"})), HasSubstr("the computed constants exceed 2 GiB"));
  EXPECT_THAT(with(Node("Expand", {"x", "wide"}, {"y"})), HasSubstr("m.onnx"));
  EXPECT_THAT(with(Node("Reshape", {"x", "hole"}, {"y"})), HasSubstr("is too large"));
  Ints("repeats", {1, 1, INT64_MAX, 1});
  Ints("pads", {0, 0, INT64_MAX, 0, 0, 0, 1, 0});
  EXPECT_THAT(with(Node("Tile", {"x", "repeats"}, {"y"})), HasSubstr("hold 9223372036854775807"));
  EXPECT_THAT(with(Node("Pad", {"x", "pads"}, {"y"})), HasSubstr("a pad of 9223372036854775807"));
  EXPECT_THAT(with(Node("MaxPool", {"x"}, {"y"}, {{"kernel_shape", std::vector<int64_t>{INT64_MAX, 1}}})),
              HasSubstr("attribute 'kernel_shape' holds a number beyond 2^20"));
  Ints("halves", {INT64_MAX, INT64_MAX});
  RawNode split = Node("Split", {"x", "halves"}, {"y", "z"}, {{"axis", int64_t{1}}});
  EXPECT_THAT(with(split), HasSubstr("of an axis of size 3"));
  EXPECT_THAT(with(Node("Range", {"zero", "far", "one"}, {"y"})), HasSubstr("are too many numbers"));
  EXPECT_THAT(with(Node("Relu", {"x"}, {"x"})), HasSubstr("a node writes 'x', which is an input or initializer"));
  EXPECT_THAT(with(Node("Relu", {"x"}, {"f"})), HasSubstr("a node writes 'f'"));
}

// Pieces of protobuf: what follows a file's bytes is merged into its graph.
std::string Varint(uint64_t v) {
  std::string out;
  for (; v >= 128; v >>= 7) out += static_cast<char>(v | 128);
  return out + static_cast<char>(v);
}
std::string Number(int field, uint64_t v) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(v);
}
std::string Message(int field, const std::string& bytes) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(bytes.size()) + bytes;
}
std::string Initializer(const std::string& tensor) {
  return Message(7, Message(5, tensor));
}

TEST_F(Import, TensorsThatCannotBeRead) {
  model.inputs = {Value("x", {-1, 2})};
  model.nodes = {Node("Relu", {"x"}, {"y"})};
  model.outputs = {Value("y", {-1, 2})};
  const auto error = [&](const std::string& tensor) {
    try {
      ImportOnnxBytes(Bytes() + Initializer(tensor), "m.onnx");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      return std::string(e.what());
    }
    return std::string("no error");
  };
  const std::string w = Message(8, "w");
  EXPECT_EQ(error(Number(1, 2) + Number(2, 1) + w + Message(9, std::string(8, '\0'))), "no error");
  EXPECT_THAT(error(Number(1, 2) + Number(2, 22) + w + Message(9, "a")),
              AllOf(HasSubstr("'m.onnx': initializer 'w'"), HasSubstr("element type INT4"), HasSubstr("8 bits")));
  EXPECT_THAT(error(Number(1, 2) + Number(2, 4) + w + Message(9, "abcd")),
              AllOf(HasSubstr("element type UINT16"), HasSubstr("INT8")));
  EXPECT_THAT(error(Number(1, 2) + Number(2, 99) + w), HasSubstr("element type number 99"));
  EXPECT_THAT(error(Number(1, 2) + Number(2, 1) + w + Message(9, "abc")), HasSubstr("'w'"));
  const std::string place = Message(13, Message(1, "location") + Message(2, "no_such.bin"));
  EXPECT_THAT(error(Number(1, 2) + Number(2, 1) + w + place + Number(14, 1)),
              AllOf(HasSubstr("'no_such.bin', which cannot be read"), HasSubstr("beside the .onnx file")));
  // Shapes of 4 TiB: errors before any memory is asked for.
  const std::string huge = Number(1, 1 << 20) + Number(1, 1 << 20) + Number(2, 1) + w;
  EXPECT_THAT(error(huge + Message(4, std::string(8, 'x'))), HasSubstr("2 values for the shape [1048576,1048576]"));
  const std::string far = Message(13, Message(1, "location") + Message(2, "m.bin")) +
                          Message(13, Message(1, "length") + Message(2, std::to_string(int64_t{1} << 42)));
  const std::string folder = ::testing::TempDir() + fmt::format("octet_import_{}", ::getpid());
  WriteFileAtomic(folder + "/m.bin", "short");
  try {
    WriteFileAtomic(folder + "/m.onnx", Bytes() + Initializer(huge + far + Number(14, 1)));
    ImportOnnx(folder + "/m.onnx");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("m.bin' ends too early; needed 4398046511104 bytes at 0"));
  }
  std::filesystem::remove_all(folder);
  const std::string outside = Message(13, Message(1, "location") + Message(2, "../secret.bin"));
  EXPECT_THAT(error(Number(1, 2) + Number(2, 1) + w + outside + Number(14, 1)),
              HasSubstr("expected a file beside the .onnx file"));
}

// Operators on codes become pairs around the float operator.
TEST_F(Import, QLinearOperatorsBecomePairs) {
  model.opset = 13;
  model.inputs = {Value("x", {-1, 2, 3, 3}, {}, DType::kU8)};
  model.initializers = {{"xs", Tensor::Scalar<float>(0.5f)},
                        {"xz", Tensor::Scalar<uint8_t>(10)},
                        {"w", Tensor::From<int8_t>({2, 2, 1, 1}, {1, 2, -3, 4})},
                        {"ws", Tensor::From<float>({2}, {0.25f, 0.125f})},
                        {"wz", Tensor::From<int8_t>({2}, {0, 0})},
                        {"ys", Tensor::From<float>({1}, {0.5f})},
                        {"yz", Tensor::From<uint8_t>({1}, {3})},
                        {"b", Tensor::From<int32_t>({2}, {8, -16})}};
  model.nodes = {Node("QLinearConv", {"x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"}, {"c"},
                      {{"auto_pad", std::string("SAME_UPPER")}}),
                 Node("com.microsoft.QLinearAdd", {"c", "ys", "yz", "c", "ys", "yz", "ys", "yz"}, {"y"})};
  model.outputs = {Value("y", {-1, 2, 3, 3}, {}, DType::kU8)};
  const ir::Graph graph = Graph();
  ir::Verify(graph);
  Tensor x(DType::kU8, {1, 2, 3, 3});
  for (int64_t i = 0; i < 18; ++i) x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(10 + i);
  const std::vector<int32_t> y = ir::RunReference(graph, {{"x", x}})[0].ToVector<int32_t>();
  for (int i = 0; i < 9; ++i) {
    const float a = 0.5f * static_cast<float>(i), b = 0.5f * static_cast<float>(9 + i);
    const float c0 = 0.25f * a + 0.5f * b + 8 * 0.125f, c1 = -0.375f * a + 0.5f * b - 16 * 0.0625f;
    const auto code = [](float v) { return std::clamp(static_cast<int>(std::nearbyint(v / 0.5f)) + 3, 0, 255); };
    const auto twice = [&](int q) { return code(2 * 0.5f * static_cast<float>(q - 3)); };
    EXPECT_EQ(y[i], twice(code(c0))) << i;
    EXPECT_EQ(y[9 + i], twice(code(c1))) << i;
  }
  model.inputs.push_back(Value("s", {}));
  model.nodes[0].inputs[1] = "s";
  EXPECT_THAT(ErrorText(), AllOf(HasSubstr("QLinearConv"), HasSubstr("computed while the network runs")));
}

// Cut anywhere, or with bytes changed, a file gives a user error or a graph; never a crash or an internal error.
TEST_F(Import, DamagedFiles) {
  model.inputs = {Value("x", {-1, 3, 8, 8})};
  model.initializers.emplace_back("w", Tensor(DType::kF32, {4, 3, 3, 3}));
  Ints("shape", {0, -1});
  model.nodes = {Node("Conv", {"x", "w"}, {"c"}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}),
                 Node("Reshape", {"c", "shape"}, {"y"})};
  model.outputs = {Value("y", {-1, 256})};
  const std::string bytes = Bytes();
  for (size_t n = 0; n < bytes.size(); ++n) {
    if (bytes.size() - n < 12) continue;  // the opset, written last, may be lost to a default
    EXPECT_THROW(ImportOnnxBytes(bytes.substr(0, n), "cut.onnx"), Error) << n;
  }
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string changed = bytes;
    for (int k = 0; k < 1 + i % 3; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    try {
      ImportOnnxBytes(changed, "changed.onnx");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    }
  }
}

}  // namespace
}  // namespace octet::onnx
