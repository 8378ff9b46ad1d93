// Every rule of octet lint about nodes: the smallest model that breaks it, and one beside it that does not.
#include "lint/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "lint/lint_test_models.h"

namespace octet::lint {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Lint, WellMadeNetworkHasNoFindings) {
  for (const char* target : {"trt-8.6", "trt-10.3", "trt-11"}) {
    const Report report = Good().Run(target);
    EXPECT_TRUE(report.findings.empty()) << FormatText(report, "f", target, true);
  }
  const Report ort = Good().Run("ort");
  EXPECT_EQ(ort.errors + ort.warnings, 0) << FormatText(ort, "f", "ort", true);
}

TEST(Lint, ZeroPoints) {
  Builder b = Good();
  Set(&b.model, "x.z", Tensor::Scalar<int8_t>(3));
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("zero-point-not-zero"));
  EXPECT_THAT(b.Rules("ort"), Not(Contains("zero-point-not-zero")));
  Set(&b.model, "x.z", Tensor::Scalar<uint8_t>(0));
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("zero-point-type"));
  EXPECT_THAT(b.Rules("ort"), Not(Contains("zero-point-type")));
  Set(&b.model, "x.z", Tensor(DType::kS8, {2}));
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("zero-point-count"));
  for (RawNode& n : b.model.nodes) {
    if (n.name == "x.q") n.inputs.pop_back();
  }
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("zero-point-missing"));
  EXPECT_THAT(Good().Rules("trt-8.6"), Not(Contains("zero-point-missing")));
  Builder computed = Good();
  computed.Node("Neg", {"x"}, "computed");
  computed.model.nodes[0].inputs[2] = "computed";
  EXPECT_THAT(computed.Rules("trt-8.6"), Contains("zero-point-not-constant"));
}

TEST(Lint, Scales) {
  for (const float bad :
       {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Builder b = Good();
    Set(&b.model, "x.s", Tensor::Scalar(bad));
    EXPECT_THAT(b.Rules("trt-8.6"), Contains("scale-not-positive"));
    EXPECT_THAT(b.Rules("ort"), Contains("scale-not-positive"));
  }
  Builder computed = Good();
  computed.Node("Abs", {"x"}, "computed");
  computed.model.nodes[0].inputs[1] = "computed";
  EXPECT_THAT(computed.Rules("trt-8.6"), Contains("scale-not-constant"));
  EXPECT_THAT(computed.Rules("ort"), Not(Contains("scale-not-constant")));
  Builder channels = Good();
  Set(&channels.model, "x.s", Tensor::From<float>({16}, std::vector<float>(16, 0.1f)));
  Set(&channels.model, "x.z", Tensor(DType::kS8, {16}));
  EXPECT_THAT(channels.Rules("trt-8.6"), Contains("per-channel-activation"));
  EXPECT_THAT(channels.Rules("trt-8.6"), Contains("axis-missing"));
  EXPECT_THAT(channels.Rules("trt-8.6"), Not(Contains("scale-count")));
  EXPECT_THAT(Good().Rules("trt-8.6"), Not(Contains("axis-missing")));
  Builder count = Good();
  Set(&count.model, "a.w.s", Tensor::From<float>({15}, std::vector<float>(15, 0.1f)));
  EXPECT_THAT(count.Rules("trt-8.6"), Contains("scale-count"));
  Builder old = Good();
  old.model.opset = 12;
  EXPECT_THAT(old.Rules("trt-8.6"), Contains("per-channel-opset"));
  EXPECT_THAT(old.Rules("trt-8.6"), Not(Contains("quantize-opset")));
  old.model.opset = 9;
  EXPECT_THAT(old.Rules("trt-8.6"), Contains("quantize-opset"));
}

TEST(Lint, IntegerOperatorsAndData) {
  for (const char* op : {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
                         "com.microsoft.QLinearAdd"}) {
    Builder b;
    b.Node(op, {"x"}, "y");
    EXPECT_THAT(b.Rules("trt-8.6"), Contains("unsupported-quantized-op")) << op;
    EXPECT_THAT(b.Rules("ort"), Not(Contains("unsupported-quantized-op"))) << op;
  }
  Builder custom;
  custom.Node("onnx.brevitas.Quant", {"x"}, "y");
  EXPECT_THAT(custom.Rules("trt-8.6"), Contains("custom-operator"));
  Builder bias;
  bias.Constant("b", Tensor(DType::kS32, {16}));
  bias.Float("s", 1);
  bias.Node("DequantizeLinear", {"b", "s"}, "bias");
  EXPECT_THAT(bias.Rules("trt-10.3"), Contains("int32-dequantize"));
  Set(&bias.model, "b", Tensor(DType::kU8, {16}));
  EXPECT_THAT(bias.Rules("trt-10.3"), Contains("codes-type"));
  Set(&bias.model, "b", Tensor(DType::kS8, {16}));
  EXPECT_TRUE(bias.Rules("trt-10.3").empty());
}

TEST(Lint, LayersQuantizedByHalf) {
  Builder b;
  b.Node("Conv", {b.Pair("x"), b.FloatWeights("w", {16, 16, 3, 3})}, "y");
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("half-quantized-layer"));
  EXPECT_THAT(b.Rules("ort"), Contains("half-quantized-layer"));
  Builder other;
  other.Node("Conv", {"x", other.Weights("w", {16, 16, 3, 3})}, "y");
  EXPECT_THAT(other.Rules("trt-8.6"), Contains("half-quantized-layer"));
}

