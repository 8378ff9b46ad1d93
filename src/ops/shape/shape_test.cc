#include <gtest/gtest.h>

#include "ops/testing.h"

namespace octet::ops {
namespace {

Shape InferReshape(const Shape& in, const std::vector<int64_t>& to, ir::Attrs attrs = {}) {
  return InferShapeOf(MakeNode("Reshape", std::move(attrs)), {{DType::kF32, in}, {}}, {{1, I(to)}});
}

TEST(Reshape, KnownShapes) {
  EXPECT_EQ(InferReshape({2, 3, 4}, {6, -1}), (Shape{6, 4}));
  EXPECT_EQ(InferReshape({2, 3, 4}, {0, -1}), (Shape{2, 12}));
  EXPECT_EQ(InferReshape({2, 3, 4}, {0, 0, 2, -1}), (Shape{2, 3, 2, 2}));
  EXPECT_EQ(InferReshape({0, 3, 4}, {3, 4, 0}, {{"allowzero", int64_t{1}}}), (Shape{3, 4, 0}));
  EXPECT_EQ(InferReshape({1}, {}), (Shape{}));
}

TEST(Reshape, DynamicBatch) {
  EXPECT_EQ(InferReshape({-1, 512, 1, 1}, {-1, 512}), (Shape{-1, 512}));
  EXPECT_EQ(InferReshape({-1, 512, 1, 1}, {0, -1}), (Shape{-1, 512}));
  EXPECT_EQ(InferReshape({-1, 512, 2, 2}, {0, 512, -1}), (Shape{-1, 512, 4}));
  EXPECT_EQ(InferReshape({-1, 512, 1, 1}, {1, 512}), (Shape{1, 512}));
  EXPECT_EQ(InferReshape({-1, 116, 28, 28}, {-1, 2, 58, 28, 28}), (Shape{-1, 2, 58, 28, 28}));
}

TEST(Reshape, Errors) {
  ExpectUserError([] { InferReshape({2, 3}, {4}); }, {"node 'n' (Reshape)", "f32[2,3]", "6 elements", "[4]"});
  ExpectUserError([] { InferReshape({2, 3}, {4, -1}); }, {"does not reshape"});
  ExpectUserError([] { InferReshape({2, 3}, {-1, -1}); }, {"-1 twice"});
  ExpectUserError([] { InferReshape({2}, {1, 0}); }, {"place 1", "does not have"});
  ExpectUserError(
      [] {
        InferShapeOf(MakeNode("Reshape"), {{DType::kF32, {2}}, {DType::kS64, {1}}});
      },
      {"shape 'in1' s64[1]", "must be a constant"});
}

TEST(Flatten, Axes) {
  const auto infer = [](const Shape& in, int64_t axis) {
    return InferShapeOf(MakeNode("Flatten", {{"axis", axis}}), {{DType::kF32, in}});
  };
  EXPECT_EQ(infer({-1, 8, 7, 7}, 1), (Shape{-1, 392}));
  EXPECT_EQ(infer({2, 3, 4}, 0), (Shape{1, 24}));
  EXPECT_EQ(infer({2, 3, 4}, 3), (Shape{24, 1}));
  EXPECT_EQ(infer({2, 3, 4}, -1), (Shape{6, 4}));
  ExpectUserError([&] { infer({2, 3}, 3); }, {"axis 3"});
}

TEST(Squeeze, AndUnsqueeze) {
  const Tensor x = RandomF32({1, 3, 1, 2}, 1);
  EXPECT_EQ(RunOne("Squeeze", {x}).shape(), (Shape{3, 2}));
  EXPECT_EQ(RunOne("Squeeze", {x, I({-2})}).shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(RunOne("Unsqueeze", {RunOne("Squeeze", {x}), I({2, 0})}), x);
  ExpectUserError([&] { RunOne("Squeeze", {x, I({1})}); }, {"size 3, expected 1"});
}

TEST(ShapeOp, SlicesOfTheShape) {
  const Tensor x = RandomF32({2, 3, 4}, 1);
  EXPECT_EQ(RunOne("Shape", {x}), I({2, 3, 4}));
  EXPECT_EQ(RunOne("Shape", {x}, {{"start", int64_t{-1}}}), I({4}));
  EXPECT_EQ(RunOne("Shape", {x}, {{"start", int64_t{1}}, {"end", int64_t{-1}}}), I({3}));
  EXPECT_EQ(RunOne("Shape", {x}, {{"start", int64_t{-10}}, {"end", int64_t{10}}}), I({2, 3, 4}));
  EXPECT_EQ(RunOne("Shape", {x}, {{"start", int64_t{2}}, {"end", int64_t{1}}}).size(), 0);
  EXPECT_EQ(RunOne("Size", {x}), Tensor::Scalar<int64_t>(24));
}

TEST(Cast, Types) {
  EXPECT_EQ(RunOne("Cast", {F({3}, {-1.7f, 2.7f, 0})}, {{"to", int64_t{7}}}), I({-1, 2, 0}));
  EXPECT_EQ(RunOne("Cast", {I({3, 0})}, {{"to", int64_t{1}}}), F({2}, {3, 0}));
  EXPECT_EQ(RunOne("Cast", {F({2}, {0.5f, 0})}, {{"to", int64_t{9}}}).ToVector<int32_t>(),
            (std::vector<int32_t>{1, 0}));
  ExpectUserError(
      [] {
        RunOne("Cast", {F({1}, {1})}, {{"to", int64_t{10}}});
      },
      {"ONNX element type 10 is not supported"});
}

TEST(Constant, AllForms) {
  EXPECT_EQ(RunOne("Constant", {}, {{"value", F({2}, {1, 2})}}), F({2}, {1, 2}));
  EXPECT_EQ(RunOne("Constant", {}, {{"value_ints", std::vector<int64_t>{4, 5}}}), I({4, 5}));
  EXPECT_EQ(RunOne("Constant", {}, {{"value_float", 1.5f}}), F({}, {1.5f}));
  ExpectUserError([] { RunOne("Constant", {}); }, {"no value"});
  EXPECT_EQ(RunOne("ConstantOfShape", {I({2, 1})}, {{"value", I({7})}}), Tensor::From<int64_t>({2, 1}, {7, 7}));
  EXPECT_EQ(RunOne("ConstantOfShape", {I({2})}), F({2}, {0, 0}));
}

TEST(Dropout, IsIdentityWithAFullMask) {
  const Tensor x = RandomF32({4}, 1);
  const Tensors out = RunNode(MakeNode("Dropout", {}, 2), {x, F({}, {0.5f})});
  EXPECT_EQ(out[0], x);
  EXPECT_EQ(out[1].ToVector<int32_t>(), (std::vector<int32_t>(4, 1)));
}

}  // namespace
}  // namespace octet::ops
