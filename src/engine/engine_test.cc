// The engine against the reference interpreter, code for code, and its error messages.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/kernels/kernels.h"
#include "engine/random_lowered.h"
#include "ir/text.h"

namespace octet::engine {
namespace {

using testing::HasSubstr;

template <typename F>
std::string MessageOf(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::vector<std::string> Isas() {
  std::vector<std::string> names = {"reference"};
  if (PortableKernels()) names.push_back("portable");
  if (Avx512VnniKernels()) names.push_back("avx512_vnni");
  return names;
}

// Every value that the graph computes, engine against oracle.
void Compare(const ir::Graph& graph, int64_t batch, int threads, const std::string& isa) {
  SCOPED_TRACE(testing::Message() << graph.name() << " batch " << batch << " threads " << threads << " " << isa);
  const Engine engine = Engine::FromGraph(graph, {}, isa);
  ContextOptions options;
  options.batch = batch;
  options.threads = threads;
  options.keep_intermediates = true;
  const auto context = engine.NewContext(options);
  Shape shape = context->inputs()[0].shape;
  const Tensor input = RandomInput(shape, 77);
  const std::vector<Tensor> outputs = context->Run({{"input_1", input}});
  std::vector<ir::ValueId> wanted;
  for (const std::string& name : context->intermediate_names()) wanted.push_back(graph.Find(name));
  const std::vector<Tensor> values = ir::RunReference(graph, {{"input_1", input}}, wanted);
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string name = graph.value(wanted[i]).name;
    const Tensor got = context->Intermediate(name);
    ASSERT_EQ(got.shape(), values[i].shape()) << name;
    if (values[i].dtype() == DType::kS8) {
      ASSERT_TRUE(got == values[i]) << "codes of " << name << " differ: " << ir::Print(graph);
    } else {
      for (int64_t k = 0; k < got.size(); ++k) {
        const float want = values[i].data<float>()[k];
        ASSERT_NEAR(got.data<float>()[k], want, 1e-5f * std::max(1.0f, std::fabs(want))) << name;
      }
    }
  }
  // Without room of their own for all values, the outputs are the same bits.
  options.keep_intermediates = false;
  const auto lean = engine.NewContext(options);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const std::vector<Tensor> again = lean->Run({{"input_1", input}});
    for (size_t i = 0; i < outputs.size(); ++i) ASSERT_TRUE(again[i] == outputs[i]);
  }
  EXPECT_LE(lean->arena_bytes(), context->arena_bytes());
}

TEST(Engine, RandomGraphsEqualTheReference) {
  for (unsigned seed = 0; seed < 120; ++seed) {
    LoweredGraphMaker maker(seed);
    const ir::Graph graph = maker.Make(3 + seed % 10, seed % 3 == 0 ? 3 : 1 + seed % 20, 9 + seed % 5, 8 + seed % 7);
    for (const std::string& isa : Isas()) {
      Compare(graph, 1 + seed % 3, 1 + seed % 2, isa);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Engine, ThreadsAndBatchGiveTheSameBits) {
  LoweredGraphMaker maker(1001);
  const ir::Graph graph = maker.Make(14, 3, 21, 19);
  for (const std::string& isa : Isas()) {
    const Engine engine = Engine::FromGraph(graph, {}, isa);
    const Tensor image = RandomInput({3, 3, 21, 19}, 5);
    ContextOptions options;
    options.batch = 3;
    const std::vector<Tensor> whole = engine.NewContext(options)->Run({{"input_1", image}});
    for (int threads : {2, 3}) {
      options.threads = threads;
      const std::vector<Tensor> got = engine.NewContext(options)->Run({{"input_1", image}});
      for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(got[i] == whole[i]) << isa << " threads " << threads;
    }
    const auto single = engine.NewContext();
    const int64_t pixels = image.size() / 3;
    for (int64_t n = 0; n < 3; ++n) {
      std::vector<std::vector<float>> out;
      std::vector<float*> pointers;
      for (const TensorInfo& info : single->outputs()) out.emplace_back(NumElements(info.shape));
      for (auto& o : out) pointers.push_back(o.data());
      single->Run({image.data<float>() + n * pixels}, pointers);
      for (size_t i = 0; i < out.size(); ++i) {
        const auto size = static_cast<int64_t>(out[i].size());
        EXPECT_EQ(0, std::memcmp(out[i].data(), whole[i].data<float>() + n * size, size * 4)) << isa;
      }
    }
  }
}

// FP32 layers around quantized ones: Conv through oneDNN, Relu, Add.
TEST(Engine, FloatLayers) {
  LoweredGraphMaker maker(9);
  ir::Graph& g = maker.graph();
  const ir::ValueId x = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 4, 9, 7}});
  const auto conv = [&](const std::string& name, ir::ValueId in, int64_t out_c, int64_t in_c, int64_t group,
                        bool bias) {
    std::vector<ir::ValueId> inputs = {in,
                                       g.AddConstant(name + ".weight", RandomInput({out_c, in_c / group, 3, 3}, 4))};
    if (bias) inputs.push_back(g.AddConstant(name + ".bias", RandomInput({out_c}, 5)));
    return maker.Value("Conv", name, inputs,
                       {{"pads", std::vector<int64_t>{1, 1, 1, 0}},
                        {"strides", std::vector<int64_t>{2, 1}},
                        {"group", group},
                        {"dilations", std::vector<int64_t>{1, 2}}});
  };
  const ir::ValueId relu = maker.Value("Relu", "relu", {conv("a", x, 20, 4, 1, true)}, {});
  const ir::ValueId middle = maker.Value("QQuantize", "middle", {relu}, {{"scale", 0.05f}});
  const ir::ValueId back = maker.Value("QDequantize", "back", {middle}, {{"scale", 0.05f}});
  g.MarkOutput(maker.Value("Add", "sum", {conv("b", back, 20, 20, 20, false), conv("c", back, 20, 20, 4, true)}, {}));
  ir::InferTypes(g);
  for (int threads : {1, 2}) {
    const auto context = Engine::FromGraph(g).NewContext({2, threads, false});
    EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
    const Tensor image = RandomInput({2, 4, 9, 7}, 6);
    for (int repeat = 0; repeat < 2; ++repeat) {
      const Tensor got = context->Run({{"input_1", image}})[0];
      const Tensor want = ir::RunReference(g, {{"input_1", image}})[0];
      for (int64_t i = 0; i < want.size(); ++i) {
        // One code of `middle` may differ where oneDNN's sum falls on the other side of a tie.
        ASSERT_NEAR(got.data<float>()[i], want.data<float>()[i], 0.2f);
      }
    }
  }
}

