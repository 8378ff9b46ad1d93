// What `octet inspect --ranges` shows: how well each scale of a quantized network fits its tensor, and where the INT8
// network leaves the float one.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "task/calibrate.h"

namespace octet::task {

struct TensorFit {
  std::string name;
  float min = 0, max = 0;  // in the float network
  float scale = 0;
  double saturated = 0;  // share of the values beyond the codes
  double used = 0;       // share of the codes' range that the values fill
};

struct LayerFit {
  std::string layer, op, tensor;
  double sqnr_db = 0;      // of the fusion region's result, all layers before it quantized
  double own_sqnr_db = 0;  // with the float network's tensors as its input
  bool quantized = false;
};

struct RangeReport {
  std::vector<TensorFit> tensors;  // in topological order
  std::vector<LayerFit> layers;    // the lowest sqnr_db first
  int64_t images = 0;
};

// `quantized`: a Q/DQ graph. It is compared with itself without the pairs, weights as they are under the pairs.
RangeReport ReportRanges(const ir::Graph& quantized, const ImageSource& images, const std::string& device);

std::string FormatRanges(const RangeReport& report);
std::string FormatRangesJson(const RangeReport& report);

}  // namespace octet::task
