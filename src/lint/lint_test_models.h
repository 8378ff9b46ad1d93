// For the tests of octet lint: small raw models, and the rules that they break.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lint/lint.h"

namespace octet::lint {

using onnx::RawModel;
using onnx::RawNode;

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

inline tensorrt::CalibrationCache Cache(const std::vector<std::pair<std::string, float>>& entries, int version = 8601) {
  tensorrt::CalibrationCache cache;
  cache.version = version;
  for (const auto& [name, scale] : entries) cache.entries.push_back({name, scale});
  return cache;
}

inline void Set(RawModel* model, const std::string& initializer, Tensor t) {
  for (auto& [name, tensor] : model->initializers) {
    if (name == initializer) tensor = t;
  }
}

// A well-made network: two convolutions, the second with a residual.
inline Builder Good() {
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

// x -> conv a -> relu ar -> maxpool p -> conv b, without Q/DQ.
inline Builder FloatNetwork() {
  Builder b;
  b.Node("Conv", {"x", b.FloatWeights("w", {16, 16, 3, 3})}, "a");
  b.Node("Relu", {"a"}, "ar");
  b.Node("MaxPool", {"ar"}, "p", {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  b.Node("Conv", {"p", b.FloatWeights("w2", {16, 16, 3, 3})}, "b");
  b.Output("b");
  return b;
}

}  // namespace octet::lint
