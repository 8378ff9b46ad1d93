// FP32 layers behind quantized ones: where their values lie, and that nobody notices.
#include "engine/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/engine.h"
#include "engine/network.h"
#include "engine/random_lowered.h"
#include "ir/text.h"

namespace octet::engine {
namespace {

using testing::UnorderedElementsAre;

std::vector<std::string> Names(const ir::Graph& graph, const std::unordered_set<ir::ValueId>& ids) {
  std::vector<std::string> names;
  for (const ir::ValueId id : ids) names.push_back(graph.value(id).name);
  return names;
}

std::vector<std::string> NodeNames(const ir::Graph& graph, const std::unordered_set<ir::NodeId>& ids) {
  std::vector<std::string> names;
  for (const ir::NodeId id : ids) names.push_back(graph.node(id).name);
  return names;
}

void ExpectNear(const Tensor& got, const Tensor& want, const std::string& what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  for (int64_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got.data<float>()[i], want.data<float>()[i], 1e-5f) << what << " element " << i;
  }
}

TEST(Layout, HeadsOfOneImageAreComputedInPlace) {
  const ir::Graph graph = WithBatch(HeadsGraph(3), 1);
  const std::unordered_set<ir::ValueId> last = ChannelsLastValues(graph);
  EXPECT_THAT(Names(graph, last), UnorderedElementsAre("codes", "head1.dw", "head1.pw", "head2.dw", "head2.pw"));
  const Views views = FindViews(graph, last);
  EXPECT_THAT(NodeNames(graph, views.nodes),
              UnorderedElementsAre("head1.last", "head1.rows", "head2.last", "head2.rows", "rows"));
  for (const std::string part : {"pw", "last", "rows"}) {
    const View first = views.values.at(graph.Find("head1." + part)),
               second = views.values.at(graph.Find("head2." + part));
    EXPECT_EQ(first.home, graph.Find("rows"));
    EXPECT_EQ(second.home, graph.Find("rows"));
    EXPECT_EQ(first.offset, 0);
    EXPECT_EQ(second.offset, 6 * 5 * 10 * 4);
  }
}

TEST(Layout, RowsOfSeveralImagesAreJoinedByACopy) {
  const ir::Graph graph = WithBatch(HeadsGraph(3), 2);
  const Views views = FindViews(graph, ChannelsLastValues(graph));
  EXPECT_THAT(NodeNames(graph, views.nodes),
              UnorderedElementsAre("head1.last", "head1.rows", "head2.last", "head2.rows"));
  EXPECT_EQ(views.values.at(graph.Find("head2.rows")).home, graph.Find("head2.pw"));
}

// What is read in another order stays N,C,H,W, and what somebody else writes, or two read, has its own memory.
TEST(Layout, OthersAreLeftAlone) {
  ops::InstallOps();
  const ir::Graph graph = ir::Parse(
      "graph \"g\" {\n  input %x: f32[1,2,2,3]\n  const %w: f32[2,2,1,1] = [1,2,3,4]\n  const %s: s64[2] = [1,-1]\n"
      "  %a: f32[1,2,2,3] = Conv(%x, %w) \"a\"\n  %b: f32[1,2,2,3] = Relu(%a) \"b\"\n"
      "  %t: f32[1,2,3,2] = Transpose(%a) {perm=[0,2,3,1]} \"t\"\n"
      "  %twice: f32[1,4,2,3] = Concat(%a, %a) {axis=1} \"twice\"\n"
      "  %mixed: f32[1,4,2,3] = Concat(%a, %b) {axis=1} \"mixed\"\n"
      "  %input: f32[1,12] = Reshape(%x, %s) \"input\"\n"
      "  output %t\n  output %twice\n  output %mixed\n  output %input\n}\n",
      {}, true);
  const std::unordered_set<ir::ValueId> last = ChannelsLastValues(graph);
  EXPECT_THAT(Names(graph, last), UnorderedElementsAre());
  EXPECT_THAT(NodeNames(graph, FindViews(graph, last).nodes), UnorderedElementsAre());
  const Tensor x = RandomInput({1, 2, 2, 3}, 3);
  const auto context = Engine::FromGraph(graph).NewContext();
  const std::vector<Tensor> got = context->Run({{"x", x}}), want = ir::RunReference(graph, {{"x", x}});
  for (size_t i = 0; i < want.size(); ++i) ExpectNear(got[i], want[i], std::to_string(i));
}

TEST(Layout, ResultsAndIntermediatesAreTheReferences) {
  const ir::Graph graph = HeadsGraph(4);
  const Engine engine = Engine::FromGraph(graph);
  for (int64_t batch : {1, 3}) {
    const Tensor x = RandomInput({batch, 8, 6, 5}, 9);
    std::vector<Tensor> first;
    for (int threads : {1, 2, 4, 7}) {  // more than rows, too
      for (const bool keep : {false, true}) {
        const auto context = engine.NewContext({batch, threads, keep});
        EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
        const std::vector<Tensor> got = context->Run({{"input_1", x}}),
                                  want = ir::RunReference(graph, {{"input_1", x}});
        for (size_t i = 0; i < want.size(); ++i) ExpectNear(got[i], want[i], std::to_string(i));
        if (!keep) continue;
        for (const std::string& name : context->intermediate_names()) {
          const Tensor is = context->Intermediate(name);
          const Tensor should = ir::RunReference(graph, {{"input_1", x}}, {graph.Find(name)})[0];
          if (is.dtype() == DType::kF32) ExpectNear(is, should, name);
        }
      }
    }
  }
}

// Buffers of the caller: what lies beside an output stays, and an output may lie on the input.
TEST(Layout, WritesIntoTheCallersBuffers) {
  const Engine engine = Engine::FromGraph(HeadsGraph(5));
  const auto context = engine.NewContext({1, 2, false});
  const Tensor x = RandomInput({1, 8, 6, 5}, 9);
  const std::vector<Tensor> want = context->Run({{"input_1", x}});
  constexpr float kCanary = -77.0f;
  constexpr size_t kRows = 48 * 10, kPlain = 7 * 6 * 5;
  std::vector<float> memory(kRows + kPlain + 30, kCanary);
  float *rows = memory.data() + 10, *plain = rows + kRows + 10;
  for (int repeat = 0; repeat < 2; ++repeat) {
    context->Run({x.data<float>()}, {rows, plain});
    EXPECT_TRUE(std::equal(rows, rows + kRows, want[0].data<float>()));
    EXPECT_TRUE(std::equal(plain, plain + kPlain, want[1].data<float>()));
    EXPECT_EQ(std::count(memory.begin(), memory.end(), kCanary), 30);
    context->Profile();  // leaves outputs alone
    EXPECT_TRUE(std::equal(rows, rows + kRows, want[0].data<float>()));
  }
  std::vector<float> one(kRows, 0.0f);  // input and first output
  std::copy_n(x.data<float>(), x.size(), one.begin());
  context->Run({one.data()}, {one.data(), plain});
  EXPECT_TRUE(std::equal(one.begin(), one.end(), want[0].data<float>()));
  EXPECT_TRUE(std::equal(plain, plain + kPlain, want[1].data<float>()));
}

}  // namespace
}  // namespace octet::engine
