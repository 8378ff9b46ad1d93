// Which range every tensor gets, when each calibration method has proposed one: `auto` of post-training quantization.
//
// A tensor's own rounding error says little about what it does to the network: clipping a rare peak may be what the
// next layer lives on. So each proposal is tried on the layers that read the tensor: the fusion region (or the single
// operator) runs once on the float tensor and once on the tensor rounded with that range, and the method with the least
// relative error of the results, summed over the readers, wins. Costs one run of the network for each method.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "quant/observer.h"
#include "task/calibrate.h"

namespace octet::task {

struct ChosenRange {
  quant::CalibrationMethod method = quant::CalibrationMethod::kMax;
  float amax = 0;
  double error = -1;  // |error|^2 / |result|^2 of what reads the tensor; -1: not measured
};

// For every observed tensor. `method` other than kAuto: that one everywhere. `measured` names the tensors worth trying
// (those that will be quantized); the others, and tensors that no node reads, take the least error of the tensor
// itself. `probes`: batches of images.
std::map<std::string, ChosenRange> ChooseRanges(const ir::Graph& graph, const Observations& seen,
                                                quant::CalibrationMethod method,
                                                const std::vector<std::string>& measured,
                                                const std::vector<Tensor>& probes, const std::string& device);

// The tensor rounded to INT8 codes and back.
Tensor FakeQuantized(const Tensor& x, float scale);

}  // namespace octet::task
