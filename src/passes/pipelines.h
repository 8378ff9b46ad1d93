// The passes in order, one list per purpose. Each pass is timed (debug log), verified in debug builds, skipped when its name is
// in the environment variable OCTET_SKIP_PASSES (comma-separated), and dumped as text to the folder OCTET_DUMP_PASSES when it
// changed the graph.
#pragma once

#include "ir/graph.h"
#include "passes/insert_qdq.h"

namespace octet::passes {

// A trained float graph -> the same network, ReLU6, with Q/DQ pairs, ready to calibrate and train.
ir::Graph PrepareForQat(ir::Graph graph, const InsertQdqOptions& options = {});

// Post-training quantization: batch norm folded, activations kept, ranges as given.
ir::Graph PrepareForPtq(ir::Graph graph, const InsertQdqOptions& options);

// What every deployed form starts from: dropout and identities gone, batch norm folded, weight scales final.
ir::Graph PrepareForExport(ir::Graph graph);

// PrepareForExport, then the lowered graph of the INT8 engine. A graph without Q/DQ lowers to float operators.
ir::Graph PrepareForEngine(ir::Graph graph);

}  // namespace octet::passes
