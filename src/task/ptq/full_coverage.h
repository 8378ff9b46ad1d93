// A scale for every tensor, as DLA wants it: what QAT learned where it looked, post-training calibration of the
// QAT-trained network everywhere else.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "quant/observer.h"
#include "task/calibrate.h"

namespace octet::task {

struct CoveredScales {
  std::vector<std::pair<std::string, float>> scales;  // in topological order
  int64_t learned = 0;                                // of QAT
  int64_t calibrated = 0;                             // from images
};

// `folded`: the trained graph with its Q/DQ pairs (PrepareForExport); `plain`: StripQdq of it. Tensors that only leave
// the network get no scale: DLA would round the results. What operators that move values (pools, reshapes) make has
// their input's scale, and what a Concat joins has one scale where QAT left it open. `calibration.tensors` is set here.
CoveredScales CoverEveryTensor(const ir::Graph& folded, const ir::Graph& plain, const ImageSource& images,
                               CalibrationOptions calibration);

}  // namespace octet::task
