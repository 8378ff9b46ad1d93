// For tests: one node, run by its reference kernel, with types checked against inference.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "ops/install.h"
#include "ops/rules.h"

namespace octet::ops {

inline Node MakeNode(const std::string& op, ir::Attrs attrs = {}, size_t outputs = 1) {
  InstallOps();
  Node node;
  node.op = op;
  node.name = "n";
  node.attrs = std::move(attrs);
  for (size_t i = 0; i < outputs; ++i) node.outputs.push_back(static_cast<ir::ValueId>(100 + i));
  return node;
}

// All outputs. Every output has the type that inference gives.
inline Tensors RunNode(const Node& node, const Tensors& inputs) {
  const Types types = TypesOf(node, inputs);
  Tensors outputs = ir::GetOp(node).reference(node, inputs);
  EXPECT_GE(outputs.size(), node.outputs.size());
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    EXPECT_EQ(types[i], (TensorType{outputs[i].dtype(), outputs[i].shape()})) << node.op << " output " << i;
  }
  return outputs;
}

inline Tensor RunOne(const std::string& op, const Tensors& inputs, ir::Attrs attrs = {}) {
  return RunNode(MakeNode(op, std::move(attrs)), inputs).at(0);
}

// The inferred shape of the first output for inputs of these shapes; `constants` by input index.
inline Shape InferShapeOf(const Node& node, const std::vector<TensorType>& types,
                          const std::map<size_t, Tensor>& constants = {}) {
  std::vector<ir::Value> values(types.size());
  Inputs inputs;
  for (size_t i = 0; i < types.size(); ++i) {
    values[i].name = "in" + std::to_string(i);
    values[i].type = types[i];
    if (constants.count(i) != 0) {
      values[i].constant = constants.at(i);
      values[i].type = {values[i].constant.dtype(), values[i].constant.shape()};
    }
    inputs.push_back(&values[i]);
  }
  return ir::GetOp(node).infer(node, inputs).at(0).shape;
}

inline Tensor F(Shape shape, const std::vector<float>& values) {
  return Tensor::From<float>(std::move(shape), values);
}
inline Tensor I(const std::vector<int64_t>& values) {
  return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values);
}

inline Tensor RandomF32(Shape shape, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Tensor t(DType::kF32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = uniform(random);
  return t;
}

inline Tensor RandomS8(Shape shape, uint32_t seed, int low = -128, int high = 127) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> uniform(low, high);
  Tensor t(DType::kS8, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<int8_t>()[i] = static_cast<int8_t>(uniform(random));
  return t;
}

inline void ExpectNear(const Tensor& actual, const Tensor& expected, double tolerance = 1e-6) {
  ASSERT_EQ(ToString(actual.shape()), ToString(expected.shape()));
  const auto a = actual.ToVector<double>(), b = expected.ToVector<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], tolerance * std::max(1.0, std::abs(b[i]))) << "element " << i;
  }
}

// Expects a user Error whose message has all the parts.
template <typename F>
void ExpectUserError(F&& f, const std::vector<std::string>& parts) {
  try {
    f();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    for (const std::string& part : parts) EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

}  // namespace octet::ops
