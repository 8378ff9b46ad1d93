#include "task/teacher.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "onnx/onnx_import.h"
#include "passes/fold_batch_norm.h"
#include "passes/insert_qdq.h"
#include "task/predictor.h"
#include "task/run.h"

namespace octet::task {
namespace {

// A shape without the batch.
std::string PerImage(const ir::Graph& graph, ir::ValueId id) {
  const Shape& shape = graph.value(id).type.shape;
  return ToString(shape.empty() ? shape : Shape(shape.begin() + 1, shape.end()));
}

}  // namespace

train::DistillationOptions DistillationFromSpec(const spec::Spec& spec) {
  train::DistillationOptions o;
  o.weight = spec.GetFloat("quant.distillation");
  o.temperature = spec.GetFloat("quant.distillation_temperature");
  return o;
}

void RequireSameForTeacher(const std::string& path, const std::string& what, const std::string& found,
                           const std::string& own) {
  OCTET_REQUIRE(
      found.empty() || found == own,
      "teacher '{}': its {} is {}, that of this training {}; give as quant.teacher a network that was trained "
      "on the same data",
      path, what, found, own);
}

std::shared_ptr<train::GraphModule> LoadTeacher(const spec::Spec& spec, bool qat, const ir::Graph& network,
                                                const PrepareTeacher& prepare) {
  if (spec.GetFloat("quant.distillation") == 0) return nullptr;
  const std::string where = spec.Where("quant.distillation");
  if (!qat) {
    LogWarning("quant.distillation ({}) is for QAT; this training is in FP32, so it is not used", where);
    return nullptr;
  }
  std::string path = spec.GetString("quant.teacher");
  if (path.empty()) path = spec.GetString("train.checkpoint");
  OCTET_REQUIRE(
      !path.empty(),
      "quant.distillation ({}) needs a trained float network to learn from; give it as quant.teacher, or start "
      "QAT from it (train.checkpoint)",
      where);
  ir::Model model;
  switch (KindOfFile(path)) {
    case FileKind::kModel: model = ir::ReadModel(path); break;
    case FileKind::kOnnx: model.graph = onnx::ImportOnnx(path); break;
    default: OCTET_FAIL("teacher '{}' is neither an .octet model nor an .onnx file", path);
  }
  prepare(model, path);
  const ir::Graph& graph = model.graph;
  OCTET_REQUIRE(!passes::HasQdq(graph), "teacher '{}' is quantized; give a float network as quant.teacher", path);
  RequireSameForTeacher(path, "input", PerImage(graph, graph.inputs().at(0)),
                        PerImage(network, network.inputs().at(0)));
  for (size_t i = 0; i < std::min(graph.outputs().size(), network.outputs().size()); ++i) {
    RequireSameForTeacher(path, "output", PerImage(graph, graph.outputs()[i]), PerImage(network, network.outputs()[i]));
  }
  LogInfo("QAT learns from {} as well, with weight {}", path, spec.GetFloat("quant.distillation"));
  return std::make_shared<train::GraphModule>(passes::FoldBatchNorm(model.graph), DeviceFromSpec(spec));
}

}  // namespace octet::task
