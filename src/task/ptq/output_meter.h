// How far a quantized network's results are from the float network's, on a few images, without labels.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::task {

struct OutputError {
  double sqnr_db = 0;    // 10 log10 of signal over error power, the mean over outputs of error / signal
  double agreement = 1;  // of images: the same largest class score; 1 when the network has no class scores
  bool classifies = false;
};

class OutputMeter {
 public:
  // Runs the float network once. A Softmax or Sigmoid at an output would hide errors: what stands before it counts.
  // `device`: for the float network; `threads`: for the INT8 engine.
  OutputMeter(const ir::Graph& float_graph, std::vector<Tensor> probes, const std::string& device, int threads);

  // `quantized`: a Q/DQ graph with the float graph's tensor names. It is lowered and runs on the INT8 engine.
  OutputError Measure(const ir::Graph& quantized) const;

  const std::vector<Tensor>& probes() const { return probes_; }

 private:
  std::vector<Tensor> probes_;
  std::vector<std::string> points_;            // by output: the tensor that counts
  std::vector<std::vector<Tensor>> expected_;  // by probe, by output
  int threads_;
};

}  // namespace octet::task