TEST(Engine, FloatTranspose) {
  for (const std::vector<int64_t>& perm :
       {std::vector<int64_t>{0, 2, 3, 1}, {0, 3, 1, 2}, {0, 1, 3, 2}, {0, 2, 1, 3}, {0, 1, 2, 3}}) {
    LoweredGraphMaker maker(10);
    ir::Graph& g = maker.graph();
    const ir::ValueId x = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 5, 4, 3}});
    g.MarkOutput(maker.Value("Transpose", "y", {x}, {{"perm", perm}}));
    ir::InferTypes(g);
    const Tensor image = RandomInput({2, 5, 4, 3}, 6);
    for (int threads : {1, 2}) {
      const auto context = Engine::FromGraph(g).NewContext({2, threads, false});
      EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
      EXPECT_TRUE(context->Run({{"input_1", image}})[0] == ir::RunReference(g, {{"input_1", image}})[0]);
    }
  }
}

TEST(Engine, FloatBatchNormAndConstants) {
  LoweredGraphMaker maker(11);
  ir::Graph& g = maker.graph();
  const ir::ValueId x = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 5, 4, 3}});
  const auto constant = [&](const char* name, Shape shape, unsigned seed, float shift) {
    Tensor t = RandomInput(std::move(shape), seed);
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = std::abs(t.data<float>()[i]) + shift;
    return g.AddConstant(name, t);
  };
  ir::ValueId v = maker.Value("BatchNormalization", "bn",
                              {x, constant("scale", {5}, 1, 0), constant("bias", {5}, 2, -1),
                               constant("mean", {5}, 3, 0), constant("var", {5}, 4, 0.1f)},
                              {{"epsilon", 1e-3f}});
  v = maker.Value("Mul", "by_channel", {v, constant("m", {5, 1, 1}, 5, -1)}, {});
  v = maker.Value("Add", "one", {constant("one_number", {}, 6, 0), v}, {});
  v = maker.Value("Mul", "everywhere", {v, constant("all", {1, 5, 4, 3}, 7, -1)}, {});
  const ir::ValueId mean = maker.Value("GlobalAveragePool", "mean_of_x", {x}, {});
  v = maker.Value("Add", "gate", {v, mean}, {});
  v = maker.Value("Sub", "minus", {v, mean}, {});
  v = maker.Value("Sub", "from", {constant("n", {5, 1, 1}, 9, 0), v}, {});
  v = maker.Value("Mul", "by_column", {v, constant("columns", {3}, 14, 0)}, {});
  v = maker.Value("Sub", "by_pixel", {v, constant("pixels", {1, 4, 3}, 15, 0)}, {});
  v = maker.Value("Div", "by_row", {v, constant("rows", {1, 1, 4, 1}, 16, 1)}, {});
  v = maker.Value("Div", "over", {v, constant("d", {}, 12, 1)}, {});
  v = maker.Value("Div", "under", {constant("e", {}, 13, 1), maker.Value("Sigmoid", "positive", {v}, {})}, {});
  g.MarkOutput(v);
  ir::InferTypes(g);
  const Tensor image = RandomInput({2, 5, 4, 3}, 8);
  const Tensor wanted = ir::RunReference(g, {{"input_1", image}})[0];
  for (int threads : {1, 2}) {
    const auto context = Engine::FromGraph(g).NewContext({2, threads, false});
    EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
    const Tensor y = context->Run({{"input_1", image}})[0];
    for (int64_t i = 0; i < y.size(); ++i) EXPECT_FLOAT_EQ(y.data<float>()[i], wanted.data<float>()[i]) << i;
  }
}

