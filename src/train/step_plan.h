// The order in which GraphModule runs a graph, and which nodes it runs as one step:
//   quantized pair   QuantizeLinear -> DequantizeLinear
//   swish            x -> Sigmoid -> Mul with x
//   normalization    BatchNormalization [-> Add] [-> Relu or Clip] [-> quantized pair]   (each read by nothing else)
//   integer block    Conv of INT8 codes [-> BatchNormalization] [-> Add] [-> Relu or Clip] -> quantized pair
//                    (integer_plan.h)
//   integer gate     Mul of INT8 codes [N,C,H,W] with [N,C,1,1] -> quantized pair
//   integer mean     GlobalAveragePool of INT8 codes; its output is f32
#pragma once

#include <set>
#include <vector>

#include "ir/graph.h"

namespace octet::train {

struct Step {
  enum Kind { kNode, kQuantizedPair, kNormalization, kSwish, kIntegerBlock, kIntegerPool, kIntegerGate, kIntegerMean };
  Kind kind = kNode;
  ir::NodeId node = ir::kNoNode;    // the node; of a pair its QuantizeLinear; of a normalization its BatchNormalization
  ir::NodeId conv = ir::kNoNode;    // of an integer block
  ir::NodeId weight = ir::kNoNode;  // of an integer block: the QuantizeLinear of the Conv's weight
  bool normalized = true;           // an integer block has a BatchNormalization; else `node` is its Conv
  bool coded = false;               // the outputs are INT8 codes (CodedTensor)
  bool passes_gradient = false;     // of an integer block: its residual's gradient goes to the block that takes it
  bool takes_gradient = false;      // of an integer block: adds such a gradient to that of its input
  bool sums_gradient = false;       // of an integer block: that gradient is whole, and its sums are made for its maker

  // Of a normalization. `quantize` is its QuantizeLinear, `residual` the other operand of the Add; or nothing.
  ir::ValueId residual = ir::kNoValue;  // of an integer gate: the gate
  ir::NodeId quantize = ir::kNoNode;
  float low = 0, high = 0;  // of the activation; infinite without one

  std::vector<ir::ValueId> inputs;   // what the step reads
  std::vector<ir::ValueId> outputs;  // what it makes: of a pair one value for every DequantizeLinear, all the same
  std::vector<ir::ValueId> release;  // values that nobody reads after this step
};

struct StepPlan {
  std::vector<Step> steps;
  std::set<ir::ValueId> hidden;  // values inside fused steps, which are never made
};

// Fills `release` of all steps: a value dies after the last step that reads it.
void FindReleases(const ir::Graph& graph, std::vector<Step>* steps);

// The bounds of a Relu, or of a Clip with constant bounds; false for anything else.
bool ReadActivation(const ir::Graph& graph, const ir::Node& node, float* low, float* high);

StepPlan PlanSteps(const ir::Graph& graph, bool fuse_pairs, bool fuse_normalizations);

}  // namespace octet::train
