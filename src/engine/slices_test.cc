// Runs in slices: the bits of a Run in one piece, for every remainder; and one piece where images may depend on others.
#include "engine/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/network.h"
#include "engine/plan.h"
#include "engine/random_lowered.h"
#include "ir/text.h"

namespace octet::engine {
namespace {

using testing::ElementsAre;

std::unique_ptr<Context> NewContext(const Engine& engine, int64_t batch, int threads, int64_t slice) {
  ContextOptions options;
  options.batch = batch;
  options.threads = threads;
  options.slice = slice;
  return engine.NewContext(options);
}

std::map<std::string, Tensor> Inputs(const Context& context, unsigned seed) {
  std::map<std::string, Tensor> inputs;
  for (const TensorInfo& info : context.inputs()) inputs[info.name] = RandomInput(info.shape, seed++);
  return inputs;
}

// Batches from one image to two slices and a remainder; each Context runs twice, on different images.
void CompareWithWhole(const Engine& engine, int64_t slice) {
  for (int threads : {1, 2}) {
    for (int64_t batch = 1; batch <= 2 * slice + 3; ++batch) {
      SCOPED_TRACE(testing::Message() << "slice " << slice << " batch " << batch << " threads " << threads);
      const auto whole = NewContext(engine, batch, threads, batch);
      const auto sliced = NewContext(engine, batch, threads, slice);
      const int64_t count = (batch + slice - 1) / slice;
      ASSERT_EQ(whole->slice(), batch);
      ASSERT_EQ(sliced->slice(), (batch + count - 1) / count);
      ASSERT_EQ(sliced->inputs()[0].shape, whole->inputs()[0].shape);
      for (unsigned seed : {5u, 55u}) {
        const std::map<std::string, Tensor> inputs = Inputs(*whole, seed);
        const std::vector<Tensor> want = whole->Run(inputs);
        const std::vector<Tensor> got = sliced->Run(inputs);
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < want.size(); ++i) {
          ASSERT_EQ(got[i].shape(), want[i].shape());
          ASSERT_EQ(0, std::memcmp(got[i].raw(), want[i].raw(), want[i].bytes())) << "output " << i;
        }
      }
    }
  }
}

TEST(Slices, RandomGraphsGiveTheSameBits) {
  for (unsigned seed = 0; seed < 24; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    LoweredGraphMaker maker(seed);
    const ir::Graph graph = maker.Make(3 + seed % 10, seed % 3 == 0 ? 3 : 1 + seed % 20, 9 + seed % 5, 8 + seed % 7);
    CompareWithWhole(Engine::FromGraph(graph), 1 + seed % 4);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(Slices, APlanGivesTheSameBitsInLessMemory) {
  LoweredGraphMaker maker(31);
  const Plan plan = DeserializePlan(SerializePlan({maker.Make(14, 3, 19, 17), {}}), "memory");
  const Engine engine = Engine::FromGraph(plan.graph, plan.info);
  CompareWithWhole(engine, 5);
  const int64_t three = NewContext(engine, 3, 1, 0)->arena_bytes();
  EXPECT_EQ(NewContext(engine, 12, 1, 3)->arena_bytes(), three);
  EXPECT_EQ(NewContext(engine, 11, 1, 3)->arena_bytes(), three);  // the smaller slice lies in the same memory
  EXPECT_GT(NewContext(engine, 12, 1, 12)->arena_bytes(), 3 * three);
}

TEST(Slices, ProfileIsTheSumOverSlices) {
  LoweredGraphMaker maker(32);
  const Engine engine = Engine::FromGraph(maker.Make(14, 3, 19, 17));
  const auto whole = NewContext(engine, 7, 1, 7), sliced = NewContext(engine, 7, 1, 3);
  const std::map<std::string, Tensor> inputs = Inputs(*whole, 1);
  whole->Run(inputs);
  sliced->Run(inputs);
  const std::vector<StepTime> want = whole->Profile(), got = sliced->Profile();
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].node, want[i].node);
    EXPECT_EQ(got[i].macs, want[i].macs);
    EXPECT_GT(got[i].ms, 0);
  }
}

ir::Graph Text(const std::string& body) {
  ops::InstallOps();
  return ir::Parse("graph \"g\" {\n" + body + "}\n", {}, true);
}

TEST(Slices, FloatLayersGiveTheSameBits) {
  CompareWithWhole(
      Engine::FromGraph(Text("  input %x: f32[N,2,3,4]\n  input %z: f32[N,2,3,4]\n"
                             "  const %m: f32[1,2,1,1] = [0.5,-3]\n  const %s: s64[3] = [0,4,-1]\n"
                             "  %a: f32[N,2,3,4] = Mul(%x, %m) \"a\"\n  %b: f32[N,2,3,4] = Add(%a, %z) \"b\"\n"
                             "  %c: f32[N,4,3,4] = Concat(%b, %x) {axis=1} \"c\"\n"
                             "  %t: f32[N,3,4,4] = Transpose(%c) {perm=[0,2,3,1]} \"t\"\n"
                             "  %r: f32[N,4,12] = Reshape(%t, %s) \"r\"\n"
                             "  %y: f32[N,4,12] = Softmax(%r) {axis=-2} \"y\"\n  output %y\n  output %b\n")),
      2);
}

TEST(Slices, FloatConvolutionsGiveTheSameBits) {
  CompareWithWhole(Engine::FromGraph(HeadsGraph(6)), 2);
}