// octet leaves output layers in floating point: a note, while in the middle of a network it is a warning.
TEST(Lint, OutputLayersInFloatingPointAreNotes) {
  Builder b;
  b.Node("Conv", {b.Pair("x"), b.FloatWeights("w", {16, 16, 3, 3})}, "y");
  b.Node("Sigmoid", {"y"}, "z");
  EXPECT_EQ(b.Run("trt-8.6").warnings, 0);
  b.Conv(b.Pair("z"), "c");
  EXPECT_EQ(b.Run("trt-8.6").warnings, 1);
}

// ShuffleNet's shuffle: concat, reshape, transpose, reshape, two gathers. The codes go through, however many follow.
TEST(Lint, QuantizedTensorsBehindAChannelShuffle) {
  Builder b;
  std::string left = b.Pair("x"), right = b.Pair("x", 0.1f, "2");
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    const std::string joined = b.Node("Concat", {left, right}, "joined" + n, {{"axis", int64_t{1}}});
    b.Node("Transpose", {b.Node("Reshape", {joined, "shape"}, "split" + n)}, "turned" + n);
    b.Node("Reshape", {"turned" + n, "shape"}, "halves" + n);
    left = b.Node("Gather", {"halves" + n, "zero"}, "left" + n);
    right = b.Pair(b.Node("Relu", {b.Conv(b.Node("Gather", {"halves" + n, "one"}, "in" + n), "c" + n)}, "r" + n));
  }
  const Report report = b.Run("trt-8.6");
  EXPECT_EQ(report.warnings, 0) << (report.findings.empty() ? "" : report.findings[0].where);
  b.Node("Concat", {left, "r0"}, "mixed", {{"axis", int64_t{1}}});
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("mixed-inputs"));
}

TEST(Lint, WeightsThatSaturate) {
  Builder b;
  b.Node("Conv", {b.Pair("x"), b.Weights("w", {16, 16, 3, 3}, 0.9f / 127)}, "y");
  EXPECT_THAT(b.Rules("trt-8.6"), Contains("weight-scale-clips"));
}

TEST(Lint, PairsInsideFusions) {
  for (const char* op : {"Relu", "BatchNormalization", "Clip", "LeakyRelu", "Sigmoid"}) {
    Builder b;
    const std::string conv = b.Conv(b.Pair("x"), "a");
    b.Node(op, {b.Pair(conv)}, "y");
    EXPECT_THAT(b.Rules("trt-8.6"), Contains("pair-inside-fusion")) << op;
  }
  Builder pad;
  pad.Node("Pad", {"x"}, "p");
  pad.Conv(pad.Pair("p"), "c");
  EXPECT_THAT(pad.Rules("trt-8.6"), Contains("pair-between-pad-and-conv"));
  Builder before;
  before.Node("Pad", {before.Pair("x")}, "p");
  before.Conv("p", "c");
  EXPECT_TRUE(before.Rules("trt-8.6").empty());
}

