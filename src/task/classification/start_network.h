// The network that training starts with: fresh, from a pretrained or pruned checkpoint, or from a checkpoint to resume.
#pragma once

#include <string>

#include "data/data_loader.h"
#include "ir/model_file.h"
#include "report/run_report.h"
#include "spec/spec.h"

namespace octet::task::classification {

struct StartingPoint {
  ir::Graph graph;                      // float or with Q/DQ
  std::map<std::string, Tensor> state;  // to restore, when `resumed`
  bool resumed = false;
  std::string spec;         // of the run that is resumed, as YAML; "" when the file has none
  bool qat = false;         // the graph is quantized (now)
  bool calibrate = false;   // Q/DQ is new: its ranges need calibration
  std::string description;  // for the log
};

// Follows train.resume_training_checkpoint_path, train.resume, train.checkpoint, train.qat, in this order. A quantized
// checkpoint stays quantized without any flag. Throws a user Error for a checkpoint of another network.
StartingPoint FindStartingPoint(const spec::Spec& spec, const std::string& results_folder);

// The spec with the sizes of its network's input: a byom spec that does not say model.input_* takes them from the file
// that training will start with. Other specs come back as they are.
spec::Spec WithNetworkInput(const spec::Spec& spec, const std::string& results_folder);

// "<backbone>_<epoch, 3 digits>.octet" in `folder`.
std::string CheckpointPath(const std::string& folder, const std::string& backbone, int64_t epoch);

}  // namespace octet::task::classification
