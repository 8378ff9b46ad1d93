#include "passes/quantized_weight.h"

#include "quant/quantize.h"

namespace octet::passes {

std::optional<float> ScalarScale(const ir::Graph& graph, const ir::Node& quantize) {
  const ir::Value& s = graph.value(quantize.input(1));
  if (!s.is_constant() || s.constant.size() != 1) return std::nullopt;
  const ir::ValueId zero = quantize.input(2);
  if (zero == ir::kNoValue || !graph.value(zero).is_constant() || graph.value(zero).constant.dtype() != DType::kS8 ||
      graph.value(zero).constant.ToVector<int32_t>()[0] != 0) {
    return std::nullopt;
  }
  return s.constant.data<float>()[0];
}

std::optional<QuantizedWeight> WeightOf(const ir::Graph& graph, ir::ValueId v) {
  const ir::Node* dq = graph.producer(v);
  if (dq == nullptr || dq->op != "DequantizeLinear" || !graph.value(dq->input(1)).is_constant()) return std::nullopt;
  QuantizedWeight w;
  w.scales = graph.value(dq->input(1)).constant.ToVector<float>();
  const ir::Value& source = graph.value(dq->input(0));
  if (source.is_constant() && source.constant.dtype() == DType::kS8) {
    w.codes = source.constant;
    return w;
  }
  const ir::Node* q = graph.producer(dq->input(0));
  if (q == nullptr || q->op != "QuantizeLinear" || !graph.value(q->input(0)).is_constant()) return std::nullopt;
  const int axis = w.scales.size() == 1 ? 0 : static_cast<int>(q->attr_int("axis", 1));
  w.codes = quant::QuantizeWeight(graph.value(q->input(0)).constant, w.scales, axis);
  return w;
}

Tensor GemmWeight(const ir::Node& gemm, const Tensor& codes) {
  if (gemm.attr_int("transB", 0) != 0) return codes.Reshaped({codes.dim(0), codes.dim(1), 1, 1});
  Tensor out(DType::kS8, {codes.dim(1), codes.dim(0), 1, 1});
  for (int64_t c = 0; c < codes.dim(0); ++c) {
    for (int64_t k = 0; k < codes.dim(1); ++k) {
      out.mutable_data<int8_t>()[k * codes.dim(0) + c] = codes.data<int8_t>()[c * codes.dim(1) + k];
    }
  }
  return out;
}

}  // namespace octet::passes
