// Post-training calibration: runs a float network on batches of images and ranges its tensors. Memory does not grow
// with the number of images.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "quant/observer.h"
#include "spec/spec.h"
#include "task/start_network.h"

namespace octet::task {

// Fills the next batch of preprocessed images; false when there are no more.
using ImageSource = std::function<bool(Tensor& images)>;

struct CalibrationOptions {
  quant::CalibrationMethod method = quant::CalibrationMethod::kEntropy;
  double percentile = 99.99;
  std::string device = "cpu";
  std::set<std::string> tensors;  // names to range; empty: the input and every float tensor that a node makes
};

// What one pass over the images says of every tensor.
struct Observations {
  std::map<std::string, quant::Observer> tensors;
  std::map<std::string, std::vector<float>> channel_amax;  // of the tensors in `channels`, along axis 1
  int64_t images = 0;
};
// `each` (may be empty) sees every batch of images. Throws a user Error when the source is empty or an activation is
// not finite.
Observations Observe(const ir::Graph& graph, const ImageSource& source, const CalibrationOptions& options,
                     const std::set<std::string>& channels = {},
                     const std::function<void(const Tensor& images)>& each = {});

// amax by tensor name. Throws a user Error when the source is empty or an activation is not finite.
std::map<std::string, float> Calibrate(const ir::Graph& graph, const ImageSource& source,
                                       const CalibrationOptions& options);

// Ranges of the quantizers that QAT has just put into the graph, from the source's first quant.calibration_batches (at
// most `batches`): the graph's scales, and in the state the moving averages that training goes on from. `images` begins
// anew with each call. Where activations have become other functions, running statistics of batch norms are first made
// those of the same batches (not with model.freeze_bn): with the old ones ranges would be of values that never come.
void CalibrateQuantizers(const spec::Spec& spec, StartingPoint& start, int64_t batches,
                         const std::function<ImageSource()>& images);

// The float tensors of a graph that calibration ranges: graph inputs and node outputs, in topological order.
std::vector<std::string> CalibratedTensors(const ir::Graph& graph);

}  // namespace octet::task
