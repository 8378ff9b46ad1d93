// What a training kernel gets: one node of the graph with its input tensors. Files that include this include
// <torch/torch.h> first.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "ir/graph.h"
#include "train/kernels/conv_dnnl.h"
#include "train/kernels/fake_quantize.h"

namespace octet::train {

struct OpCall {
  const ir::Graph& graph;
  const ir::Node& node;
  std::vector<at::Tensor> inputs;  // undefined where absent; integer codes are floats
  bool training = false;
  bool batch_statistics = false;  // BatchNormalization: normalise by the batch and update the running statistics
  uint64_t random_key = 0;        // differs between nodes, steps and epochs
  bool bf16 = false;              // Conv, Gemm, MatMul: operands rounded to bfloat16; the result is f32 again

  const at::Tensor& input(size_t i) const;  // throws when absent
  bool has(size_t i) const { return i < inputs.size() && inputs[i].defined(); }
  // The input as numbers: from the graph's constant, or read back from the device.
  std::vector<int64_t> Ints(size_t i) const;
  double Scalar(size_t i, double absent) const;

  int64_t Int(const char* key, int64_t fallback) const { return node.attr_int(key, fallback); }
  float Float(const char* key, float fallback) const { return node.attr_float(key, fallback); }
  std::string String(const char* key, const char* fallback) const { return node.attr_string(key, fallback); }
  std::vector<int64_t> IntList(const char* key, const std::vector<int64_t>& fallback) const {
    return node.attr_ints(key, fallback);
  }
};

using OpKernel = std::vector<at::Tensor> (*)(OpCall& call);

struct NamedKernel {
  const char* op;
  OpKernel kernel;
};

// One table per kernel file; FindKernel looks through all of them.
std::vector<NamedKernel> ConvKernels();
std::vector<NamedKernel> ElementwiseKernels();
std::vector<NamedKernel> NormPoolKernels();
std::vector<NamedKernel> ShapeKernels();
std::vector<NamedKernel> QuantizeKernels();
std::vector<NamedKernel> QuantizedKernels();

std::vector<at::Tensor> RunReferenceKernel(OpCall& call);  // by the operator's reference kernel, without gradient

OpKernel FindKernel(const std::string& op);  // that of the tables, else RunReferenceKernel

// Window attributes of Conv and pools for `spatial` dimensions, auto_pad resolved for the given input sizes.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, begin, end;
  bool symmetric() const { return begin == end; }
};
Window ReadWindow(const OpCall& call, const at::Tensor& x, const std::vector<int64_t>& kernel);
at::Tensor PadSpatial(const at::Tensor& x, const Window& window, double value);

// The Conv of `call` on x [N,C,H,W] with weight [O,I,KH,KW].
ConvShape ShapeOfConv(const OpCall& call, const at::Tensor& x, const at::Tensor& weight);

// The codes of a QuantizeLinear: [-127,127] for weights, else [-128,127].
CodeRange RangeOf(const ir::Node& node);

// NHWC in memory for rank 4.
at::Tensor ChannelsLast(const at::Tensor& x);

}  // namespace octet::train
