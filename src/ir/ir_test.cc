// The graph, its text form and the model file, on two toy operators (this layer knows no real ones).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/files.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "ir/text.h"

namespace octet::ir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void InstallToyOps() {
  if (FindOp("Negate") != nullptr) return;
  OpDef negate;
  negate.name = "Negate";
  negate.attrs = {{"times", int64_t{1}, false}, {"label", std::string(), false}};
  negate.infer = [](const Node&, const std::vector<const Value*>& in) { return std::vector<TensorType>{in[0]->type}; };
  negate.reference = [](const Node&, const std::vector<Tensor>& in) {
    Tensor out = in[0];
    for (int64_t i = 0; i < out.size(); ++i) out.mutable_data<float>()[i] *= -1;
    return std::vector<Tensor>{out};
  };
  RegisterOp(negate);
  OpDef plus;
  plus.name = "Plus";
  plus.min_inputs = 1;
  plus.max_inputs = 3;
  plus.infer = negate.infer;
  plus.reference = [](const Node&, const std::vector<Tensor>& in) {
    Tensor out = in[0];
    for (size_t k = 1; k < in.size(); ++k) {
      for (int64_t i = 0; in[k].defined() && i < out.size(); ++i)
        out.mutable_data<float>()[i] += in[k].data<float>()[i];
    }
    return std::vector<Tensor>{out};
  };
  RegisterOp(plus);
}

Graph SmallGraph() {
  InstallToyOps();
  Graph g("small net");
  g.metadata()["recipe"] = "say \"fused\"\nor not";
  const ValueId x = g.AddInput("x", {DType::kF32, {kDynamic, 3}});
  const ValueId c = g.AddConstant("c", Tensor::From<float>({3}, {1, -2.5f, 1e-7f}));
  const ValueId w = g.AddConstant("odd name:0", Tensor::From<float>({3, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8}));
  const ValueId n =
      g.node(g.AddNode("Negate", "first", {x}, {"a"}, {{"times", int64_t{3}}, {"label", std::string("q\"")}})).output();
  const ValueId y = g.node(g.AddNode("Plus", "second", {n, kNoValue, c}, {"y"})).output();
  const ValueId z = g.node(g.AddNode("Plus", "third", {y, w, n}, {"z"})).output();
  g.MarkOutput(z);
  g.MarkOutput(y);
  InferTypes(g);
  return g;
}

std::map<std::string, Tensor> Blobs(const Graph& g) {
  std::map<std::string, Tensor> blobs;
  for (const ValueId id : g.constants()) blobs[g.value(id).name] = g.value(id).constant;
  return blobs;
}

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Text, Prints) {
  EXPECT_EQ(Print(SmallGraph()), R"(graph "small net" {
  meta "recipe" = "say \"fused\"\nor not"
  input %x: f32[N,3]
  const %c: f32[3] = [1.0,-2.5,1e-07]
  const %"odd name:0": f32[3,3] = blob
  %a: f32[N,3] = Negate(%x) {label="q\"", times=3} "first"
  %y: f32[N,3] = Plus(%a, _, %c) "second"
  %z: f32[N,3] = Plus(%y, %"odd name:0", %a) "third"
  output %z
  output %y
}
)");
}

TEST(Text, ParseOfPrintIsTheSameGraph) {
  const Graph g = SmallGraph();
  const Graph back = Parse(Print(g), Blobs(g));
  EXPECT_TRUE(back == g);
  EXPECT_EQ(Print(back), Print(g));
  EXPECT_FALSE(Parse(Print(g), {}, /*zero_blobs=*/true) == g);
}

