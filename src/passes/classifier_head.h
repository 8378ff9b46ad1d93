// The classifier at the end of a network: the layer that makes the class scores, what stands behind it, and how to give
// an imported network the form that training, evaluation and the engine expect of one.
#pragma once

#include <cstdint>
#include <string>

#include "ir/graph.h"

namespace octet::passes {

// The scores before the softmax: what the loss reads. Throws a user Error when the first output is no Softmax.
ir::ValueId LogitsOf(const ir::Graph& graph);

// Makes the first output a Softmax over f32 [N,classes]: scores [N,K] or [N,K,1,1] get a Softmax ("predictions"), a
// softmax with a Flatten behind it or a LogSoftmax is rewritten under the output's name. Further outputs are dropped
// (auxiliary heads). Throws a user Error for an output that is no vector of class scores, or that ends in Sigmoid.
ir::Graph CompleteClassifier(ir::Graph graph);

// The first output is made by a Softmax or Sigmoid, and not plain or logarithmic scores. A plan cannot be completed as
// above: whoever reads its output asks this.
bool GivesProbabilities(const ir::Graph& graph);

struct ClassifierHead {
  ir::NodeId layer = ir::kNoNode;  // Gemm, MatMul or Conv with constant weights
  int64_t classes = 0;
};

// The layer that makes the scores of a complete classifier: back from them through operators that keep channels
// (Flatten, pooling, ReLU, Dropout, ...). Throws a user Error that names the node at which the search ended.
ClassifierHead FindClassifierHead(const ir::Graph& graph);

// The same network for another number of classes: the layer's weights are drawn anew, U(+-1/sqrt(fan in)), its bias is
// zero. Reshape targets behind it follow.
ir::Graph ReplaceClassifierHead(ir::Graph graph, int64_t classes, uint64_t seed);

}  // namespace octet::passes
