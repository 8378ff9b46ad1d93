// The passes in order, one list per purpose. Each pass is timed (debug log), verified in debug builds, skipped when its
// name is in the environment variable OCTET_SKIP_PASSES (comma-separated), and dumped as text to the folder
// OCTET_DUMP_PASSES when it changed the graph.
#pragma once

#include <string>

#include "ir/graph.h"
#include "passes/insert_qdq.h"

namespace octet::passes {

// A trained float graph -> the same network with Q/DQ pairs, ready to calibrate and train. metadata "recipe" says
// which: "fused" makes activations ReLU6, drops drop-connect and puts pairs behind fusion regions
// (passes/insert_qdq.h); "inputs" puts pairs on inputs and weights as TAO's TF2 code does (passes/insert_qdq_inputs.h;
// of `options` the observer and keep_fp32 count). Throws a user Error on another recipe and on a quantized graph.
ir::Graph PrepareForQat(ir::Graph graph, const InsertQdqOptions& options = {}, const std::string& recipe = "fused");

// Post-training quantization: batch norm folded, activations kept, ranges as given.
ir::Graph PrepareForPtq(ir::Graph graph, const InsertQdqOptions& options);

// What every deployed form starts from: dropout and identities gone, constants and batch norm folded, weight scales
// final, one pair for each tensor and scale.
ir::Graph PrepareForExport(ir::Graph graph);

// PrepareForExport, then the lowered graph of the INT8 engine. A graph without Q/DQ lowers to float operators.
ir::Graph PrepareForEngine(ir::Graph graph);

}  // namespace octet::passes
