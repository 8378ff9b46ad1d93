// What batch normalization on FP32 values (normalize_torch.cc) and on integer sums (integer_block_torch.cc) share.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "train/kernels/normalize.h"
#include "train/kernels/normalize_cpu.h"
#include "train/kernels/parallel.h"

namespace octet::train {

constexpr int64_t kChunks = 32;  // a fixed split: sums do not depend on the number of threads

struct Rows {
  int64_t rows, channels;
  int64_t chunk() const { return (rows + kChunks - 1) / kChunks; }
  // body(chunk, first row, number of rows)
  template <typename F>
  void ForEach(F body) const {
    ForEachJob(kChunks, [&](int64_t k) {
      const int64_t first = k * chunk();
      const int64_t count = std::min(chunk(), rows - first);
      if (count > 0) body(k, first, count);
    });
  }
  int64_t used() const { return chunk() == 0 ? 0 : (rows + chunk() - 1) / chunk(); }
};

// Sums the channels of rows [first, first + count).
using SumRows = std::function<void(int64_t first, int64_t count, const float* shift, const ChannelSums& out)>;

struct Statistics {
  std::vector<float> mean, inverse;  // inverse = 1 / sqrt(variance + epsilon)
  std::vector<float> low, high;      // of x; empty without batch statistics
};

struct Prepared {
  Rows shape;
  Statistics statistics;
  std::vector<float> a, b;
  Tail tail;
};

// Statistics of the batch (the running ones are updated) or the running ones, and the affine map that they make.
Prepared Prepare(const Rows& shape, const SumRows& sum_rows, const at::Tensor& weight, const at::Tensor& bias,
                 const at::Tensor& mean, const at::Tensor& variance, const NormalizeOptions& options);

// max |clip(a x + b)| from the extremes of each channel: rounded arithmetic is monotone. Needs batch statistics.
float AmaxOfExtremes(const Prepared& prepared);

// Where tail.scale and the range of codes let the gradient pass.
void NarrowToCodes(const CodeRange& codes, Tail* tail);

at::Tensor ToTensor(const std::vector<float>& v);

}  // namespace octet::train
