// The network that training starts with: fresh, from a pretrained or pruned checkpoint, or from a checkpoint to resume.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "ir/model_file.h"
#include "passes/insert_qdq.h"
#include "spec/spec.h"

namespace octet::task {

// What a task knows about its networks.
struct NetworkKind {
  std::string name_key;  // the spec's key that names the network: "model.backbone"
  // A new training's network, with the weights of the checkpoint that the spec names; says so in `description`.
  std::function<ir::Graph(std::string& description)> begin;
  // Throws a user Error when the graph's input is not what the spec's data give.
  std::function<void(const ir::Graph& graph, const std::string& where)> require_input;
  // Of QAT, for a float graph; may be empty.
  std::function<passes::InsertQdqOptions(const ir::Graph& graph, const std::string& recipe)> qat_options;
};

struct StartingPoint {
  ir::Graph graph;                      // float or with Q/DQ
  std::map<std::string, Tensor> state;  // to restore, when `resumed`
  bool resumed = false;
  std::string spec;           // of the run that is resumed, as YAML; "" when the file has none
  bool qat = false;           // the graph is quantized (now)
  bool calibrate = false;     // Q/DQ is new: its ranges need calibration
  int64_t new_functions = 0;  // activations that QAT has just made other functions (swish): statistics change with them
  std::string description;    // for the log
};

// Follows train.resume_training_checkpoint_path, train.resume, the kind's `begin`, train.qat, in this order. A
// quantized checkpoint stays quantized without any flag. Throws a user Error for a checkpoint of another network.
StartingPoint FindStartingPoint(const spec::Spec& spec, const std::string& results_folder, const NetworkKind& kind);

// "<network>_<epoch, 3 digits>.octet" in `folder`.
std::string CheckpointPath(const std::string& folder, const std::string& network, int64_t epoch);

// A run that goes on with other settings than it began with ends elsewhere than a whole one: allowed, but logged.
// `earlier` is StartingPoint::spec.
void WarnOfChanges(const spec::Spec& spec, const std::string& earlier);

// The checkpoint to go on from, or "".
std::string ResumeFile(const spec::Spec& spec, const std::string& results_folder, const std::string& name_key);

// What NetworkKind::begin is made of. The name in a graph's metadata ("backbone"), or "".
std::string NetworkName(const std::map<std::string, std::string>& metadata);
int64_t ClassesOfGraph(const ir::Graph& graph);
// The graph of an .octet or .onnx file.
ir::Graph ReadGraph(const std::string& path);
// Throw a user Error: another network than the spec's; quantized, or quantized or pruned, so that its number of classes
// cannot become `wanted`.
void RequireSameNetwork(const ir::Graph& graph, const spec::Spec& spec, const std::string& name_key,
                        const std::string& path);
void RequireFloat(const ir::Graph& found, const std::string& path, int64_t wanted);
void RequireNewClassesPossible(const ir::Graph& found, const std::string& path, int64_t wanted);

}  // namespace octet::task
