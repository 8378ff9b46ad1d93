#include "train/weight_average.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/strings.h"
#include "ir/op_def.h"
#include "train/tensor_bridge.h"

namespace octet::train {
namespace {

constexpr char kPrefix[] = "raw/";

// Constants that training changes and that are no scales: trained parameters and buffers.
std::vector<std::string> WeightNames(const GraphModule& module) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Parameter& p : module.parameters()) {
    if (seen.insert(p.name).second) names.push_back(p.name);
  }
  const ir::Graph& graph = module.graph();
  for (const ir::NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    const ir::OpDef& def = ir::GetOp(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (def.role(i) != ir::InputRole::kBuffer || !graph.value(node.inputs[i]).is_constant()) continue;
      const std::string& name = graph.value(node.inputs[i]).name;
      if (seen.insert(name).second) names.push_back(name);
    }
  }
  return names;
}

}  // namespace

struct WeightAverage::Impl {
  GraphModule& module;
  double decay;
  std::vector<std::string> names;
  std::vector<at::Tensor> averages;

  Impl(GraphModule& m, double d) : module(m), decay(d), names(WeightNames(m)) { TakeCurrent(); }

  void TakeCurrent() {
    const at::NoGradGuard no_grad;
    averages.clear();
    for (const std::string& name : names) averages.push_back(module.ParameterTensor(name).detach().clone());
  }
  // Weights into `averages`, averages into the module; the second call undoes the first.
  void Swap() {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < names.size(); ++i) {
      at::Tensor& weight = module.ParameterTensor(names[i]);
      const at::Tensor old = weight.detach().clone();
      weight.detach().copy_(averages[i]);
      averages[i] = old;
    }
  }
};

WeightAverage::WeightAverage(GraphModule& module, double decay) : impl_(new Impl(module, decay)) {
  OCTET_REQUIRE(decay > 0 && decay < 1, "moving_average_decay is {}; expected a number in (0, 1), or 0 for no average",
                decay);
}

WeightAverage::~WeightAverage() = default;

void WeightAverage::Update(int64_t step) {
  const at::NoGradGuard no_grad;
  const auto t = static_cast<double>(step);
  const double d = std::min(impl_->decay, (1 + t) / (10 + t));
  for (size_t i = 0; i < impl_->names.size(); ++i) {
    at::Tensor& average = impl_->averages[i];
    const at::Tensor weight = impl_->module.ParameterTensor(impl_->names[i]).detach();
    // a + (1 - d) (w - a): an average of equal weights stays what it is, to the bit.
    average.add_(weight - average, 1 - d);
  }
}

ir::Graph WeightAverage::WriteBack() const {
  impl_->Swap();
  ir::Graph graph;
  try {
    graph = impl_->module.WriteBack();
  } catch (...) {
    impl_->Swap();
    throw;
  }
  impl_->Swap();
  return graph;
}

std::map<std::string, Tensor> WeightAverage::State() const {
  std::map<std::string, Tensor> state;
  for (const std::string& name : impl_->names) {
    state[kPrefix + name] = CopyToTensor(impl_->module.ParameterTensor(name).detach());
  }
  return state;
}

void WeightAverage::LoadState(const std::map<std::string, Tensor>& state) {
  const at::NoGradGuard no_grad;
  impl_->TakeCurrent();
  for (const std::string& name : impl_->names) {
    const auto it = state.find(kPrefix + name);
    OCTET_REQUIRE(it != state.end(),
                  "checkpoint: '{}{}' is missing; it was saved without an average of the weights. Resume it with "
                  "moving_average_decay 0",
                  kPrefix, name);
    at::Tensor weight = impl_->module.ParameterTensor(name).detach();
    OCTET_REQUIRE(it->second.shape() == weight.sizes().vec(), "checkpoint: '{}{}' has shape {}; expected {}", kPrefix,
                  name, ToString(it->second.shape()), ToString(weight.sizes().vec()));
    weight.copy_(ViewAsTorch(it->second));
  }
}

bool HasWeightAverage(const std::map<std::string, Tensor>& state) {
  const auto it = state.lower_bound(kPrefix);
  return it != state.end() && StartsWith(it->first, kPrefix);
}

}  // namespace octet::train
