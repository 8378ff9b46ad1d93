// Puts QuantizeLinear -> DequantizeLinear pairs where recipe `fused` wants them: on the network input, on the output of
// every fusion region, and on the weights of its anchor, except for output layers, which stay FP32. Where a quantized
// layer would still read a float tensor (a concat, a pool, a residual from elsewhere), that tensor gets a pair as well:
// TensorRT runs a layer in INT8 only if all its inputs are.
//
// One pair a tensor; all consumers read it. Runs after ConvertToRelu6 (ranges are of the final activations) and before
// training, calibration or lowering.
#pragma once

#include <map>
#include <set>
#include <string>

#include "ir/graph.h"

namespace octet::passes {

struct InsertQdqOptions {
  // Scale (amax / 127) by tensor name; a tensor that is absent starts with 6 / 127.
  std::map<std::string, float> scales;
  // "moving_average" lets training follow the range; "" freezes what `scales` says.
  std::string observer = "moving_average";
  // Node names to leave in FP32 beside the output layers.
  std::set<std::string> keep_fp32;
  // As TensorRT does with a calibration cache: a layer whose input or output has no entry in `scales` stays FP32, and
  // weights are rounded with ties to +infinity (they are moved onto that grid here).
  bool implicit = false;
};

ir::Graph InsertQdq(ir::Graph graph, const InsertQdqOptions& options = {});

// Throws a user Error when a name is no layer with weights (Conv, ConvTranspose, Gemm, MatMul) of the graph.
void RequireLayers(const ir::Graph& graph, const std::set<std::string>& names);

// How many activation and weight quantizers a graph has.
struct QuantizerCounts {
  int activations = 0;
  int weights = 0;
};
QuantizerCounts CountQuantizers(const ir::Graph& graph);
bool HasQdq(const ir::Graph& graph);

}  // namespace octet::passes
