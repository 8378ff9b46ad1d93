#include "task/classification/start_network.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "onnx/onnx_import.h"
#include "passes/pipelines.h"
#include "task/classification/own_network.h"
#include "task/classification/pretrained.h"
#include "task/classification/setup.h"
#include "task/predictor.h"

namespace octet::task::classification {
namespace {

std::string BackboneOf(const std::map<std::string, std::string>& metadata) {
  const auto it = metadata.find("backbone");
  return it == metadata.end() ? "" : it->second;
}
std::string BackboneOf(const ir::Graph& graph) {
  return BackboneOf(graph.metadata());
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

ir::Graph LoadCheckpointGraph(const std::string& path) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: return ir::ReadModel(path).graph;
    case FileKind::kOnnx: return onnx::ImportOnnx(path);
    default: OCTET_FAIL("checkpoint '{}' is neither an .octet model nor an .onnx file", path);
  }
}

void RequireChangeable(const ir::Graph& found, const std::string& path, int64_t wanted) {
  OCTET_REQUIRE(!passes::HasQdq(found),
                "checkpoint '{}' is quantized and has {} classes; the spec asks for {} "
                "(dataset.num_classes). Start from a float checkpoint to change the classes",
                path, ClassesOfGraph(found), wanted);
}

// model.backbone: byom. `checkpoint` may be empty.
ir::Graph OwnNetwork(const spec::Spec& spec, const std::string& checkpoint) {
  const std::string file = OwnNetworkFile(spec, checkpoint);
  OCTET_REQUIRE(
      !file.empty(),
      "{}: model.backbone: byom (bring your own model) needs the network: set model.byom_model to its .onnx file "
      "(train.checkpoint then may hold weights for it)",
      spec.Where("model.backbone"));
  const OwnNetworkOptions options = OwnNetworkFromSpec(spec);
  ir::Graph graph;
  if (KindOfFile(file) == FileKind::kModel) {
    graph = ir::ReadModel(file).graph;
    RequireSameBackbone(graph, spec, file);
    if (options.num_classes.value_or(ClassesOfGraph(graph)) != ClassesOfGraph(graph)) {
      RequireChangeable(graph, file, *options.num_classes);
    }
    graph = AdaptOwnNetwork(std::move(graph), file, options);
    RequireInputSize(graph, PreprocessFromSpec(spec), "checkpoint '" + file + "'");
  } else {
    graph = ImportOwnNetwork(file, options);
  }
  if (!checkpoint.empty() && checkpoint != file) LoadWeights(graph, checkpoint);
  return graph;
}

// The spec's network with the checkpoint's weights; or the checkpoint's own graph, which may be pruned or quantized.
ir::Graph FromCheckpoint(const spec::Spec& spec, const std::string& path) {
  const zoo::NetworkOptions wanted = NetworkFromSpec(spec);
  ir::Graph graph;
  // A file of somebody else's network is a store of weights: it need not be one that octet can run.
  const bool octets = !EndsWith(path, ".safetensors") &&
                      (KindOfFile(path) != FileKind::kOnnx || !BackboneOf(onnx::ReadMetadata(path)).empty());
  if (octets) {
    ir::Graph found = LoadCheckpointGraph(path);
    if (!BackboneOf(found).empty()) RequireSameBackbone(found, spec, path);
    const int64_t classes = ClassesOfGraph(found);
    if (classes == wanted.num_classes && !BackboneOf(found).empty()) {
      RequireInputSize(found, PreprocessFromSpec(spec), "checkpoint '" + path + "'");
      return found;
    }
    RequireChangeable(found, path, wanted.num_classes);
    OCTET_REQUIRE(found.metadata().count("pruned") == 0,
                  "checkpoint '{}' is pruned and has {} classes; the spec asks for {} "
                  "(dataset.num_classes). Change the classes first, then prune",
                  path, classes, wanted.num_classes);
  }
  graph = zoo::BuildNetwork(wanted);
  const LoadedWeights loaded = LoadWeights(graph, path);
  const bool head = std::none_of(loaded.other_shape.begin(), loaded.other_shape.end(),
                                 [](const std::string& name) { return StartsWith(name, "predictions_dense."); });
  OCTET_REQUIRE(head || !spec.GetBool("model.retain_head"),
                "checkpoint '{}' has a classifier of another number of classes than dataset.num_classes ({}), and "
                "model.retain_head keeps the classifier as it is; set it to false for a new one",
                path, wanted.num_classes);
  return graph;
}

// The checkpoint to go on from, or "".
std::string ResumeFile(const spec::Spec& spec, const std::string& results_folder) {
  const std::string given = spec.GetString("train.resume_training_checkpoint_path");
  if (!given.empty() || !spec.GetBool("train.resume")) return given;
  return NewestCheckpoint(results_folder, spec.GetString("model.backbone"));
}

}  // namespace

std::string CheckpointPath(const std::string& folder, const std::string& backbone, int64_t epoch) {
  return fmt::format("{}/{}_{:03}.octet", folder, backbone, epoch);
}

spec::Spec WithNetworkInput(const spec::Spec& spec, const std::string& results_folder) {
  if (spec.GetString("model.backbone") != kByom) return spec;
  const std::string resume = ResumeFile(spec, results_folder);
  return WithInputOf(spec, resume.empty() ? OwnNetworkFile(spec, spec.GetString("train.checkpoint")) : resume);
}

StartingPoint FindStartingPoint(const spec::Spec& spec, const std::string& results_folder) {
  StartingPoint start;
  const std::string resume = ResumeFile(spec, results_folder);
  if (resume.empty() && spec.GetBool("train.resume")) {
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
  if (spec.GetString("model.backbone") == kByom) {
    start.graph = OwnNetwork(spec, checkpoint);
    start.description = "weights of " + (checkpoint.empty() ? OwnNetworkFile(spec, "") : checkpoint);
  } else {
    start.graph = checkpoint.empty() ? zoo::BuildNetwork(NetworkFromSpec(spec)) : FromCheckpoint(spec, checkpoint);
    start.description = checkpoint.empty() ? "fresh weights" : "weights of " + checkpoint;
  }
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