// A layer norm in one node, and as exporters write it.
TEST(Engine, FloatLayerNorm) {
  for (const std::vector<int64_t>& axes : {std::vector<int64_t>{-1}, {1}, {1, 2, 3}}) {
    LoweredGraphMaker maker(12);
    ir::Graph& g = maker.graph();
    const ir::ValueId x = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 5, 4, 3}});
    const auto number = [&](const char* name, float v) { return g.AddConstant(name, Tensor::Scalar(v)); };
    const ir::ValueId one =
        maker.Value("LayerNormalization", "one",
                    {x, g.AddConstant("w", RandomInput({3}, 1)), g.AddConstant("b", RandomInput({3}, 2))}, {});
    const ir::ValueId d =
        maker.Value("Sub", "d", {one, maker.Value("ReduceMean", "mean", {one}, {{"axes", axes}})}, {});
    const ir::ValueId variance = maker.Value(
        "ReduceMean", "variance", {maker.Value("Pow", "squares", {d, number("two", 2)}, {})}, {{"axes", axes}});
    const ir::ValueId deviation =
        maker.Value("Sqrt", "deviation", {maker.Value("Add", "shifted", {variance, number("eps", 1e-5f)}, {})}, {});
    g.MarkOutput(maker.Value("Div", "y", {d, deviation}, {}));
    g.MarkOutput(maker.Value("ReduceSum", "sum", {x}, {{"axes", axes}, {"keepdims", int64_t{0}}}));
    ir::InferTypes(g);
    const Tensor image = RandomInput({2, 5, 4, 3}, 8);
    const std::vector<Tensor> wanted = ir::RunReference(g, {{"input_1", image}});
    for (int threads : {1, 2}) {
      const auto context = Engine::FromGraph(g).NewContext({2, threads, false});
      EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
      const std::vector<Tensor> y = context->Run({{"input_1", image}});
      for (int64_t i = 0; i < y[0].size(); ++i) {
        EXPECT_FLOAT_EQ(y[0].data<float>()[i], wanted[0].data<float>()[i]) << i;
      }
      EXPECT_TRUE(y[1] == wanted[1]);
    }
  }
}

TEST(Engine, DescribesItself) {
  LoweredGraphMaker maker(3);
  const Engine engine = Engine::FromGraph(maker.Make(5, 3, 8, 8), {{"network", "random"}}, "reference");
  EXPECT_EQ(engine.isa(), "reference");
  EXPECT_THAT(engine.description(), HasSubstr("reference ("));
  EXPECT_EQ(engine.info().at("network"), "random");
  EXPECT_EQ(engine.inputs()[0].name, "input_1");
  EXPECT_EQ(engine.inputs()[0].shape, (Shape{ir::kDynamic, 3, 8, 8}));
  EXPECT_EQ(engine.outputs()[0].name, "predictions");
  const auto context = engine.NewContext();
  EXPECT_EQ(context->inputs()[0].shape, (Shape{1, 3, 8, 8}));
  const Tensor image = RandomInput({1, 3, 8, 8}, 1);
  context->Run({{"input_1", image}});
  EXPECT_EQ(context->Profile().size(), engine.graph().node_count());
}

