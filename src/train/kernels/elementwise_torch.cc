// Activations and elementwise arithmetic, with ONNX broadcasting.
#include <algorithm>
#include <limits>

#include "train/kernels/op_call.h"

namespace octet::train {
namespace {

using Tensors = std::vector<at::Tensor>;

template <at::Tensor (*F)(const at::Tensor&)>
Tensors Unary(OpCall& call) {
  return {F(call.input(0))};
}

template <at::Tensor (*F)(const at::Tensor&, const at::Tensor&)>
Tensors Binary(OpCall& call) {
  return {F(call.input(0), call.input(1))};
}

Tensors Add(OpCall& call) {
  return {at::add(call.input(0), call.input(1))};
}
Tensors Sub(OpCall& call) {
  return {at::sub(call.input(0), call.input(1))};
}

Tensors Div(OpCall& call) {
  const at::Tensor& a = call.input(0);
  if (a.is_floating_point()) return {at::div(a, call.input(1))};
  return {at::div(a, call.input(1), "trunc")};
}

Tensors Clip(OpCall& call) {
  const bool has_min = call.node.input(1) != ir::kNoValue;
  const bool has_max = call.node.input(2) != ir::kNoValue;
  const at::Tensor& x = call.input(0);
  if (!has_min && !has_max) return {x};
  c10::optional<at::Scalar> lo, hi;
  if (has_min) lo = call.Scalar(1, 0);
  if (has_max) hi = call.Scalar(2, 0);
  return {at::clamp(x, lo, hi)};
}

Tensors LeakyRelu(OpCall& call) {
  return {at::leaky_relu(call.input(0), call.Float("alpha", 0.01f))};
}

Tensors PRelu(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {at::where(x < 0, x * call.input(1), x)};
}

Tensors Elu(OpCall& call) {
  return {at::elu(call.input(0), call.Float("alpha", 1.0f))};
}

Tensors Selu(OpCall& call) {
  const double alpha = call.Float("alpha", 1.67326319217681884765625f);
  return {at::elu(call.input(0), alpha, call.Float("gamma", 1.05070102214813232421875f))};
}

Tensors HardSigmoid(OpCall& call) {
  return {at::clamp(call.input(0) * call.Float("alpha", 0.2f) + call.Float("beta", 0.5f), 0, 1)};
}

Tensors HardSwish(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {x * at::clamp(x * (1.0f / 6.0f) + 0.5f, 0, 1)};
}

Tensors Softplus(OpCall& call) {
  return {at::softplus(call.input(0))};
}
Tensors Softsign(OpCall& call) {
  return {call.input(0) / (1 + call.input(0).abs())};
}
Tensors Mish(OpCall& call) {
  return {call.input(0) * at::tanh(at::softplus(call.input(0)))};
}

Tensors Gelu(OpCall& call) {
  return {at::gelu(call.input(0), call.String("approximate", "none") == "tanh" ? "tanh" : "none")};
}

Tensors Softmax(OpCall& call) {
  return {at::softmax(call.input(0), call.Int("axis", -1))};
}
Tensors LogSoftmax(OpCall& call) {
  return {at::log_softmax(call.input(0), call.Int("axis", -1))};
}

template <at::Tensor (*F)(const at::Tensor&, const at::Tensor&)>
Tensors Variadic(OpCall& call) {
  at::Tensor result = call.input(0);
  for (size_t i = 1; i < call.inputs.size(); ++i) result = F(result, call.input(i));
  return {result};
}

at::Tensor AddTwo(const at::Tensor& a, const at::Tensor& b) {
  return at::add(a, b);
}

Tensors Mean(OpCall& call) {
  return {Variadic<AddTwo>(call)[0] / static_cast<double>(call.inputs.size())};
}

Tensors Swish(OpCall& call) {
  const at::Tensor& x = call.input(0);
  return {x * at::sigmoid(x * call.Float("alpha", 1.0f))};
}
Tensors Not(OpCall& call) {
  return {at::logical_not(call.input(0))};
}

Tensors Where(OpCall& call) {
  return {at::where(call.input(0).to(at::kBool), call.input(1), call.input(2))};
}
Tensors Identity(OpCall& call) {
  return {call.input(0)};
}

// ONNX TensorProto.DataType numbers that octet has.
Tensors Cast(OpCall& call) {
  switch (call.Int("to", 1)) {
    case 6: return {call.input(0).to(at::kInt)};
    case 7: return {call.input(0).to(at::kLong)};
    case 9: return {call.input(0).to(at::kBool)};
    case 11: return {call.input(0).to(at::kDouble)};
    default: return {call.input(0).to(at::kFloat)};
  }
}

Tensors Dropout(OpCall& call) {
  const at::Tensor& x = call.input(0);
  const double ratio = call.node.input(1) != ir::kNoValue ? call.Scalar(1, 0.5) : call.Float("ratio", 0.5f);
  at::Tensor mask;
  if (!call.training || ratio <= 0) return {x, at::ones_like(x, at::kBool)};
  // The mask is drawn in main memory so that it is the same on every device.
  at::Generator generator = at::detail::createCPUGenerator(call.random_key);
  std::vector<int64_t> sizes = x.sizes().vec();
  if (call.Int("per_sample", 0) != 0) std::fill(sizes.begin() + 1, sizes.end(), 1);  // drop-connect
  mask = at::empty(sizes, at::kFloat).bernoulli_(1.0 - ratio, generator).to(x.device());
  return {x * mask * (1.0 / (1.0 - ratio)), mask.to(at::kBool)};
}

}  // namespace

std::vector<NamedKernel> ElementwiseKernels() {
  return {{"Relu", Unary<at::relu>},
          {"Clip", Clip},
          {"LeakyRelu", LeakyRelu},
          {"PRelu", PRelu},
          {"Elu", Elu},
          {"Selu", Selu},
          {"Sigmoid", Unary<at::sigmoid>},
          {"HardSigmoid", HardSigmoid},
          {"HardSwish", HardSwish},
          {"Tanh", Unary<at::tanh>},
          {"Softplus", Softplus},
          {"Softsign", Softsign},
          {"Mish", Mish},
          {"Gelu", Gelu},
          {"Erf", Unary<at::erf>},
          {"Exp", Unary<at::exp>},
          {"Log", Unary<at::log>},
          {"Sqrt", Unary<at::sqrt>},
          {"Reciprocal", Unary<at::reciprocal>},
          {"Abs", Unary<at::abs>},
          {"Neg", Unary<at::neg>},
          {"Floor", Unary<at::floor>},
          {"Ceil", Unary<at::ceil>},
          {"Round", Unary<at::round>},
          {"Sign", Unary<at::sign>},
          {"Softmax", Softmax},
          {"LogSoftmax", LogSoftmax},
          {"Add", Add},
          {"Sub", Sub},
          {"Mul", Binary<at::mul>},
          {"Div", Div},
          {"Pow", Binary<at::pow>},
          {"Min", Variadic<at::minimum>},
          {"Max", Variadic<at::maximum>},
          {"Sum", Variadic<AddTwo>},
          {"Mean", Mean},
          {"Equal", Binary<at::eq>},
          {"Greater", Binary<at::gt>},
          {"Less", Binary<at::lt>},
          {"GreaterOrEqual", Binary<at::ge>},
          {"LessOrEqual", Binary<at::le>},
          {"And", Binary<at::logical_and>},
          {"Or", Binary<at::logical_or>},
          {"Not", Not},
          {"Sin", Unary<at::sin>},
          {"Cos", Unary<at::cos>},
          {"Swish", Swish},
          {"Where", Where},
          {"Identity", Identity},
          {"Parameter", Identity},
          {"Cast", Cast},
          {"Dropout", Dropout}};
}

}  // namespace octet::train