TEST(Lint, Residuals) {
  Builder none;
  const std::string x = none.Pair("x");
  none.Node("Add", {none.Conv(x, "a"), "x"}, "sum");
  EXPECT_THAT(none.Rules("trt-8.6"), Contains("skip-not-quantized"));
  Builder branch;
  const std::string y = branch.Pair("x");
  branch.Node("Add", {branch.Pair(branch.Conv(y, "a")), y}, "sum");
  EXPECT_THAT(branch.Rules("trt-8.6"), Contains("pair-on-conv-branch"));
  // Two convolutions: exactly one of them carries the pair.
  for (const int pairs : {0, 1, 2}) {
    Builder two;
    const std::string z = two.Pair("x");
    std::string a = two.Conv(z, "a"), b = two.Conv(z, "b");
    if (pairs > 0) a = two.Pair(a);
    if (pairs > 1) b = two.Pair(b);
    two.Node("Add", {a, b}, "sum");
    EXPECT_EQ(two.Rules("trt-8.6").count("skip-not-quantized"), pairs == 0 ? 1U : 0U);
    EXPECT_EQ(two.Rules("trt-8.6").count("pair-on-conv-branch"), pairs == 2 ? 1U : 0U);
  }
  Builder mixed;
  mixed.Node("Relu", {"x"}, "r");
  mixed.Node("Add", {mixed.Pair("x"), "r"}, "sum");
  EXPECT_THAT(mixed.Rules("trt-8.6"), Contains("mixed-inputs"));
}

TEST(Lint, ScalesOfNeighbours) {
  Builder several = Good();
  several.Conv(several.Pair("ar", 0.2f, ".again"), "d");
  EXPECT_THAT(several.Rules("trt-8.6"), Contains("several-scales"));
  for (const float second : {0.1f, 0.3f}) {
    Builder concat;
    concat.Node("Relu", {"x"}, "r");
    concat.Node("Concat", {concat.Pair("x", 0.1f), concat.Pair("r", second)}, "y", {{"axis", int64_t{1}}});
    EXPECT_EQ(concat.Rules("trt-8.6").count("concat-scales"), second == 0.1f ? 0U : 1U);
    Builder pool;
    pool.Node("MaxPool", {pool.Pair("x", 0.1f)}, "m", {{"kernel_shape", std::vector<int64_t>{2, 2}}});
    pool.Conv(pool.Pair("m", second), "c");
    EXPECT_EQ(pool.Rules("trt-8.6").count("maxpool-scales"), second == 0.1f ? 0U : 1U);
  }
  Builder half;
  half.Node("Concat", {half.Pair("x"), "x"}, "y", {{"axis", int64_t{1}}});
  EXPECT_THAT(half.Rules("trt-8.6"), Contains("mixed-inputs"));
}

TEST(Lint, FloatInTheMiddle) {
  for (const bool pair : {false, true}) {
    Builder b;
    b.Node("AveragePool", {b.Pair("x")}, "p", {{"kernel_shape", std::vector<int64_t>{2, 2}}});
    b.Node("Exp", {pair ? b.Pair("p") : "p"}, "s");
    b.Conv(b.Pair("s"), "c");
    EXPECT_EQ(b.Rules("trt-8.6").count("int8-in-float-out"), pair ? 0U : 1U);
  }
  // At the end of the network floating point is as it should be.
  Builder end;
  end.Node("GlobalAveragePool", {end.Pair("x")}, "p");
  end.Output("p");
  EXPECT_TRUE(end.Rules("trt-8.6").empty());
  Builder mul;
  mul.Node("Sigmoid", {"x"}, "s");
  mul.Node("Mul", {mul.Pair("x"), "s"}, "y");
  EXPECT_THAT(mul.Rules("trt-8.6"), Contains("mixed-inputs"));
  Builder single;
  single.Float("s", 0.1f);
  single.Constant("z", Tensor::Scalar<int8_t>(0));
  single.Node("QuantizeLinear", {"x", "s", "z"}, "q");
  single.Node("Cast", {"q"}, "y");
  EXPECT_THAT(single.Rules("trt-8.6"), Contains("quantize-without-dequantize"));
}

