// Executes an ir::Graph with LibTorch: training (with autograd) and evaluation. No LibTorch header is needed to use it.
//
// Parameters and buffers are the graph's constants, by value name; InputRole decides what trains. Activations of rank 4
// lie in memory as NHWC (channels_last); shapes are logical NCHW. Integer codes (s8 values) are held as floats.
//
// Quantization in training: a QuantizeLinear -> DequantizeLinear pair is one fake-quantization with a straight-through
// gradient (1 inside the code range, 0 outside). QuantizeLinear's `observer` sets its scale:
//   "moving_average"  m <- 0.999 m + 0.001 amax(batch), corrected for its start as in Adam: scale = m / (1 - 0.999^t) /
//   127 "max_abs"         max |w| per channel of the current weights / 127, in training and in evaluation none the
//   scale constant of the graph
// Evaluation computes q = clamp(rne(x / s)) exactly as the INT8 engine does; a lowered graph (QConv, ...) gives the
// engine's integers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace at {
class Tensor;
}

namespace octet::train {

struct Parameter {
  std::string name;   // of the graph's constant: "conv1.weight"
  std::string layer;  // of the node that reads it: "conv1"
  std::string scope;  // "conv2d", "depthwise", "dense": kernels; "bn", "bias", "other"
  bool trainable = true;
  int64_t size = 0;
};

class GraphModule {
 public:
  // `device`: "cpu", "cuda", "cuda:1". Throws a user Error for an unknown device, or an operator without a kernel.
  explicit GraphModule(const ir::Graph& graph, const std::string& device = "cpu");
  ~GraphModule();
  GraphModule(GraphModule&&) noexcept;

  const ir::Graph& graph() const;
  const std::string& device() const;

  // ---- mode
  void SetTraining(bool training);  // starts as false
  bool training() const;
  void FreezeObservers(bool frozen);  // moving averages stay as they are
  void FreezeBatchNorm(bool frozen);  // BatchNormalization uses its running statistics in training too
  // Mixed precision: convolutions and matrix products round their operands to bfloat16 and give f32; everything else,
  // and the weights, stay f32. In training mode only.
  void SetBf16(bool on);
  // Training steps run convolutions of quantized tensors as INT8 convolutions, with integer gradients
  // (docs/integer_training.md); starts as false. Without effect where IntegerTraining().usable is false.
  void SetInteger(bool on);
  // What SetInteger(true) does, or would do.
  struct IntegerReport {
    bool usable = false;
    std::string summary;  // one line for the log: how many convolutions; why others do not; why it is not usable
  };
  IntegerReport IntegerTraining() const;
  // Keys the random numbers of Dropout: the same key gives the same masks.
  void SetRandomKey(uint64_t seed, int64_t epoch, int64_t step);

  // ---- parameters
  const std::vector<Parameter>& parameters() const;
  void SetTrainable(const std::string& parameter, bool trainable);
  at::Tensor& ParameterTensor(const std::string& name);  // parameter or buffer

  // ---- running, LibTorch side. `inputs` in the order of the graph's inputs; empty `wanted` = the graph's outputs.
  // The hook sees every computed value in order and may replace it (it then also gets the codes of quantized pairs).
  using Hook = std::function<void(const std::string& name, at::Tensor& value)>;
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs, const std::vector<std::string>& wanted = {},
                                  const Hook& hook = {});

  // ---- running, without LibTorch types
  // Evaluation mode, no gradients. Results have the dtype that the graph gives them. The hook may replace a value by
  // returning a defined tensor.
  using PlainHook = std::function<Tensor(const std::string& name, const Tensor& value)>;
  std::vector<Tensor> Evaluate(const std::map<std::string, Tensor>& feeds, const std::vector<std::string>& wanted = {},
                               const PlainHook& hook = {});
  // A forward pass in training mode without gradients: running statistics of batch norms move by this batch.
  void UpdateStatistics(const std::map<std::string, Tensor>& feeds);
  // In the current mode: d(sum(output * seed)) / d(x) for every graph input and trainable parameter x, by name.
  // `result` receives the output.
  std::map<std::string, Tensor> Gradients(const std::map<std::string, Tensor>& feeds, const std::string& output,
                                          const Tensor& seed, Tensor* result = nullptr);

  // ---- saving
  // A copy of the graph with the current parameters, buffers and scales.
  ir::Graph WriteBack() const;
  // Observer state, for Model::state: "observer/<scale name>/mean" f64, "observer/<scale name>/count" s64.
  std::map<std::string, Tensor> State() const;
  // Entries of others are left alone. Throws a user Error when an entry names no observer of this graph.
  void LoadState(const std::map<std::string, Tensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::train