TEST(Text, RandomGraphsRoundTrip) {
  InstallToyOps();
  for (int seed = 0; seed < 200; ++seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
    Graph g("g" + std::to_string(seed));
    std::vector<ValueId> pool = {g.AddInput("in", {DType::kF32, {2, pick(5) + 1}})};
    pool.push_back(g.AddConstant(
        "k", Tensor::From<float>({2}, {std::numeric_limits<float>::infinity(), std::nextafterf(0.1f, 1.0f)})));
    for (int i = 0; i < 12; ++i) {
      std::vector<ValueId> in;
      for (int k = pick(3); k >= 0; --k) in.push_back(pool[pick(static_cast<int>(pool.size()))]);
      Attrs attrs;
      if (in.size() == 1) attrs["times"] = int64_t{pick(100) - 50};
      const NodeId n = g.AddNode(in.size() == 1 ? "Negate" : "Plus", "n", in,
                                 {std::string("v\\\" ") + std::to_string(pick(3))}, attrs);
      pool.push_back(g.node(n).output());
    }
    g.MarkOutput(pool.back());
    InferTypes(g);
    ASSERT_TRUE(Parse(Print(g), Blobs(g)) == g) << Print(g);
  }
}

TEST(Text, ErrorsNameTheLine) {
  InstallToyOps();
  const auto message = [](const std::string& text) { return MessageOf([&] { Parse(text, {}, false, "net.txt"); }); };
  EXPECT_EQ(message("graph \"g\" {\n  input %x: f32[2]\n  %y: f32[2] = Negate(%w) \"n\"\n}\n"),
            "net.txt:3: '%w' is not defined above");
  EXPECT_EQ(message("graph \"g\" {\n  input %x: f33[2]\n}\n"),
            "net.txt:2: unknown element type 'f33'; expected one of f32 f64 s8 u8 s32 s64 bool");
  EXPECT_EQ(message("graph \"g\" {\n  const %c: f32[9] = blob\n}\n"), "net.txt:2: no data for constant '%c'");
  EXPECT_EQ(message("graph \"g\" {\n  const %c: f32[2] = [1.0]\n}\n"), "net.txt:2: 1 elements for f32[2]");
  EXPECT_EQ(message("graph \"g\" {\n  input %x: f32[2]\n  input %x: f32[2]\n}\n"), "net.txt:3: '%x' is defined twice");
  EXPECT_THAT(message("graph \"g\" {\n"), HasSubstr("expected a word"));
  EXPECT_EQ(message("graph \"g"), "net.txt:1: unterminated string");
}

TEST(Graph, EditingKeepsUseLists) {
  Graph g = SmallGraph();
  const ValueId a = g.Find("a");
  EXPECT_EQ(g.value(a).consumers.size(), 2U);
  EXPECT_EQ(g.only_consumer(a), kNoNode);
  const NodeId inserted = g.AddNode("Negate", "inserted", {a}, {"a2"});
  g.ReplaceUses(a, g.node(inserted).output(), inserted);
  EXPECT_EQ(g.only_consumer(a), inserted);
  InferTypes(g);
  Verify(g);
  const std::vector<NodeId> order = g.Order();
  EXPECT_EQ(g.node(order[1]).name, "inserted");
  g.ReplaceUses(g.node(inserted).output(), a);
  g.RemoveNode(inserted);
  EXPECT_TRUE(g == SmallGraph());
}

TEST(Graph, RemoveUnusedKeepsOutputs) {
  Graph g = SmallGraph();
  g.AddNode("Negate", "dead", {g.Find("z")}, {"unused"});
  g.AddConstant("dead constant", Tensor::Scalar(1.0f));
  g.RemoveUnused();
  EXPECT_TRUE(g == SmallGraph());
}

TEST(Graph, CopyIsIndependent) {
  const Graph g = SmallGraph();
  Graph copy = g;
  copy.set_constant(copy.Find("c"), Tensor::From<float>({3}, {9, 9, 9}));
  EXPECT_THAT(g.value(g.Find("c")).constant.ToVector<float>(), ElementsAre(1, -2.5f, 1e-7f));
}

TEST(Graph, CycleIsNamed) {
  Graph g = SmallGraph();
  g.SetInput(g.value(g.Find("a")).producer, 0, g.Find("z"));
  EXPECT_THAT(MessageOf([&] { g.Order(); }), HasSubstr("has a cycle through node 'first' (Negate)"));
}