ir::Graph Text(const std::string& body) {
  ops::InstallOps();
  ir::Graph graph = ir::Parse("graph \"g\" {\n" + body + "}\n", {}, true);
  return graph;
}

TEST(Engine, BatchOnAnotherAxis) {
  const Engine engine = Engine::FromGraph(
      Text("  input %x: f32[N,3]\n  %t: f32[3,N] = Transpose(%x) {perm=[1,0]} \"t\"\n"
           "  %r: f32[3,N] = Relu(%t) \"r\"\n  %y: f32[N,3] = Transpose(%r) {perm=[1,0]} \"y\"\n  output %y\n"));
  for (const int64_t batch : {1, 5}) {
    Tensor x(DType::kF32, {batch, 3});
    for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = static_cast<float>(i % 4) - 1.5f;
    ContextOptions options;
    options.batch = batch;
    const Tensor y = engine.NewContext(options)->Run({{"x", x}}).at(0);
    ASSERT_EQ(y.shape(), x.shape());
    for (int64_t i = 0; i < x.size(); ++i) EXPECT_EQ(y.data<float>()[i], std::max(0.0f, x.data<float>()[i])) << i;
  }
}

TEST(Engine, RefusesWhatItCannotRun) {
  EXPECT_THAT(MessageOf([] {
                Engine::FromGraph(
                    Text("  input %x: f32[N,3,4,4]\n  const %s: f32[] = [0.1]\n  const %z: s8[] = [0]\n"
                         "  %q: s8[N,3,4,4] = QuantizeLinear(%x, %s, %z) \"quant\"\n"
                         "  %d: f32[N,3,4,4] = DequantizeLinear(%q, %s, %z) \"dequant\"\n  output %d\n"));
              }),
              HasSubstr("node 'quant' is a QuantizeLinear: the graph is not lowered"));
  EXPECT_THAT(MessageOf([] {
                Engine::FromGraph(
                    Text("  input %x: f32[N,3,4,4]\n"
                         "  %q: s8[N,3,4,4] = QQuantize(%x) {scale=0.1} \"quant\"\n  output %q\n"));
              }),
              HasSubstr("output 'q' is s8[N,3,4,4]; outputs are f32"));
  EXPECT_THAT(MessageOf([] {
                Engine::FromGraph(
                    Text("  input %x: f32[N,3,4,4]\n  input %w: s8[4,3,1,1]\n  const %m: f32[4] = [1,1,1,1]\n"
                         "  %q: s8[N,3,4,4] = QQuantize(%x) {scale=0.1} \"quant\"\n"
                         "  %y: f32[N,4,4,4] = QConv(%q, %w, %m) \"conv\"\n  output %y\n"));
              }),
              HasSubstr("node 'conv' (QConv): the weight must be a constant"));
}

TEST(Engine, RefusesInputsThatDoNotFit) {
  LoweredGraphMaker maker(4);
  const Engine engine = Engine::FromGraph(maker.Make(3, 3, 8, 8));
  const auto context = engine.NewContext();
  EXPECT_THAT(MessageOf([&] {
                context->Run({{"other", Tensor(DType::kF32, {1, 3, 8, 8})}});
              }),
              HasSubstr("input 'input_1' was not given"));
  EXPECT_THAT(MessageOf([&] {
                context->Run({{"input_1", Tensor(DType::kF32, {1, 3, 9, 8})}});
              }),
              HasSubstr("must be f32[1,3,8,8], it is f32[1,3,9,8]"));
  ContextOptions options;
  options.batch = 0;
  EXPECT_THAT(MessageOf([&] { engine.NewContext(options); }), HasSubstr("a batch of 0"));
  EXPECT_THAT(MessageOf([&] { Engine::FromGraph(engine.graph(), {}, "neon"); }),
              HasSubstr("expected reference, portable or avx512_vnni"));
}

}  // namespace
}  // namespace octet::engine
