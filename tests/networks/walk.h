// One network through everything that octet does with a classifier: FP32 training steps, QAT (either recipe) with
// training steps, the three exports, the plan, the engine. Used by the tests of all backbones and by the tool that
// walks ONNX files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet {

struct WalkOptions {
  std::string folder;  // where the files go: fp32.onnx, fused.qdq.onnx, fused.calib.cache, x.npy, ...
  int64_t batch = 4;
  std::vector<std::string> recipes = {"fused", "inputs"};
  // So many parameters may stay for one that moves in two steps. With batch norm folded into untrained weights most of
  // a network's activations are off or clipped: a file from an exporter needs more than a network of the zoo.
  double still = 0.25;
  // One code in so many may differ by 1 between engine and LibTorch: a near-tie behind a float operator (a mean, a
  // sigmoid; for files also LayerNormalization and Gelu).
  int64_t codes_per_tie = 1000000;
  bool write_files = true;  // ONNX files for witnesses; false: bytes in memory only
};

// What a witness (tests/witness/check_walk.py) reads: one line a file, "kind onnx output x.npy y.npy codes".
struct WalkResult {
  std::vector<std::string> manifest;
  int64_t trained = 0;      // parameters that the FP32 steps changed
  int64_t activations = 0;  // quantizers, recipe fused
  int64_t weights = 0;
  int64_t codes = 0;                     // compared between the engine and LibTorch
  std::map<std::string, int> fallbacks;  // operators that the engine runs by reference kernels, recipe fused
};

// Checks on the way, each a thrown octet::Error that says what failed: the loss is finite, every trainable parameter
// moves, the exported network reads back, engine and LibTorch agree on every code of the lowered network, the Q/DQ file
// gives the same plan, the cache names tensors of the FP32 file.
WalkResult WalkNetwork(const ir::Graph& network, const WalkOptions& options);

}  // namespace octet
