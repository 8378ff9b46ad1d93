// quant.distillation: the float network that QAT learns from beside the labels (train/distillation.h).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ir/model_file.h"
#include "spec/spec.h"
#include "train/distillation.h"
#include "train/graph_module.h"

namespace octet::task {

// What a task makes of the file: completes the graph of an .onnx, throws a user Error when it does not fit the data.
using PrepareTeacher = std::function<void(ir::Model& model, const std::string& path)>;

// quant.teacher, or the checkpoint that QAT starts from, with batch norm folded. Null when quant.distillation is 0, and
// with a warning when the training is not QAT. `network` is the one that learns. Throws a user Error when there is no
// such file, when it is quantized, or when its input or outputs have other shapes than those of `network`.
std::shared_ptr<train::GraphModule> LoadTeacher(const spec::Spec& spec, bool qat, const ir::Graph& network,
                                                const PrepareTeacher& prepare);

// Throws a user Error unless `found`, where the file says it, is what this training has. "": the file says nothing.
void RequireSameForTeacher(const std::string& path, const std::string& what, const std::string& found,
                           const std::string& own);

// Weight and temperature.
train::DistillationOptions DistillationFromSpec(const spec::Spec& spec);

}  // namespace octet::task
