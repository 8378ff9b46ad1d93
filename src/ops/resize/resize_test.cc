#include <gtest/gtest.h>

#include "ops/testing.h"

namespace octet::ops {
namespace {

using S = std::string;

Tensor Resize(const Tensor& x, const std::vector<float>& scales, const std::vector<int64_t>& sizes, ir::Attrs attrs) {
  const Tensor s = F({static_cast<int64_t>(scales.size())}, scales);
  if (sizes.empty()) return RunOne("Resize", {x, {}, s}, attrs);
  return RunOne("Resize", {x, {}, {}, I(sizes)}, attrs);
}

TEST(Resize, NearestUpsamplingRepeats) {
  const Tensor x = F({1, 1, 2, 2}, {1, 2, 3, 4});
  const ir::Attrs attrs = {{"coordinate_transformation_mode", S("asymmetric")}, {"nearest_mode", S("floor")}};
  EXPECT_EQ(Resize(x, {1, 1, 2, 3}, {}, attrs),
            F({1, 1, 4, 6}, {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4}));
  EXPECT_EQ(Resize(x, {}, {1, 1, 4, 6}, attrs), Resize(x, {1, 1, 2, 3}, {}, attrs));
  EXPECT_EQ(RunOne("Resize", {x, {}, {}, I({4, 6})}, {{"axes", std::vector<int64_t>{2, 3}}}),
            Resize(x, {}, {1, 1, 4, 6}, attrs));
}

TEST(Resize, LinearHalfPixel) {
  // resize_upsample_scales_linear of ONNX
  EXPECT_EQ(
      Resize(F({1, 1, 2, 2}, {1, 2, 3, 4}), {1, 1, 2, 2}, {}, {{"mode", S("linear")}}),
      F({1, 1, 4, 4}, {1, 1.25f, 1.75f, 2, 1.5f, 1.75f, 2.25f, 2.5f, 2.5f, 2.75f, 3.25f, 3.5f, 3, 3.25f, 3.75f, 4}));
  EXPECT_EQ(Resize(F({1, 1, 1, 3}, {1, 2, 4}), {}, {1, 1, 1, 5},
                   {{"mode", S("linear")}, {"coordinate_transformation_mode", S("align_corners")}}),
            F({1, 1, 1, 5}, {1, 1.5f, 2, 3, 4}));
}

TEST(Resize, ConstantsStayConstant) {
  const Tensor x = F({1, 1, 5, 4}, std::vector<float>(20, 3.0f));
  for (const char* mode : {"nearest", "linear", "cubic"})
    for (const int64_t antialias : {0, 1})
      for (const char* coordinates :
           {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"}) {
        const Tensor y =
            Resize(x, {}, {1, 1, 3, 7},
                   {{"mode", S(mode)}, {"antialias", antialias}, {"coordinate_transformation_mode", S(coordinates)}});
        ExpectNear(y, F({1, 1, 3, 7}, std::vector<float>(21, 3.0f)));
      }
}

TEST(Resize, InferenceAndErrors) {
  const Node node = MakeNode("Resize");
  EXPECT_EQ(InferShapeOf(node, {{DType::kF32, {-1, 8, 7, 7}}, {}, {}},
                         {{1, Tensor(DType::kF32, {0})}, {2, F({4}, {1, 1, 2, 2})}}),
            (Shape{-1, 8, 14, 14}));
  ExpectUserError([&] { InferShapeOf(node, {{DType::kF32, {1, 8, 7, 7}}}); }, {"(Resize)", "either scales or sizes"});
  ExpectUserError(
      [&] {
        Resize(F({1, 1, 1, 1}, {1}), {1, 1, 2, 2}, {}, {{"mode", S("area")}});
      },
      {"mode is 'area'", "linear"});
  ExpectUserError([&] { Resize(F({1, 1, 1, 1}, {1}), {2, 2}, {}, {}); }, {"2 scales for 4 axes"});
}

}  // namespace
}  // namespace octet::ops
