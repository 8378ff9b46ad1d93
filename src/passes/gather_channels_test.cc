#include "passes/gather_channels.h"

#include <gtest/gtest.h>

#include <random>

#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"

namespace octet::passes {
namespace {

using ir::Graph;

std::vector<std::string> OpsOf(const Graph& g) {
  std::vector<std::string> ops;
  for (const ir::NodeId id : g.Order()) ops.push_back(g.node(id).op);
  return ops;
}

// The rewritten graph, after its outputs were found equal to those of `body`.
Graph Rewritten(const std::string& body) {
  ops::InstallOps();
  const Graph before = ir::Parse("graph \"g\" {\n" + body + "}\n", {}, true);
  const Graph after = GatherChannels(before);
  ir::Verify(after);
  Tensor x(DType::kF32, {3, 12, 5, 4});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = static_cast<float>(i);
  EXPECT_EQ(ir::RunReference(before, {{"x", x}}), ir::RunReference(after, {{"x", x}}));
  return after;
}

const std::string kShuffle =
    "  input %x: f32[N,12,5,4]\n"
    "  const %apart: s64[5] = [-1, 3, 4, 5, 4]\n  const %together: s64[4] = [-1, 12, 5, 4]\n"
    "  const %sizes: s64[2] = [6, 6]\n"
    "  %r: f32[N,12,5,4] = Relu(%x) \"relu\"\n"
    "  %a: f32[N,3,4,5,4] = Reshape(%r, %apart) \"apart\"\n"
    "  %t: f32[N,4,3,5,4] = Transpose(%a) {perm=[0, 2, 1, 3, 4]} \"swap\"\n"
    "  %s: f32[N,12,5,4] = Reshape(%t, %together) \"together\"\n";

TEST(GatherChannels, AShuffleIsOneGather) {
  const Graph g = Rewritten(kShuffle + "  %y: f32[N,12,5,4] = Relu(%s) \"end\"\n  output %y\n");
  EXPECT_EQ(OpsOf(g), (std::vector<std::string>{"Relu", "Gather", "Relu"}));
}

TEST(GatherChannels, ASplitShuffleIsOneGatherAHalf) {
  const Graph g = Rewritten(kShuffle +
                            "  %left: f32[N,6,5,4], %right: f32[N,6,5,4] = Split(%s, %sizes) {axis=1} \"halves\"\n"
                            "  %u: f32[N,6,5,4] = Relu(%left) \"u\"\n  %v: f32[N,6,5,4] = Relu(%right) \"v\"\n"
                            "  output %u\n  output %v\n");
  EXPECT_EQ(OpsOf(g), (std::vector<std::string>{"Relu", "Gather", "Relu", "Gather", "Relu"}));
}

// Pixels that change places, images that do, and what is an output stay.
TEST(GatherChannels, LeavesTheRest) {
  for (const char* node : {"Transpose(%r) {perm=[0, 1, 3, 2]}", "Transpose(%r) {perm=[0, 2, 3, 1]}"}) {
    const std::string shape = std::string(node).find("1, 3, 2") != std::string::npos ? "[N,12,4,5]" : "[N,5,4,12]";
    const Graph g = Rewritten("  input %x: f32[N,12,5,4]\n  %r: f32[N,12,5,4] = Relu(%x) \"relu\"\n  %t: f32" + shape +
                              " = " + node + " \"swap\"\n  %y: f32" + shape + " = Relu(%t) \"end\"\n  output %y\n");
    EXPECT_EQ(OpsOf(g), (std::vector<std::string>{"Relu", "Transpose", "Relu"}));
  }
  EXPECT_EQ(OpsOf(Rewritten(kShuffle + "  output %s\n")),
            (std::vector<std::string>{"Relu", "Reshape", "Transpose", "Reshape"}));
}

}  // namespace
}  // namespace octet::passes
