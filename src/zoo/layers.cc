#include "zoo/layers.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "ir/op_def.h"

namespace octet::zoo {

using ir::Attrs;
using ir::ValueId;

int64_t Layers::Channels(ValueId x) const {
  return graph_.value(x).type.shape.at(1);
}

Tensor Layers::Normal(const Shape& shape, double stddev) {
  Tensor t(DType::kF32, shape);
  if (!options_.init_weights) return t;
  std::normal_distribution<float> normal(0.0f, static_cast<float>(stddev));
  auto* p = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) p[i] = normal(rng_);
  return t;
}

Tensor Layers::Uniform(const Shape& shape, double limit) {
  Tensor t(DType::kF32, shape);
  if (!options_.init_weights) return t;
  std::uniform_real_distribution<float> uniform(static_cast<float>(-limit), static_cast<float>(limit));
  auto* p = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) p[i] = uniform(rng_);
  return t;
}

ir::NodeId Layers::AddNode(const std::string& op, const std::string& name, std::vector<ValueId> inputs, Attrs attrs,
                           const std::vector<std::string>& outputs) {
  const ir::NodeId id = graph_.AddNode(op, name, std::move(inputs),
                                       outputs.empty() ? std::vector<std::string>{name} : outputs, std::move(attrs));
  const ir::Node& node = graph_.node(id);
  std::vector<const ir::Value*> values;
  for (const ValueId in : node.inputs) values.push_back(in == ir::kNoValue ? nullptr : &graph_.value(in));
  const std::vector<ir::TensorType> types = ir::GetOp(node).infer(node, values);
  for (size_t i = 0; i < node.outputs.size(); ++i) graph_.set_type(node.outputs[i], types.at(i));
  return id;
}

ValueId Layers::AddTyped(const std::string& op, const std::string& name, std::vector<ValueId> inputs, Attrs attrs,
                         const std::string& output) {
  return graph_.node(AddNode(op, name, std::move(inputs), std::move(attrs), {output.empty() ? name : output})).output();
}

std::vector<int64_t> Layers::SamePads(ValueId x, int64_t kernel, int64_t stride) const {
  std::vector<int64_t> pads(4);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t size = graph_.value(x).type.shape.at(2 + i);
    const int64_t total = std::max<int64_t>(0, ((size + stride - 1) / stride - 1) * stride + kernel - size);
    pads[i] = total / 2;
    pads[i + 2] = total - total / 2;
  }
  return pads;
}

ValueId Layers::Conv(const std::string& name, ValueId x, const ConvOptions& conv) {
  const int64_t in_channels = Channels(x);
  OCTET_CHECK(in_channels % conv.group == 0 && conv.out_channels % conv.group == 0, "{} channels in {} groups",
              in_channels, conv.group);
  const int64_t pad = conv.pad >= 0 ? conv.pad : (conv.kernel - 1) / 2;
  const std::vector<int64_t> pads = conv.same ? SamePads(x, conv.kernel, conv.stride) : std::vector<int64_t>(4, pad);
  const Shape shape = {conv.out_channels, in_channels / conv.group, conv.kernel, conv.kernel};
  const double fan_out = static_cast<double>(conv.kernel * conv.kernel * conv.out_channels) / conv.group;
  const double stddev = conv.stddev > 0 ? conv.stddev : std::sqrt(2.0 / fan_out);
  const std::string owner = conv.weights_of.empty() ? name : conv.weights_of;
  const auto constant = [&](const std::string& suffix, const std::function<Tensor()>& make) {
    const ValueId known = conv.weights_of.empty() ? ir::kNoValue : graph_.Find(owner + suffix);
    return known != ir::kNoValue ? known : graph_.AddConstant(owner + suffix, make());
  };
  std::vector<ValueId> inputs = {x, constant(".weight", [&] { return Normal(shape, stddev); })};
  if (conv.bias.value_or(options_.use_bias || !options_.use_batch_norm)) {
    inputs.push_back(constant(".bias", [&] {
      return Tensor::From<float>({conv.out_channels},
                                 std::vector<float>(static_cast<size_t>(conv.out_channels), conv.bias_value));
    }));
  }
  return AddTyped("Conv", name, inputs,
                  {{"kernel_shape", std::vector<int64_t>{conv.kernel, conv.kernel}},
                   {"strides", std::vector<int64_t>{conv.stride, conv.stride}},
                   {"pads", pads},
                   {"group", conv.group}});
}

ValueId Layers::BatchNorm(const std::string& name, ValueId x) {
  if (!options_.use_batch_norm) return x;
  const int64_t c = Channels(x);
  const auto filled = [&](const std::string& suffix, float value) {
    return graph_.AddConstant(name + suffix,
                              Tensor::From<float>({c}, std::vector<float>(static_cast<size_t>(c), value)));
  };
  return AddTyped("BatchNormalization", name,
                  {x, filled(".scale", 1.0f), filled(".bias", 0.0f), filled(".mean", 0.0f), filled(".var", 1.0f)},
                  {{"epsilon", options_.bn_epsilon}, {"momentum", options_.bn_momentum}});
}

