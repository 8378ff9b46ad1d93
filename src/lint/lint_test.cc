// Every rule of octet lint: the smallest model that breaks it, and one beside it that does not.
#include "lint/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"

namespace octet::lint {
namespace {

using onnx::RawModel;
using onnx::RawNode;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// Builds small raw models; "x" is the input of shape [1, 16, 8, 8].
struct Builder {
  Builder() {
    model.opset = 13;
    model.path = "test.onnx";
    Input("x", {1, 16, 8, 8});
  }
  void Input(const std::string& name, Shape shape) {
    onnx::RawValue v;
    v.name = name;
    v.typed = true;
    v.type.shape = shape;
    v.dim_names.resize(shape.size());
    model.inputs.push_back(v);
    shapes[name] = shape;
  }
  void Output(const std::string& name) {
    onnx::RawValue v;
    v.name = name;
    model.outputs.push_back(v);
  }
  std::string Constant(const std::string& name, Tensor t) {
    model.initializers.emplace_back(name, std::move(t));
    return name;
  }
  std::string Float(const std::string& name, float v) { return Constant(name, Tensor::Scalar(v)); }
  std::string Node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
                   ir::Attrs attrs = {}) {
    RawNode n;
    n.op = op;
    n.name = output;
    n.inputs = inputs;
    n.outputs = {output};
    n.attrs = std::move(attrs);
    model.nodes.push_back(n);
    return output;
  }
  // A per-tensor pair around `x`; returns the dequantized name.
  std::string Pair(const std::string& x, float scale = 0.1f, const std::string& tag = "") {
    const std::string base = x + tag;
    Float(base + ".s", scale);
    Constant(base + ".z", Tensor::Scalar<int8_t>(0));
    Node("QuantizeLinear", {x, base + ".s", base + ".z"}, base + ".q");
    return Node("DequantizeLinear", {base + ".q", base + ".s", base + ".z"}, base + ".dq");
  }
  // Weights [out, in, k, k] of value 1, with a per-channel pair; returns the dequantized name.
  std::string Weights(const std::string& name, Shape shape, float scale = 1.0f / 127, int64_t channels = 0) {
    Tensor w(DType::kF32, shape);
    for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] = 1;
    if (channels == 0) channels = shape[0];
    Constant(name, w);
    Constant(name + ".s", Tensor::From<float>({channels}, std::vector<float>(static_cast<size_t>(channels), scale)));
    Constant(name + ".z", Tensor(DType::kS8, {channels}));
    const ir::Attrs axis = {{"axis", int64_t{0}}};
    Node("QuantizeLinear", {name, name + ".s", name + ".z"}, name + ".q", axis);
    return Node("DequantizeLinear", {name + ".q", name + ".s", name + ".z"}, name + ".dq", axis);
  }
  std::string FloatWeights(const std::string& name, Shape shape) { return Constant(name, Tensor(DType::kF32, shape)); }
  // A quantized 3x3 convolution of 16 to 16 channels.
  std::string Conv(const std::string& x, const std::string& name) {
    return Node("Conv", {x, Weights(name + ".w", {16, 16, 3, 3})}, name);
  }

  std::set<std::string> Rules(const std::string& target, const tensorrt::CalibrationCache* cache = nullptr,
                              bool fp16 = false) const {
    std::set<std::string> rules;
    for (const Finding& f : Run(target, cache, fp16).findings) rules.insert(f.rule);
    return rules;
  }
  Report Run(const std::string& target, const tensorrt::CalibrationCache* cache = nullptr, bool fp16 = false) const {
    const ModelView view(model, shapes);
    LintOptions options;
    options.target = ParseTarget(target);
    options.cache = cache;
    options.expects_fp16 = fp16;
    return Lint(view, options);
  }

  RawModel model;
  std::map<std::string, Shape> shapes;
};

tensorrt::CalibrationCache Cache(const std::vector<std::pair<std::string, float>>& entries, int version = 8601) {
  tensorrt::CalibrationCache cache;
  cache.version = version;
  for (const auto& [name, scale] : entries) cache.entries.push_back({name, scale});
  return cache;
}

void Set(RawModel* model, const std::string& initializer, Tensor t) {
  for (auto& [name, tensor] : model->initializers) {
    if (name == initializer) tensor = t;
  }
}

// A well-made network: two convolutions, the second with a residual.
Builder Good() {
  Builder b;
  const std::string x = b.Pair("x");
  b.Node("Relu", {b.Conv(x, "a")}, "ar");
  const std::string a = b.Pair("ar");
  b.Node("Add", {b.Conv(a, "b"), a}, "sum");
  b.Node("Relu", {"sum"}, "br");
  const std::string y = b.Pair("br");
  b.Node("MaxPool", {y}, "pool", {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  b.Conv("pool", "c");
  b.Output("c");
  return b;
}

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

// x -> conv a -> relu ar -> maxpool p -> conv b, without Q/DQ.
Builder FloatNetwork() {
  Builder b;
  b.Node("Conv", {"x", b.FloatWeights("w", {16, 16, 3, 3})}, "a");
  b.Node("Relu", {"a"}, "ar");
  b.Node("MaxPool", {"ar"}, "p", {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  b.Node("Conv", {"p", b.FloatWeights("w2", {16, 16, 3, 3})}, "b");
  b.Output("b");
  return b;
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
  Builder islands;
  std::string at = "x";
  for (int i = 0; i < 17; ++i) {
    at = islands.Node("Relu", {at}, "r" + std::to_string(i));
    at = islands.Node("Erf", {at}, "e" + std::to_string(i));
  }
  EXPECT_THAT(islands.Rules("dla-orin"), Contains("dla-loadables"));
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
