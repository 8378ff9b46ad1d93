// Rules of octet lint about calibration caches, DLA and the precision of the rest of the network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lint/lint_test_models.h"

namespace octet::lint {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Lint, CacheOfNoVersionOfTensorRt) {
  const Builder b = FloatNetwork();
  const tensorrt::CalibrationCache cache = Cache({{"x", 0.1f}}, 110000);
  for (const Finding& f : b.Run("trt-8.6", &cache).findings) {
    if (f.rule == "cache-version") {
      EXPECT_THAT(f.reason, HasSubstr("110000, which no TensorRT from 5 to 10 has"));
      return;
    }
  }
  FAIL() << "no finding";
}

TEST(Lint, CacheAgainstModel) {
  const Builder b = FloatNetwork();
  const auto fused = Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.2f}});
  const Report good = b.Run("trt-8.6", &fused);
  EXPECT_EQ(good.errors + good.warnings, 0) << FormatText(good, "f", "t", true);
  EXPECT_THAT(b.Rules("trt-8.6", &fused), Contains("tensor-without-scale"));  // a note: the output
  const auto gap = Cache({{"x", 0.1f}, {"p", 0.2f}});
  EXPECT_EQ(b.Run("trt-8.6", &gap).warnings, 1);
  const auto stale =
      Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.2f}, {"gone", 1.0f}, {"(Unnamed Layer* 3) [Constant]_output", 1.0f}});
  EXPECT_EQ(b.Run("trt-8.6", &stale).warnings, 1);
  EXPECT_THAT(b.Rules("trt-8.6", &stale), Contains("scale-without-tensor"));
  const auto colon = Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.2f}, {"a:0", 1.0f}});
  EXPECT_THAT(b.Rules("trt-8.6", &colon), Contains("colon-in-name"));
  const auto zero = Cache({{"x", 0.0f}, {"ar", 0.2f}, {"p", 0.2f}});
  EXPECT_THAT(b.Rules("trt-8.6", &zero), Contains("scale-zero"));
  const auto pool = Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.3f}});
  EXPECT_THAT(b.Rules("trt-8.6", &pool), Contains("maxpool-scales"));
  EXPECT_THAT(b.Rules("trt-8.6", &fused), Not(Contains("cache-version")));
  EXPECT_THAT(b.Rules("trt-10.3", &fused), Contains("cache-version"));
  const auto ten = Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.2f}}, 100300);
  EXPECT_THAT(b.Rules("trt-10.3", &ten), Not(Contains("cache-version")));
  auto minmax = fused;
  minmax.algorithm = "MinMaxCalibration";
  EXPECT_THAT(b.Rules("trt-8.6", &minmax), Contains("cache-algorithm"));
  EXPECT_EQ(b.Run("trt-11", &fused).errors, 1);
  EXPECT_THAT(b.Rules("trt-11", &fused), Contains("cache-not-read"));
  EXPECT_THAT(Good().Rules("trt-8.6", &fused), Contains("cache-ignored"));
}

TEST(Lint, HalfPrecisionInTensorRt11) {
  Builder b = FloatNetwork();
  EXPECT_THAT(b.Rules("trt-11", nullptr, true), Contains("fp16-not-in-graph"));
  b.model.has_half = true;
  EXPECT_THAT(b.Rules("trt-11", nullptr, true), Not(Contains("fp16-not-in-graph")));
  b.model.has_half = false;
  EXPECT_THAT(b.Rules("trt-10.3", nullptr, true), Not(Contains("fp16-not-in-graph")));
}

TEST(Lint, DlaScales) {
  const Builder b = FloatNetwork();
  EXPECT_THAT(b.Rules("dla-orin"), Contains("dla-no-cache"));
  const auto full = Cache({{"x", 0.1f}, {"a", 0.2f}, {"ar", 0.2f}, {"p", 0.2f}, {"b", 0.3f}});
  EXPECT_TRUE(b.Rules("dla-orin", &full).empty());
  const auto fused = Cache({{"x", 0.1f}, {"ar", 0.2f}, {"p", 0.2f}, {"b", 0.3f}});
  EXPECT_EQ(b.Rules("dla-orin", &fused), std::set<std::string>{"dla-tensor-without-scale"});
  const auto output = Cache({{"x", 0.1f}, {"a", 0.2f}, {"ar", 0.2f}, {"p", 0.2f}});
  EXPECT_EQ(b.Rules("dla-orin", &output), std::set<std::string>{"dla-output-scale"});
  const auto pool = Cache({{"x", 0.1f}, {"a", 0.2f}, {"ar", 0.2f}, {"p", 0.3f}, {"b", 0.3f}});
  EXPECT_EQ(b.Rules("dla-orin", &pool), std::set<std::string>{"dla-pool-scales"});
  auto minmax = full;
  minmax.algorithm = "MinMaxCalibration";
  EXPECT_EQ(b.Run("dla-orin", &minmax).errors, 1);
  EXPECT_THAT(Good().Rules("dla-xavier", &full), Contains("dla-qdq"));
  Builder joins = FloatNetwork();
  joins.Node("Relu", {"ar"}, "r2");
  joins.Node("Concat", {"ar", "r2"}, "y", {{"axis", int64_t{1}}});
  joins.Node("Add", {"ar", "r2"}, "z");
  const auto same =
      Cache({{"x", 0.1f}, {"a", 0.2f}, {"ar", 0.2f}, {"p", 0.2f}, {"b", 0.3f}, {"r2", 0.2f}, {"y", 0.2f}, {"z", 0.4f}});
  EXPECT_TRUE(joins.Rules("dla-orin", &same).empty());
  const auto differ =
      Cache({{"x", 0.1f}, {"a", 0.2f}, {"ar", 0.2f}, {"p", 0.2f}, {"b", 0.3f}, {"r2", 0.3f}, {"y", 0.2f}, {"z", 0.4f}});
  EXPECT_EQ(joins.Rules("dla-orin", &differ), (std::set<std::string>{"dla-concat-scales", "dla-elementwise-scales"}));
}

