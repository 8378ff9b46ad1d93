// Operators that move elements, on codes and on floats: the engine against the reference interpreter.
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/random_lowered.h"

namespace octet::engine {
namespace {

using Longs = std::vector<int64_t>;

struct Move {
  std::string op;
  std::vector<Tensor> constants;
  ir::Attrs attrs;
  int outputs = 1;
};

Tensor L(const Longs& values) {
  return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values);
}

// `chain` on the codes of an image, or on the image; all values equal, nothing falls back.
void Check(const std::vector<Move>& chain, bool codes) {
  std::string what = codes ? "codes" : "floats";
  LoweredGraphMaker maker(1);
  ir::Graph& g = maker.graph();
  ir::ValueId v = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 24, 6, 4}});
  if (codes) v = maker.Quantize(v);
  for (size_t i = 0; i < chain.size(); ++i) {
    const Move& move = chain[i];
    what += " " + move.op;
    std::vector<ir::ValueId> inputs = {v};
    for (const Tensor& t : move.constants) {
      inputs.push_back(g.AddConstant("c" + std::to_string(i) + "." + std::to_string(inputs.size()), t));
    }
    std::vector<std::string> names;
    for (int k = 0; k < move.outputs; ++k) names.push_back("y" + std::to_string(i) + "." + std::to_string(k));
    v = g.node(g.AddNode(move.op, "n" + std::to_string(i), inputs, names, move.attrs)).outputs.back();
  }
  if (codes) v = maker.Value("QDequantize", "back", {v}, {{"scale", 0.02f}});
  g.MarkOutput(v);
  ir::InferTypes(g);
  for (const char* isa : {"", "reference"}) {
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(what + " " + isa + " threads " + std::to_string(threads));
      const auto context = Engine::FromGraph(g, {}, isa).NewContext({3, threads, true});
      EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>());
      const Tensor image = RandomInput({3, 24, 6, 4}, 7);
      const Tensor got = context->Run({{"input_1", image}})[0];
      EXPECT_TRUE(got == ir::RunReference(g, {{"input_1", image}})[0]);
    }
  }
}

TEST(BindMove, EqualsTheReference) {
  const auto ints = [](const char* name, Longs values) { return ir::Attrs{{name, std::move(values)}}; };
  const ir::Attrs axis1 = {{"axis", int64_t{1}}};
  const std::vector<std::vector<Move>> chains = {
      {{"Slice", {L({5}), L({22}), L({1})}, {}}},
      {{"Slice", {L({1, 0}), L({6, 4}), L({2, 3}), L({2, 3})}, {}}},
      {{"Split", {L({3, 10, 11})}, axis1, 3}},
      {{"Gather", {L({7, 7, 0, 23, -2})}, axis1}},
      {{"Transpose", {}, ints("perm", {0, 2, 3, 1})}},
      {{"Transpose", {}, ints("perm", {0, 1, 3, 2})}},
      {{"Flatten", {}, axis1}},
      {{"Flatten", {}, axis1}, {"Reshape", {L({0, 12, 8, 6})}, {}}},
      {{"Reshape", {L({0, 2, 12, 6, 4})}, {}},
       {"Transpose", {}, ints("perm", {0, 2, 1, 3, 4})},
       {"Reshape", {L({0, 24, 6, 4})}, {}}},
      {{"DepthToSpace", {}, {{"blocksize", int64_t{2}}}}},
      {{"SpaceToDepth", {}, {{"blocksize", int64_t{2}}}}},
      {{"Tile", {L({1, 2, 1, 3})}, {}}},
      {{"Slice", {L({0, 0}), L({1, 1}), L({2, 3})}, {}}, {"Expand", {L({1, 24, 5, 3})}, {}}},
  };
  for (const auto& chain : chains) {
    Check(chain, false);
    Check(chain, true);
  }
}

// What mixes images is left to the reference kernel, and right.
TEST(BindMove, AcrossImagesFallsBack) {
  LoweredGraphMaker maker(2);
  ir::Graph& g = maker.graph();
  ir::ValueId v = maker.Quantize(g.AddInput("input_1", {DType::kF32, {3, 2, 6, 4}}));
  v = maker.Value("Gather", "images", {v, g.AddConstant("order", L({2, 0, 1}))}, {{"axis", int64_t{0}}});
  g.MarkOutput(maker.Value("QDequantize", "back", {v}, {{"scale", 0.02f}}));
  ir::InferTypes(g);
  const auto context = Engine::FromGraph(g).NewContext({3, 1, false});
  EXPECT_EQ(context->fallback_nodes(), std::vector<std::string>{"images"});
  const Tensor image = RandomInput({3, 2, 6, 4}, 7);
  EXPECT_TRUE(context->Run({{"input_1", image}})[0] == ir::RunReference(g, {{"input_1", image}})[0]);
}

}  // namespace
}  // namespace octet::engine