TEST(Lint, Efficiency) {
  Builder grouped;
  grouped.Node("Conv", {grouped.Pair("x"), grouped.Weights("w", {16, 2, 3, 3})}, "y", {{"group", int64_t{8}}});
  EXPECT_THAT(grouped.Rules("trt-8.6"), Contains("grouped-conv-channels"));
  Builder depthwise;
  depthwise.Node("Conv", {depthwise.Pair("x"), depthwise.Weights("w", {16, 1, 3, 3})}, "y", {{"group", int64_t{16}}});
  EXPECT_TRUE(depthwise.Rules("trt-8.6").empty());
  Builder odd;
  odd.Node("Conv", {odd.Pair("x"), odd.Weights("w", {24, 16, 1, 1})}, "y");
  EXPECT_THAT(odd.Rules("trt-8.6"), Contains("channels-not-multiple-of-16"));
  Builder few;
  few.Node("Conv", {few.Pair("x"), few.Weights("w", {8, 16, 1, 1})}, "y");
  EXPECT_THAT(few.Rules("trt-8.6"), Contains("few-channels"));
  Builder gemm;
  gemm.Node("Gemm", {gemm.Pair("x"), gemm.Weights("w", {10, 64})}, "y");
  EXPECT_THAT(gemm.Rules("trt-8.6"), Contains("small-gemm"));
  Builder hardswish = Good();
  hardswish.Float("three", 3);
  hardswish.Node("Add", {"c", "three"}, "c3");
  hardswish.Node("Clip", {"c3"}, "c6");
  hardswish.Node("Mul", {"c", "c6"}, "h");
  EXPECT_THAT(hardswish.Rules("trt-8.6"), Contains("hardswish-in-pieces"));
  Builder mish = Good();
  mish.Node("Softplus", {"c"}, "sp");
  mish.Node("Tanh", {"sp"}, "t");
  mish.Node("Mul", {"c", "t"}, "m");
  EXPECT_THAT(mish.Rules("trt-8.6"), Contains("float-activation"));
  Builder gelu = Good();
  gelu.Node("Erf", {"c"}, "e");
  EXPECT_THAT(gelu.Rules("trt-8.6"), Contains("float-activation"));
  Builder bn = Good();
  bn.Node("BatchNormalization", {"c"}, "n", {{"training_mode", int64_t{1}}});
  EXPECT_THAT(bn.Rules("trt-8.6"), Contains("batch-norm-training"));
  Builder newer = Good();
  newer.model.opset = 20;
  EXPECT_THAT(newer.Rules("trt-8.6"), Contains("opset-too-new"));
  EXPECT_THAT(newer.Rules("trt-10.3"), Not(Contains("opset-too-new")));
}

TEST(Lint, OnnxRuntime) {
  EXPECT_THAT(Good().Rules("ort"), Contains("signed-activations"));
  Builder b = Good();
  Set(&b.model, "a.w.z", Tensor(DType::kU8, {16}));
  EXPECT_THAT(b.Rules("ort"), Contains("unsigned-weights"));
  EXPECT_THAT(Good().Rules("ort"), Not(Contains("unsigned-weights")));
}

TEST(Lint, Targets) {
  EXPECT_EQ(ParseTarget("trt-10.3").major, 10);
  EXPECT_EQ(ParseTarget("trt-10.3").minor, 3);
  EXPECT_EQ(ParseTarget("trt-11").major, 11);
  EXPECT_TRUE(ParseTarget("dla-xavier").xavier);
  for (const char* bad : {"trt", "trt-", "trt-7.1", "trt-8.6x", "trt-x", "dla", "ORT", ""}) {
    try {
      ParseTarget(bad);
      FAIL() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 1);
      EXPECT_THAT(e.what(), HasSubstr("expected trt-8.6"));
    }
  }
}

TEST(Lint, TextAndJson) {
  Builder b = Good();
  Set(&b.model, "x.z", Tensor::Scalar<int8_t>(3));
  const Report report = b.Run("trt-8.6");
  const std::string text = FormatText(report, "m.onnx", "trt-8.6", false);
  EXPECT_THAT(text, HasSubstr("node 'x.q' (QuantizeLinear): error: its zero point is 3"));
  EXPECT_THAT(text, HasSubstr("[zero-point-not-zero]"));
  EXPECT_THAT(text, HasSubstr("m.onnx for trt-8.6: 2 errors, 0 warnings, 0 notes"));
  const auto json = nlohmann::json::parse(FormatJson(report, "m.onnx", "trt-8.6"));
  EXPECT_EQ(json["errors"], 2);
  EXPECT_EQ(json["findings"][0]["rule"], "zero-point-not-zero");
  EXPECT_EQ(json["findings"][0]["severity"], "error");
}

// Rings, missing inputs, nodes without outputs: a finding or none, never a crash.
TEST(Lint, BrokenModels) {
  Builder b;
  b.Node("Identity", {"b"}, "a");
  b.Node("Identity", {"a"}, "b");
  b.Node("Conv", {"b"}, "c");
  b.Node("MaxPool", {}, "m");
  b.Node("QuantizeLinear", {}, "q");
  b.Node("Add", {"nowhere", "c"}, "d");
  b.model.nodes.push_back(RawNode{});
  b.model.nodes.back().op = "DequantizeLinear";
  const auto cache = Cache({{"x", 0.1f}});
  for (const char* target : {"trt-8.6", "trt-11", "dla-orin", "ort"}) b.Run(target, &cache);
}

}  // namespace
}  // namespace octet::lint
