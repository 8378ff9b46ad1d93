// What is inside a GraphModule: for graph_module.cc and graph_module_integer.cc only.
#pragma once

#include <torch/torch.h>

#include <map>
#include <set>
#include <unordered_map>

#include "quant/observer.h"
#include "train/device.h"
#include "train/graph_module.h"
#include "train/integer_plan.h"
#include "train/kernels/integer_block.h"
#include "train/kernels/normalize.h"
#include "train/kernels/op_call.h"
#include "train/step_plan.h"

namespace octet::train {

struct GraphModule::Impl {
  ir::Graph graph;
  std::string device_name;
  at::Device device{at::kCPU};
  bool training = false;
  bool observers_frozen = false;
  bool batch_norm_frozen = false;
  bool bf16 = false;
  uint64_t random_key = 0;

  std::vector<Parameter> parameters;
  std::unordered_map<std::string, size_t> parameter_index;
  std::vector<at::Tensor> constants;                    // by ValueId; undefined where the value is no constant
  std::set<ir::ValueId> written_back;                   // constants that training changes
  std::map<ir::NodeId, quant::MovingAverage> averages;  // by QuantizeLinear node
  std::map<ir::NodeId, DeviceAverage> device_averages;  // elsewhere than on the CPU they take over at the first batch
  std::vector<OpKernel> kernels;                        // by ir::NodeId
  StepPlan fused;                                       // for speed
  StepPlan plain;                                       // one step a node: for hooks and for reading codes
  bool integer = false;
  IntegerPlan integers;  // fused further, for training in integers; made when first asked for

  quant::MovingAverage Average(ir::NodeId id) const;
  void LoadConstants();
  void FindParameters();
  void FindObservers();
  void FindKernels();

  bool Observes(const ir::Node& quantize) const;
  float ScaleForRange(ir::NodeId id, float amax);
  at::Tensor UpdatedScale(ir::NodeId id, const ir::Node& node, const at::Tensor& x);
  at::Tensor FakeQuantize(ir::NodeId id, const ir::Node& node, const at::Tensor& x);
  at::Tensor RunNormalization(const Step& step, const std::vector<at::Tensor>& args);
  NormalizeOptions OptionsOf(const Step& step);
  std::vector<at::Tensor> RunStep(const Step& step, std::vector<at::Tensor> args);
  CodedTensor RunCoded(const Step& step, const std::vector<at::Tensor>& live, const std::vector<CodedTensor>& coded);
  const StepPlan& PlanFor(bool one_by_one) const;
  std::vector<at::Tensor> Run(const std::vector<at::Tensor>& inputs, const std::vector<ir::ValueId>& wanted,
                              const Hook& hook);
  std::vector<ir::ValueId> FindWanted(const std::vector<std::string>& names) const;
  std::vector<at::Tensor> Feeds(const std::map<std::string, Tensor>& feeds) const;
};

}  // namespace octet::train
