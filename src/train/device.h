// The device of a spec, and what must be set before training there. A file that includes this includes
// <torch/torch.h> first.
#pragma once

#include <torch/torch.h>

#include <string>

#include "quant/observer.h"

namespace octet::train {

// "cpu", "cuda", "cuda:<number>", or "privateuseone" of a LibTorch extension. Throws a user Error for anything else,
// and for a GPU that LibTorch does not see. Sets LibTorch up for repeatable and exact training there.
at::Device OpenDevice(const std::string& name);

// quant::MovingAverage in a device's memory: the same double arithmetic, and the host never waits for a value.
class DeviceAverage {
 public:
  DeviceAverage(const quant::MovingAverage& start, at::Device device);
  void Add(const at::Tensor& amax);   // one element, on the device
  at::Tensor Scale() const;           // f32 [] on the device: quant::ScaleOfAmax of the average
  quant::MovingAverage Read() const;  // waits

 private:
  at::Tensor mean_;  // f64 []
  int64_t steps_;
};

}  // namespace octet::train
