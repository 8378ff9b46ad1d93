// The walk of the importer over the nodes of one file, at one batch size. onnx_import.cc runs it and joins the results.
#pragma once

#include "onnx/onnx_import.h"
#include "onnx/raw_model.h"

namespace octet::onnx {

// The shape of an input after the user's overrides; throws on unknown sizes other than the batch (dimension 0).
Shape InputShape(const RawModel& model, const RawValue& input, const ImportOptions& options);

// Inputs of the graph proper: neither initializers as well nor made constant by the options.
std::vector<RawValue> DataInputs(const RawModel& model, const ImportOptions& options);

// Builds the graph with every dynamic batch set to `batch` (kDynamic: left open; then nothing may ask for its size).
ir::Graph BuildGraph(const RawModel& model, const ImportOptions& options, int64_t batch);

// `a` and `b` are the same model built for two batch sizes. Makes the batch of `a` dynamic: constants that differ are
// rewritten where their consumer can say "as the batch is" (Reshape, Expand, Resize, Slice), otherwise it is an error.
ir::Graph JoinBatches(const ir::Graph& a, const ir::Graph& b, const std::vector<std::string>& dynamic_inputs);

}  // namespace octet::onnx
