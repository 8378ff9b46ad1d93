// Recipe `inputs`: Q/DQ pairs where TAO's TF2 pipelines put them (NVIDIA's TensorFlow-2 quantization toolkit,
// tao.md 4.B), for networks that shall train as they did there. Activations stay what they are; the output layer is
// quantized as well.
//
//   Conv, Gemm, MatMul with constant weights: input and weights (per output channel);
//   AveragePool, GlobalAveragePool: input;
//   Mul of two tensors (squeeze and excitation, not swish): both inputs;
//   Add of two tensors of one shape (residual): every input except the first that is a convolution's result
//     (Conv | BN <- Conv | activation <- BN <- Conv | Dropout <- activation <- BN <- Conv) which nobody else reads, so
//     that TensorRT may fuse convolution and Add. Drop-connect behind a BN is not in that list: both inputs of such an
//     Add get a pair.
//
// Where TAO differs: its Mul rule is on for EfficientNets only (no other network of its has such a Mul). It takes the
// range of the last batch; octet's observers average.
//
// One pair for each consumer, as TAO counts them. All pairs of a tensor see the same values, so their scales are equal,
// and MergeEqualQdq makes one of them before export and lowering: TensorRT and the engine know one scale per tensor.
#pragma once

#include <set>
#include <string>

#include "ir/graph.h"

namespace octet::passes {

// `observer`, `keep_fp32`: see InsertQdqOptions.
ir::Graph InsertQdqInputs(ir::Graph graph, const std::string& observer = "moving_average",
                          const std::set<std::string>& keep_fp32 = {});

// Pairs of one tensor with equal scales become the first of them. Pairs with different scales stay.
ir::Graph MergeEqualQdq(ir::Graph graph);

}  // namespace octet::passes
