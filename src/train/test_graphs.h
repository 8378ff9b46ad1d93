// Small graphs from text, filled with seeded random numbers: for the tests of train/.
#pragma once

#include <cmath>
#include <random>
#include <string>

#include "ir/graph.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"

namespace octet::train {

inline Tensor RandomTensor(const Shape& shape, uint64_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Tensor t(DType::kF32, shape);
  float* data = t.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) data[i] = uniform(random);
  return t;
}

inline Tensor RandomCodes(const Shape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> uniform(-128, 127);
  Tensor t(DType::kS8, shape);
  auto* data = t.mutable_data<int8_t>();
  for (int64_t i = 0; i < t.size(); ++i) data[i] = static_cast<int8_t>(uniform(random));
  return t;
}

// Parses `text`; constants printed as `blob` become random (variances positive).
inline ir::Graph MakeGraph(const std::string& text, uint64_t seed = 1) {
  ops::InstallOps();
  ir::Graph graph = ir::Parse(text, {}, /*zero_blobs=*/true, "test");
  for (const ir::ValueId id : graph.constants()) {
    const Tensor& t = graph.value(id).constant;
    if (t.dtype() == DType::kS8 && t.size() > 8) graph.set_constant(id, RandomCodes(t.shape(), ++seed));
    if (t.dtype() != DType::kF32 || t.size() <= 8) continue;
    const bool positive = graph.value(id).name.find("var") != std::string::npos;
    graph.set_constant(id, RandomTensor(t.shape(), ++seed, positive ? 0.5f : -1.0f, positive ? 1.5f : 1.0f));
  }
  ir::InferTypes(graph);
  return graph;
}

// The CPU, a stand-in for what is not the CPU, and a GPU where there is one: other_device_test.cc.
std::vector<std::string> TestDevices();

inline double LargestDifference(const Tensor& a, const Tensor& b) {
  OCTET_CHECK(a.shape() == b.shape(), "{} and {}", ToString(a.shape()), ToString(b.shape()));
  const std::vector<double> x = a.ToVector<double>(), y = b.ToVector<double>();
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(std::fabs(x[i] - y[i]) <= worst)) worst = std::fabs(x[i] - y[i]);
  }
  return worst;
}

inline double SumOf(const Tensor& y, const Tensor& seed) {
  const std::vector<double> a = y.ToVector<double>(), b = seed.ToVector<double>();
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace octet::train