TEST(Lint, DlaLayers) {
  const auto cache = Cache({{"x", 1.0f}, {"y", 1.0f}});
  const auto rules = [&](const std::string& op, const Tensor& w, ir::Attrs attrs, Shape input = {1, 16, 8, 8},
                         const std::string& target = "dla-orin") {
    Builder b;
    b.model.inputs[0].type.shape = input;
    std::vector<std::string> inputs = {"x"};
    if (w.defined()) inputs.push_back(b.Constant("w", w));
    b.Node(op, inputs, "y", std::move(attrs));
    return b.Rules(target, &cache);
  };
  using Ints = std::vector<int64_t>;
  const std::set<std::string> none, range = {"dla-range"};
  const Tensor w3(DType::kF32, {16, 16, 3, 3});
  EXPECT_EQ(rules("Conv", w3, {}), none);
  EXPECT_EQ(rules("Conv", Tensor(DType::kF32, {4, 16, 33, 1}), {}), range);
  EXPECT_EQ(rules("Conv", w3, {{"pads", Ints{3, 0, 3, 0}}}), range);
  EXPECT_EQ(rules("Conv", w3, {{"pads", Ints{2, 2, 2, 2}}}), none);
  EXPECT_EQ(rules("Conv", w3, {{"strides", Ints{9, 1}}}), range);
  EXPECT_EQ(rules("Conv", w3, {{"dilations", Ints{33, 1}}}), range);
  EXPECT_EQ(rules("Conv", Tensor(DType::kF32, {16, 16, 3}), {}), std::set<std::string>{"dla-dimensions"});
  EXPECT_EQ(rules("Conv", Tensor(DType::kF32, {16, 512, 5, 5}), {}, {1, 512, 64, 256}),
            std::set<std::string>{"dla-conv-buffer"});
  EXPECT_EQ(rules("Conv", w3, {}, {-1, 16, 8, 8}), std::set<std::string>{"dla-dynamic-shape"});
  EXPECT_EQ(rules("Conv", w3, {}, {5000, 16, 8, 8}), std::set<std::string>{"dla-dimensions"});
  EXPECT_EQ(rules("ConvTranspose", w3, {}), none);
  EXPECT_EQ(rules("ConvTranspose", w3, {{"group", int64_t{2}}}), range);
  EXPECT_EQ(rules("ConvTranspose", w3, {{"pads", Ints{1, 1, 1, 1}}}), range);
  EXPECT_EQ(rules("ConvTranspose", Tensor(DType::kF32, {16, 16, 24, 24}), {{"strides", Ints{24, 24}}}), range);
  EXPECT_EQ(rules("MaxPool", {}, {{"kernel_shape", Ints{9, 9}}}), range);
  EXPECT_EQ(rules("AveragePool", {}, {{"kernel_shape", Ints{8, 8}}}), none);
  EXPECT_EQ(rules("GlobalAveragePool", {}, {}), std::set<std::string>{"dla-fallback"});
  EXPECT_EQ(rules("Flatten", {}, {}), std::set<std::string>{"dla-reshape"});
  EXPECT_EQ(rules("Softmax", {}, {}), none);
  EXPECT_EQ(rules("Softmax", {}, {}, {1, 16, 8, 8}, "dla-xavier"), std::set<std::string>{"dla-fallback"});
  EXPECT_EQ(rules("LRN", {}, {{"size", int64_t{5}}}), none);
  EXPECT_EQ(rules("LRN", {}, {{"size", int64_t{11}}}), range);
  EXPECT_EQ(rules("Concat", {}, {{"axis", int64_t{2}}}), range);
  for (const float high : {6.0f, 0.5f}) {
    Builder b;
    b.Node("Clip", {"x", b.Float("low", 0), b.Float("high", high)}, "y");
    EXPECT_EQ(b.Rules("dla-orin", &cache), high == 6.0f ? none : range);
  }
  for (const float factor : {2.0f, 1.5f}) {
    Builder b;
    b.Node("Resize", {"x", "", b.Constant("s", Tensor::From<float>({4}, {1, 1, factor, factor}))}, "y");
    EXPECT_EQ(b.Rules("dla-orin", &cache), factor == 2.0f ? none : range);
  }
  for (const bool constant : {true, false}) {  // a reshaped initializer, as in MNIST-8, is one
    Builder b;
    b.Constant("w", Tensor(DType::kF32, {8, 8}));
    b.Constant("sizes", Tensor::From<int64_t>({2}, {8, 8}));
    b.Node("MatMul", {"x", b.Node("Reshape", {constant ? "w" : "x", "sizes"}, "second")}, "y");
    const auto rules = b.Rules("dla-orin", &cache);
    EXPECT_EQ(rules.count("dla-fallback"), constant ? 0u : 1u);
  }
  Builder islands;
  std::string at = "x";
  for (int i = 0; i < 17; ++i) {
    at = islands.Node("Relu", {at}, "r" + std::to_string(i));
    at = islands.Node("Erf", {at}, "e" + std::to_string(i));
  }
  EXPECT_THAT(islands.Rules("dla-orin"), Contains("dla-loadables"));
}

}  // namespace
}  // namespace octet::lint
