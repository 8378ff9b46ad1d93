// Post-training calibration: runs a float network on batches of images and ranges its tensors. Memory does not grow
// with the number of images.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "ir/graph.h"
#include "quant/observer.h"

namespace octet::task {

// Fills the next batch of preprocessed images; false when there are no more.
using ImageSource = std::function<bool(Tensor& images)>;

struct CalibrationOptions {
  quant::CalibrationMethod method = quant::CalibrationMethod::kEntropy;
  double percentile = 99.99;
  std::string device = "cpu";
  std::set<std::string> tensors;  // names to range; empty: the input and every float tensor that a node makes
};

// amax by tensor name. Throws a user Error when the source is empty or an activation is not finite.
std::map<std::string, float> Calibrate(const ir::Graph& graph, const ImageSource& source,
                                       const CalibrationOptions& options);

// The float tensors of a graph that calibration ranges: graph inputs and node outputs, in topological order.
std::vector<std::string> CalibratedTensors(const ir::Graph& graph);

}  // namespace octet::task