ValueId Layers::Activation(const std::string& name, ValueId x, const std::string& wanted) {
  const std::string& kind = wanted.empty() ? options_.activation : wanted;
  if (kind == "none") return x;
  if (kind == "relu") return AddTyped("Relu", name, {x});
  if (kind == "leaky_relu") return AddTyped("LeakyRelu", name, {x}, {{"alpha", 0.1f}});
  if (kind == "hard_swish") return AddTyped("HardSwish", name, {x});
  if (kind == "mish") return AddTyped("Mish", name, {x});
  if (kind == "swish") return AddTyped("Mul", name, {x, AddTyped("Sigmoid", name + "_sigmoid", {x})});
  if (kind == "relu6") {
    return AddTyped("Clip", name,
                    {x, graph_.AddConstant(name + ".min", Tensor::Scalar(0.0f)),
                     graph_.AddConstant(name + ".max", Tensor::Scalar(6.0f))});
  }
  OCTET_FAIL("unknown activation '{}'; expected relu, relu6, leaky_relu, swish, hard_swish, mish or none", kind);
}

ValueId Layers::Add(const std::string& name, ValueId a, ValueId b) {
  return AddTyped("Add", name, {a, b});
}

ValueId Layers::MaxPool(const std::string& name, ValueId x, int64_t kernel, int64_t stride, int64_t pad) {
  return AddTyped("MaxPool", name, {x},
                  {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
                   {"strides", std::vector<int64_t>{stride, stride}},
                   {"pads", std::vector<int64_t>(4, pad)}});
}

ValueId Layers::MaxPoolSame(const std::string& name, ValueId x, int64_t kernel, int64_t stride) {
  return AddTyped("MaxPool", name, {x},
                  {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
                   {"strides", std::vector<int64_t>{stride, stride}},
                   {"pads", SamePads(x, kernel, stride)}});
}

ValueId Layers::UpsampleNearest(const std::string& name, ValueId x, int64_t factor) {
  const auto scale = static_cast<float>(factor);
  const ValueId scales = graph_.AddConstant(name + ".scales", Tensor::From<float>({4}, {1, 1, scale, scale}));
  return AddTyped("Resize", name, {x, ir::kNoValue, scales},
                  {{"mode", std::string("nearest")},
                   {"coordinate_transformation_mode", std::string("asymmetric")},
                   {"nearest_mode", std::string("floor")}});
}

ValueId Layers::GlobalAveragePool(const std::string& name, ValueId x) {
  return AddTyped("GlobalAveragePool", name, {x});
}

ValueId Layers::Concat(const std::string& name, std::vector<ValueId> inputs) {
  return AddTyped("Concat", name, std::move(inputs), {{"axis", int64_t{1}}});
}

ValueId Layers::Dropout(const std::string& name, ValueId x, float rate, bool per_sample) {
  Attrs attrs;
  if (per_sample) attrs["per_sample"] = int64_t{1};
  return AddTyped("Dropout", name, {x, graph_.AddConstant(name + ".rate", Tensor::Scalar(rate))}, attrs);
}

ValueId Layers::SqueezeExcite(const std::string& prefix, ValueId x, const SqueezeExciteOptions& options) {
  ConvOptions conv;
  conv.bias = true;
  conv.out_channels = options.reduced;
  ValueId y = Conv(prefix + "se_reduce", GlobalAveragePool(prefix + "se_squeeze", x), conv);
  y = Activation(prefix + "se_reduce_activation", y, options.activation);
  conv.out_channels = Channels(x);
  y = Conv(prefix + "se_expand", y, conv);
  const std::string gate = prefix + "se_gate";
  y = options.hard_gate ? AddTyped("HardSigmoid", gate, {y}, {{"alpha", 1.0f / 6.0f}, {"beta", 0.5f}})
                        : AddTyped("Sigmoid", gate, {y});
  return AddTyped("Mul", prefix + "se_excite", {x, y});
}

void Layers::ClassifierHead(ValueId x, int64_t classes, bool pooled, float dropout) {
  const int64_t features = Channels(x);
  ValueId y = pooled ? x : GlobalAveragePool("avg_pool", x);
  y = AddTyped("Flatten", "flatten", {y}, {{"axis", int64_t{1}}});
  if (dropout > 0) y = Dropout("top_dropout", y, dropout, /*per_sample=*/false);
  const ValueId weight = graph_.AddConstant(
      "predictions_dense.weight", Uniform({classes, features}, std::sqrt(1.0 / static_cast<double>(features))));
  const ValueId bias = graph_.AddConstant("predictions_dense.bias", Tensor(DType::kF32, {classes}));
  y = AddTyped("Gemm", "predictions_dense", {y, weight, bias}, {{"transB", int64_t{1}}}, "logits");
  graph_.MarkOutput(AddTyped("Softmax", "predictions", {y}, {{"axis", int64_t{1}}}));
}

}  // namespace octet::zoo
