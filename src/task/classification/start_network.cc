#include "task/classification/start_network.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "onnx/onnx_import.h"
#include "passes/pipelines.h"
#include "task/classification/setup.h"
#include "task/predictor.h"

namespace octet::task::classification {
namespace {

std::string BackboneOf(const ir::Graph& graph) {
  const auto it = graph.metadata().find("backbone");
  return it == graph.metadata().end() ? "" : it->second;
}

// The newest "<backbone>_NNN.octet" of a results folder, or "".
std::string NewestCheckpoint(const std::string& folder, const std::string& backbone) {
  std::string newest;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    const std::string name = entry.path().filename().string();
    if (!StartsWith(name, backbone + "_") || !EndsWith(name, ".octet")) continue;
    const std::string digits = name.substr(backbone.size() + 1, name.size() - backbone.size() - 7);
    if (digits.size() < 3 || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string path = entry.path().string();
    if (newest.empty() || path.size() > newest.size() || (path.size() == newest.size() && path > newest)) newest = path;
  }
  return newest;
}

void RequireSameBackbone(const ir::Graph& graph, const spec::Spec& spec, const std::string& path) {
  const std::string wanted = spec.GetString("model.backbone");
  const std::string found = BackboneOf(graph);
  OCTET_REQUIRE(found == wanted,
                "{}: checkpoint '{}' holds the network '{}', but the spec asks for '{}' ({}); set model.backbone: {} "
                "or give another checkpoint",
                spec.file(), path, found.empty() ? graph.name() : found, wanted, spec.Where("model.backbone"),
                found.empty() ? graph.name() : found);
}

int64_t ClassesOfGraph(const ir::Graph& graph) {
  return graph.value(graph.outputs().at(0)).type.shape.back();
}

// Constants of `from` replace those of the same name and shape.
void LoadWeightsByName(ir::Graph& to, const ir::Graph& from, const std::string& path) {
  int64_t loaded = 0;
  std::vector<std::string> skipped;
  for (const ir::ValueId id : to.constants()) {
    const std::string& name = to.value(id).name;
    const ir::ValueId other = from.Find(name);
    if (other != ir::kNoValue && from.value(other).is_constant() &&
        from.value(other).constant.shape() == to.value(id).constant.shape()) {
      to.set_constant(id, from.value(other).constant);
      ++loaded;
    } else {
      skipped.push_back(name);
    }
  }
  OCTET_REQUIRE(loaded > 0, "checkpoint '{}' has no weight that this network has, by name and shape", path);
  LogInfo("{}: {} tensors loaded; new: {}", path, loaded, skipped.empty() ? "none" : Join(skipped, ", "));
}

ir::Graph LoadCheckpointGraph(const std::string& path) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: return ir::ReadModel(path).graph;
    case FileKind::kOnnx: return onnx::ImportOnnx(path);
    default: OCTET_FAIL("checkpoint '{}' is neither an .octet model nor an .onnx file", path);
  }
}

// The spec's network with the checkpoint's weights; or the checkpoint's own graph, which may be pruned or quantized.
ir::Graph FromCheckpoint(const spec::Spec& spec, const std::string& path) {
  ir::Graph found = LoadCheckpointGraph(path);
  const zoo::NetworkOptions wanted = NetworkFromSpec(spec);
  if (!BackboneOf(found).empty()) RequireSameBackbone(found, spec, path);
  const bool same_classes = ClassesOfGraph(found) == wanted.num_classes;
  if (same_classes && !BackboneOf(found).empty()) {
    RequireInputSize(found, PreprocessFromSpec(spec), "checkpoint '" + path + "'");
    return found;
  }
  OCTET_REQUIRE(!passes::HasQdq(found),
                "checkpoint '{}' is quantized and has {} classes; the spec asks for {} "
                "(dataset.num_classes). Start from a float checkpoint to change the classes",
                path, ClassesOfGraph(found), wanted.num_classes);
  OCTET_REQUIRE(found.metadata().count("pruned") == 0,
                "checkpoint '{}' is pruned and has {} classes; the spec asks for {} "
                "(dataset.num_classes). Change the classes first, then prune",
                path, ClassesOfGraph(found), wanted.num_classes);
  ir::Graph graph = zoo::BuildNetwork(wanted);
  LoadWeightsByName(graph, found, path);
  return graph;
}

}  // namespace

std::string CheckpointPath(const std::string& folder, const std::string& backbone, int64_t epoch) {
  return fmt::format("{}/{}_{:03}.octet", folder, backbone, epoch);
}

StartingPoint FindStartingPoint(const spec::Spec& spec, const std::string& results_folder) {
  StartingPoint start;
  std::string resume = spec.GetString("train.resume_training_checkpoint_path");
  if (resume.empty() && spec.GetBool("train.resume")) {
    resume = NewestCheckpoint(results_folder, spec.GetString("model.backbone"));
    if (resume.empty())
      LogInfo("train.resume: no checkpoint in {}; training starts from the beginning", results_folder);
  }
  if (!resume.empty()) {
    ir::Model model = ir::ReadModel(resume);
    RequireSameBackbone(model.graph, spec, resume);
    OCTET_REQUIRE(ClassesOfGraph(model.graph) == spec.GetInt("dataset.num_classes"),
                  "checkpoint '{}' has {} classes; dataset.num_classes is {} ({}). A run resumes with its own classes",
                  resume, ClassesOfGraph(model.graph), spec.GetInt("dataset.num_classes"),
                  spec.Where("dataset.num_classes"));
    RequireInputSize(model.graph, PreprocessFromSpec(spec), "checkpoint '" + resume + "'");
    OCTET_REQUIRE(!model.state.empty(),
                  "checkpoint '{}' has no training state to resume from; give it as train.checkpoint "
                  "to start a new training with its weights",
                  resume);
    start.graph = std::move(model.graph);
    start.state = std::move(model.state);
    start.spec = model.info["spec"];
    start.resumed = true;
    start.description = "resumed from " + resume;
    start.qat = passes::HasQdq(start.graph);
    OCTET_REQUIRE(start.qat || !spec.GetBool("train.qat"),
                  "checkpoint '{}' is of an FP32 training, but train.qat is true ({}). To begin QAT "
                  "from it, give it as train.checkpoint and not as the one to resume",
                  resume, spec.Where("train.qat"));
    return start;
  }
  const std::string checkpoint = spec.GetString("train.checkpoint");
  start.graph = checkpoint.empty() ? zoo::BuildNetwork(NetworkFromSpec(spec)) : FromCheckpoint(spec, checkpoint);
  start.description = checkpoint.empty() ? "fresh weights" : "weights of " + checkpoint;
  start.qat = passes::HasQdq(start.graph);
  if (start.qat) {
    start.description += fmt::format(", quantized already (recipe {}): QAT goes on", start.graph.metadata()["recipe"]);
  } else if (spec.GetBool("train.qat")) {
    start.graph = passes::PrepareForQat(std::move(start.graph), {}, spec.GetString("quant.recipe"));
    start.qat = start.calibrate = true;
  }
  return start;
}

}  // namespace octet::task::classification