// Each is a graph in which an image's results depend on others, or could.
TEST(Slices, OtherGraphsRunInOnePiece) {
  const std::map<std::string, std::string> bodies = {
      {"softmax over the batch", "  input %x: f32[N,3]\n  %y: f32[N,3] = Softmax(%x) {axis=0} \"y\"\n  output %y\n"},
      {"softmax over the batch, counted from the end",
       "  input %x: f32[N,3]\n  %y: f32[N,3] = Softmax(%x) {axis=-2} \"y\"\n  output %y\n"},
      {"output without a batch",
       "  input %x: f32[N,3]\n  const %s: s64[1] = [-1]\n  %y: f32[N] = Reshape(%x, %s) \"y\"\n  output %y\n"},
      {"value without a batch",
       "  input %x: f32[N,3]\n  const %s: s64[1] = [-1]\n  const %back: s64[2] = [-1,3]\n"
       "  %r: f32[N] = Reshape(%x, %s) \"r\"\n  %p: f32[N] = Relu(%r) \"p\"\n"
       "  %y: f32[N,3] = Reshape(%p, %back) \"y\"\n  output %y\n"},
      {"two batches in one", "  input %x: f32[N,3]\n  %y: f32[N,3] = Concat(%x, %x) {axis=0} \"y\"\n  output %y\n"},
      {"mean over the batch",
       "  input %x: f32[N,3]\n  const %axes: s64[1] = [0]\n"
       "  %m: f32[1,3] = ReduceMean(%x, %axes) {keepdims=1} \"m\"\n"
       "  %y: f32[N,3] = Sub(%x, %m) \"y\"\n  output %y\n"},
      {"a size of the whole batch",
       "  input %x: f32[N,3]\n  const %s: s64[2] = [6,3]\n  %y: f32[6,3] = Reshape(%x, %s) \"y\"\n  output %y\n"},
      {"fixed batch", "  input %x: f32[6,3]\n  %y: f32[6,3] = Relu(%x) \"y\"\n  output %y\n"},
      {"constant output",
       "  input %x: f32[N,3]\n  const %c: f32[1] = [2]\n  %y: f32[N,3] = Relu(%x) \"y\"\n  output %y\n  output %c\n"},
  };
  for (const auto& [what, body] : bodies) {
    SCOPED_TRACE(what);
    const ir::Graph graph = Text(body);
    const auto context = NewContext(Engine::FromGraph(graph), 6, 1, 2);
    EXPECT_EQ(context->slice(), 6);
    const std::map<std::string, Tensor> inputs = Inputs(*context, 3);
    const std::vector<Tensor> want = ir::RunReference(graph, inputs), got = context->Run(inputs);
    ASSERT_EQ(got[0].shape(), want[0].shape());
    for (int64_t i = 0; i < want[0].size(); ++i) EXPECT_NEAR(got[0].data<float>()[i], want[0].data<float>()[i], 1e-6f);
  }
}

TEST(Slices, IntermediatesAreOfTheWholeBatch) {
  LoweredGraphMaker maker(33);
  ContextOptions options;
  options.batch = 6;
  options.slice = 2;
  options.keep_intermediates = true;
  const auto context = Engine::FromGraph(maker.Make(5, 3, 8, 8)).NewContext(options);
  EXPECT_EQ(context->slice(), 6);
  context->Run(Inputs(*context, 1));
  EXPECT_EQ(context->Intermediate("input.q").dim(0), 6);
}

std::vector<int64_t> Automatic(const std::string& shape, int64_t batch, int threads) {
  const ir::Graph graph = Text("  input %x: f32[N," + shape + "]\n  %q: s8[N," + shape +
                               "] = QQuantize(%x) {scale=0.1} \"q\"\n  %y: f32[N," + shape +
                               "] = QDequantize(%q) {scale=0.1} \"y\"\n  output %y\n");
  ContextOptions options;
  options.batch = batch;
  options.threads = threads;
  return SliceBatch(graph, WithBatch(graph, batch), options);
}

TEST(Slices, AutomaticSizesFitTheCache) {
  const char* megabyte = "16,256,256";
  EXPECT_THAT(Automatic(megabyte, 1, 1), ElementsAre(1));
  EXPECT_THAT(Automatic(megabyte, 4, 1), ElementsAre(4));
  EXPECT_THAT(Automatic(megabyte, 5, 1), ElementsAre(3, 2));
  EXPECT_THAT(Automatic(megabyte, 13, 1), ElementsAre(4, 3, 3, 3));
  EXPECT_THAT(Automatic(megabyte, 13, 2), ElementsAre(7, 6));
  EXPECT_THAT(Automatic("15,256,256", 8, 1), ElementsAre(4, 4));  // channels are padded to 16
  EXPECT_THAT(Automatic("16,4096,4096", 5, 1), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(Automatic("16,4096,4096", 5, 2), ElementsAre(2, 2, 1));
  EXPECT_THAT(Automatic("16,4,4", 20, 1), ElementsAre(7, 7, 6));
  EXPECT_THAT(Automatic("16,4,4", 20, 2), ElementsAre(10, 10));
}

TEST(Slices, RefusesANegativeSize) {
  LoweredGraphMaker maker(34);
  const Engine engine = Engine::FromGraph(maker.Make(3, 3, 8, 8));
  try {
    NewContext(engine, 2, 1, -1);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser);
    EXPECT_THAT(e.what(), testing::HasSubstr("slices of -1 images"));
  }
}

}  // namespace
}  // namespace octet::engine
