#include "task/classification/start_network.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "onnx/onnx_import.h"
#include "task/classification/own_network.h"
#include "task/classification/setup.h"
#include "task/predictor.h"
#include "task/pretrained.h"

namespace octet::task::classification {
namespace {

constexpr char kNameKey[] = "model.backbone";

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
    RequireSameNetwork(graph, spec, kNameKey, file);
    if (options.num_classes.value_or(ClassesOfGraph(graph)) != ClassesOfGraph(graph)) {
      RequireFloat(graph, file, *options.num_classes);
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
                      (KindOfFile(path) != FileKind::kOnnx || !NetworkName(onnx::ReadMetadata(path)).empty());
  if (octets) {
    ir::Graph found = ReadGraph(path);
    const bool named = !NetworkName(found.metadata()).empty();
    if (named) RequireSameNetwork(found, spec, kNameKey, path);
    if (ClassesOfGraph(found) == wanted.num_classes && named) {
      RequireInputSize(found, PreprocessFromSpec(spec), "checkpoint '" + path + "'");
      return found;
    }
    RequireNewClassesPossible(found, path, wanted.num_classes);
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

}  // namespace

spec::Spec WithNetworkInput(const spec::Spec& spec, const std::string& results_folder) {
  if (spec.GetString(kNameKey) != kByom) return spec;
  const std::string resume = ResumeFile(spec, results_folder, kNameKey);
  return WithInputOf(spec, resume.empty() ? OwnNetworkFile(spec, spec.GetString("train.checkpoint")) : resume);
}

NetworkKind KindFromSpec(const spec::Spec& spec) {
  NetworkKind kind;
  kind.name_key = kNameKey;
  kind.begin = [&spec](std::string& description) {
    const std::string checkpoint = spec.GetString("train.checkpoint");
    if (spec.GetString(kNameKey) == kByom) {
      description = "weights of " + (checkpoint.empty() ? OwnNetworkFile(spec, "") : checkpoint);
      return OwnNetwork(spec, checkpoint);
    }
    description = checkpoint.empty() ? "fresh weights" : "weights of " + checkpoint;
    return checkpoint.empty() ? zoo::BuildNetwork(NetworkFromSpec(spec)) : FromCheckpoint(spec, checkpoint);
  };
  kind.require_input = [&spec](const ir::Graph& graph, const std::string& where) {
    RequireInputSize(graph, PreprocessFromSpec(spec), where);
  };
  return kind;
}

}  // namespace octet::task::classification