TEST(Verify, Messages) {
  Graph unknown_op = SmallGraph();
  unknown_op.AddNode("Negat", "typo", {unknown_op.Find("x")}, {"t"});
  EXPECT_EQ(MessageOf([&] { Verify(unknown_op); }),
            "node 'typo' uses operator 'Negat', which octet does not know; did you mean 'Negate'?");
  Graph unknown_attr = SmallGraph();
  unknown_attr.mutable_node(unknown_attr.Order()[0]).attrs["time"] = int64_t{1};
  EXPECT_EQ(MessageOf([&] { Verify(unknown_attr); }),
            "node 'first' (Negate): unknown attribute 'time'; did you mean 'times'?");
  Graph wrong_kind = SmallGraph();
  wrong_kind.mutable_node(wrong_kind.Order()[0]).attrs["times"] = 1.0f;
  EXPECT_EQ(MessageOf([&] { Verify(wrong_kind); }), "node 'first' (Negate): attribute 'times' is float; expected int");
  Graph wrong_type = SmallGraph();
  wrong_type.set_type(wrong_type.Find("y"), {DType::kS8, {1}});
  EXPECT_EQ(MessageOf([&] { Verify(wrong_type); }), "graph 'small net': 'y' is s8[1], but its node makes f32[N,3]");
}

TEST(Interpreter, Runs) {
  const Graph g = SmallGraph();
  const std::vector<Tensor> out = RunReference(g, {{"x", Tensor::From<float>({1, 3}, {1, 2, 3})}});
  EXPECT_THAT(out[1].ToVector<float>(), ElementsAre(0, -4.5f, -3 + 1e-7f));
  EXPECT_THAT(MessageOf([&] { RunReference(g, {}); }), HasSubstr("input 'x' was not given"));
}

class ModelFile : public testing::Test {
 protected:
  Model Sample() {
    Model m;
    m.graph = SmallGraph();
    m.info = {{"epoch", "3"}, {"text", "line\n\"two\""}};
    m.state["sgd/c"] = Tensor::From<float>({3}, {1, 2, 3});
    m.state["steps"] = Tensor::Scalar(int64_t{7});
    return m;
  }
};

TEST_F(ModelFile, RoundTrips) {
  const std::string path = testing::TempDir() + "model_file_test" + std::to_string(::getpid()) + ".octet";
  WriteModel(path, Sample());
  const Model back = ReadModel(path);
  EXPECT_TRUE(back.graph == Sample().graph);
  EXPECT_EQ(back.info, Sample().info);
  EXPECT_EQ(back.state, Sample().state);
  std::remove(path.c_str());
}

TEST_F(ModelFile, EveryTruncationIsAnError) {
  const std::string bytes = SerializeModel(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    ASSERT_THROW(DeserializeModel(bytes.substr(0, n), "m.octet"), Error) << n;
  }
  EXPECT_THAT(MessageOf([&] { DeserializeModel(bytes.substr(0, bytes.size() - 1), "m.octet"); }),
              HasSubstr("model file 'm.octet' is truncated or damaged (checksum differs)"));
}

TEST_F(ModelFile, EveryFlippedByteIsAnError) {
  const std::string bytes = SerializeModel(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    std::string bad = bytes;
    bad[n] = static_cast<char>(bad[n] ^ 0x21);
    ASSERT_THROW(DeserializeModel(bad, "m.octet"), Error) << n;
  }
}

TEST_F(ModelFile, FailedWriteKeepsTheOldFile) {
  const std::string path = testing::TempDir() + "kept" + std::to_string(::getpid()) + ".octet";
  WriteModel(path, Sample());
  const std::string before = ReadFile(path);
  EXPECT_THROW(WriteFileAtomicWith(path, [](const std::string&) { WriteFileAtomic("/dev/full/x", "y"); }), Error);
  EXPECT_EQ(ReadFile(path), before);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace octet::ir
