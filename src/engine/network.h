// What all contexts of an Engine share: the graph and the packed weights. Immutable once made.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/kernels/kernels.h"

namespace octet::engine {

struct ConvWeights {
  enum Path { kDense, kDepthwise, kReference };
  Path path = kReference;
  int64_t splits = 1;             // kDense: convolutions side by side, one per group
  std::vector<PackedConv> dense;  // one per split
  PackedDepthwise depthwise;
  PackedDepthwiseRows depthwise_rows;
};

struct Network {
  ir::Graph graph;
  std::map<std::string, std::string> info;
  const KernelSet* kernels = nullptr;
  std::vector<ir::NodeId> order;
  std::unordered_map<ir::NodeId, ConvWeights> conv;  // QConv nodes
  std::unordered_map<ir::NodeId, PackedGemm> gemm;   // FP32 Gemm nodes with constant weights
  std::vector<TensorInfo> inputs;
  std::vector<TensorInfo> outputs;
};

// Rank 4 as it is; [N,C] as [N,C,1,1]; any other shape as [first, rest, 1, 1]. Row-major order is the same.
struct Nchw {
  int64_t n = 1, c = 1, h = 1, w = 1;
};
Nchw AsNchw(const Shape& shape);

// The graph with `batch` in place of an unknown batch, and all its types. Throws a user Error for a batch that the
// inputs' sizes do not allow.
ir::Graph WithBatch(const ir::Graph& graph, int64_t batch);

// Checks the graph and packs weights. Throws a user Error that names a node which cannot run.
std::shared_ptr<const Network> CompileNetwork(const ir::Graph& graph, const std::map<std::string, std::string>& info,
                                              const std::string& isa);

}  // namespace octet::engine
