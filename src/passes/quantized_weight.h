// What the Q/DQ nodes of a graph say to the lowering: scales of tensors, codes of weights.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph.h"

namespace octet::passes {

struct QuantizedWeight {
  Tensor codes;               // s8
  std::vector<float> scales;  // one, or one per output channel
};

// The scale of a QuantizeLinear or DequantizeLinear that the engine can run: constant, one, with zero point 0 of type
// s8.
std::optional<float> ScalarScale(const ir::Graph& graph, const ir::Node& quantize);

// The codes behind `v` = DequantizeLinear(QuantizeLinear(constant)) or DequantizeLinear(s8 constant).
std::optional<QuantizedWeight> WeightOf(const ir::Graph& graph, ir::ValueId v);

// A Gemm's codes [K,C] or (transB = 0) [C,K] as [K,C,1,1].
Tensor GemmWeight(const ir::Node& gemm, const Tensor& codes);

}  // namespace octet::passes
