#include "task/start_network.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "onnx/onnx_import.h"
#include "passes/convert_to_relu6.h"
#include "passes/pipelines.h"
#include "task/predictor.h"

namespace octet::task {
namespace {

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

}  // namespace

std::string NetworkName(const std::map<std::string, std::string>& metadata) {
  const auto it = metadata.find("backbone");
  return it == metadata.end() ? "" : it->second;
}

int64_t ClassesOfGraph(const ir::Graph& graph) {
  return graph.value(graph.outputs().at(0)).type.shape.back();
}

void RequireSameNetwork(const ir::Graph& graph, const spec::Spec& spec, const std::string& name_key,
                        const std::string& path) {
  const std::string wanted = spec.GetString(name_key);
  const std::string found = NetworkName(graph.metadata());
  OCTET_REQUIRE(found == wanted,
                "{}: checkpoint '{}' holds the network '{}', but the spec asks for '{}' ({}); set {}: {} "
                "or give another checkpoint",
                spec.file(), path, found.empty() ? graph.name() : found, wanted, spec.Where(name_key), name_key,
                found.empty() ? graph.name() : found);
}

void RequireFloat(const ir::Graph& found, const std::string& path, int64_t wanted) {
  OCTET_REQUIRE(!passes::HasQdq(found),
                "checkpoint '{}' is quantized and has {} classes; the spec asks for {} "
                "(dataset.num_classes). Start from a float checkpoint to change the classes",
                path, ClassesOfGraph(found), wanted);
}

void RequireNewClassesPossible(const ir::Graph& found, const std::string& path, int64_t wanted) {
  RequireFloat(found, path, wanted);
  OCTET_REQUIRE(found.metadata().count("pruned") == 0,
                "checkpoint '{}' is pruned and has {} classes; the spec asks for {} "
                "(dataset.num_classes). Change the classes first, then prune",
                path, ClassesOfGraph(found), wanted);
}

ir::Graph ReadGraph(const std::string& path) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: return ir::ReadModel(path).graph;
    case FileKind::kOnnx: return onnx::ImportOnnx(path);
    default: OCTET_FAIL("checkpoint '{}' is neither an .octet model nor an .onnx file", path);
  }
}

std::string ResumeFile(const spec::Spec& spec, const std::string& results_folder, const std::string& name_key) {
  const std::string given = spec.GetString("train.resume_training_checkpoint_path");
  if (!given.empty() || !spec.GetBool("train.resume")) return given;
  return NewestCheckpoint(results_folder, spec.GetString(name_key));
}

std::string CheckpointPath(const std::string& folder, const std::string& network, int64_t epoch) {
  return fmt::format("{}/{}_{:03}.octet", folder, network, epoch);
}

void WarnOfChanges(const spec::Spec& spec, const std::string& earlier) {
  if (earlier.empty()) return;
  std::vector<std::string> changes;
  try {
    changes = spec.ChangesSince(spec::ParseSpec(spec.table().task, earlier, "the checkpoint's spec"),
                                {"dataset", "model", "train", "quant"});
  } catch (const Error& e) {
    LogWarning("the settings of the resumed run cannot be compared with the spec's: {}", e.what());
    return;
  }
  // Where and how, not what: results do not depend on these.
  const auto harmless = [](const std::string& change) {
    for (const char* key :
         {"train.checkpoint", "train.resume", "train.validation_interval", "train.n_workers", "train.threads",
          "train.results_dir", "train.image_preview", "dataset.train_dataset_path", "dataset.val_dataset_path",
          "dataset.train_tfrecords", "dataset.val_tfrecords", "dataset.train_dirs", "dataset.val_dirs",
          "dataset.train_json_file", "dataset.val_json_file", "dataset.loader", "quant.calibration"}) {
      if (StartsWith(change, key)) return true;
    }
    return false;
  };
  changes.erase(std::remove_if(changes.begin(), changes.end(), harmless), changes.end());
  if (!changes.empty()) LogWarning("resumed with other settings than it began with: {}", Join(changes, "; "));
}

StartingPoint FindStartingPoint(const spec::Spec& spec, const std::string& results_folder, const NetworkKind& kind) {
  StartingPoint start;
  const std::string resume = ResumeFile(spec, results_folder, kind.name_key);
  if (resume.empty() && spec.GetBool("train.resume")) {
    LogInfo("train.resume: no checkpoint in {}; training starts from the beginning", results_folder);
  }
  if (!resume.empty()) {
    ir::Model model = ir::ReadModel(resume);
    RequireSameNetwork(model.graph, spec, kind.name_key, resume);
    OCTET_REQUIRE(ClassesOfGraph(model.graph) == spec.GetInt("dataset.num_classes"),
                  "checkpoint '{}' has {} classes; dataset.num_classes is {} ({}). A run resumes with its own classes",
                  resume, ClassesOfGraph(model.graph), spec.GetInt("dataset.num_classes"),
                  spec.Where("dataset.num_classes"));
    kind.require_input(model.graph, "checkpoint '" + resume + "'");
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
  start.graph = kind.begin(start.description);
  start.qat = passes::HasQdq(start.graph);
  if (start.qat) {
    start.description += fmt::format(", quantized already (recipe {}): QAT goes on", start.graph.metadata()["recipe"]);
  } else if (spec.GetBool("train.qat")) {
    const std::string recipe = spec.GetString("quant.recipe");
    passes::InsertQdqOptions options =
        kind.qat_options ? kind.qat_options(start.graph, recipe) : passes::InsertQdqOptions();
    const std::vector<std::string> keep = spec.GetStrings("quant.keep_fp32");
    passes::RequireLayers(start.graph, {keep.begin(), keep.end()});
    options.keep_fp32.insert(keep.begin(), keep.end());
    if (recipe == "fused") start.new_functions = passes::CountNewFunctions(start.graph);
    start.graph = passes::PrepareForQat(std::move(start.graph), options, recipe);
    start.qat = start.calibrate = true;
  }
  return start;
}

}  // namespace octet::task
