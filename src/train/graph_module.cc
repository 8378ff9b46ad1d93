#include "train/graph_module.h"

#include <algorithm>

#include "ir/op_def.h"
#include "quant/quantize.h"
#include "train/graph_module_impl.h"
#include "train/step_profile.h"
#include "train/tensor_bridge.h"

namespace octet::train {
namespace {

using ir::InputRole;
using ir::kNoNode;
using ir::kNoValue;
using ir::NodeId;
using ir::ValueId;

uint64_t Mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::string Scope(const ir::Node& node, size_t input, const ir::Value& weight) {
  if (node.op == "Conv" || node.op == "ConvTranspose") {
    if (input != 1) return "bias";
    const int64_t group = node.attr_int("group", 1);
    return group > 1 && weight.type.shape.size() > 1 && weight.type.shape[1] == 1 ? "depthwise" : "conv2d";
  }
  if (node.op == "Gemm" || node.op == "MatMul") return input == 1 ? "dense" : "bias";
  if (node.op.find("Normalization") != std::string::npos) return "bn";
  return "other";
}

}  // namespace

void GraphModule::Impl::LoadConstants() {
  ValueId last = 0;
  for (const ValueId id : graph.values()) last = std::max(last, id);
  constants.resize(last + 1);
  for (const ValueId id : graph.constants()) {
    const Tensor& source = graph.value(id).constant;
    at::Tensor t = ViewAsTorch(source);
    // Codes are floats. Integers that steer operators (shapes) keep their type.
    if (source.dtype() == DType::kS8 || source.dtype() == DType::kU8) t = t.to(at::kFloat);
    constants[id] = ChannelsLast(t.to(device)).clone();
  }
}

// The constant behind a weight input, through QuantizeLinear, DequantizeLinear and whatever else reads only constants.
static ValueId ConstantBehind(const ir::Graph& graph, ValueId id) {
  while (id != kNoValue && !graph.value(id).is_constant()) {
    const ir::Node* producer = graph.producer(id);
    if (producer == nullptr) return kNoValue;
    for (size_t i = 1; i < producer->inputs.size(); ++i) {
      const ValueId other = producer->inputs[i];
      if (other != kNoValue && !graph.value(other).is_constant()) return kNoValue;
    }
    id = producer->input(0);
  }
  return id;
}

void GraphModule::Impl::FindParameters() {
  for (const NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    const ir::OpDef& def = ir::GetOp(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const InputRole role = def.role(i);
      if (role != InputRole::kWeight && role != InputRole::kParam && role != InputRole::kBuffer) continue;
      const ValueId constant = ConstantBehind(graph, node.inputs[i]);
      if (constant == kNoValue || !constants[constant].is_floating_point()) continue;
      const ir::Value& value = graph.value(constant);
      if (value.constant.dtype() != DType::kF32 && value.constant.dtype() != DType::kF64) continue;
      if (!written_back.insert(constant).second || role == InputRole::kBuffer) continue;
      parameter_index[value.name] = parameters.size();
      parameters.push_back({value.name, node.name, Scope(node, i, value), true, value.constant.size()});
      constants[constant].set_requires_grad(true);
    }
  }
}

void GraphModule::Impl::FindObservers() {
  for (const NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "QuantizeLinear") continue;
    const std::string observer = node.attr_string("observer", "");
    if (observer.empty()) continue;
    OCTET_REQUIRE(observer == "moving_average" || observer == "max_abs",
                  "node '{}': observer '{}'; expected moving_average or max_abs", node.name, observer);
    const ValueId scale = node.input(1);
    OCTET_REQUIRE(scale != kNoValue && graph.value(scale).is_constant(), "node '{}': its scale is not a constant",
                  node.name);
    written_back.insert(scale);
    if (observer == "moving_average") {
      OCTET_REQUIRE(graph.value(scale).constant.size() == 1, "node '{}': a moving average has one scale, not {}",
                    node.name, graph.value(scale).constant.size());
      averages.emplace(id, quant::MovingAverage());
    }
  }
}

void GraphModule::Impl::FindKernels() {
  for (const NodeId id : graph.Order()) {
    const ir::Node& node = graph.node(id);
    if (static_cast<size_t>(id) >= kernels.size()) kernels.resize(id + 1, nullptr);
    kernels[id] = FindKernel(node.op);
  }
}

// Whether the moving average of this QuantizeLinear takes in the current batch.
bool GraphModule::Impl::Observes(const ir::Node& quantize) const {
  return training && !observers_frozen && quantize.attr_string("observer", "") == "moving_average";
}

// The scale to quantize with, when the batch's largest magnitude is `amax`.
float GraphModule::Impl::ScaleForRange(NodeId id, float amax) {
  const ir::Node& node = graph.node(id);
  at::Tensor& scale = constants[node.input(1)];
  if (Observes(node)) {
    const at::NoGradGuard no_grad;
    quant::MovingAverage& average = averages.at(id);
    average.Add(amax);
    scale.fill_(quant::ScaleOfAmax(static_cast<float>(average.value())));
  }
  return scale.item<float>();
}

quant::MovingAverage GraphModule::Impl::Average(NodeId id) const {
  const auto it = device_averages.find(id);
  return it == device_averages.end() ? averages.at(id) : it->second.Read();
}

at::Tensor GraphModule::Impl::UpdatedScale(NodeId id, const ir::Node& node, const at::Tensor& x) {
  at::Tensor& scale = constants[node.input(1)];
  if (node.attr_string("observer", "") == "max_abs") {
    const at::NoGradGuard no_grad;
    // A channel of zeros has no range of its own: quant::ScaleOfAmax.
    at::Tensor amax = scale.numel() == 1 ? RangeOfTensor(x) : AmaxOfChannels(x, node.attr_int("axis", 1));
    amax = at::where(amax < quant::kMinAmax, at::ones_like(amax), amax);
    scale.copy_(at::div(amax, at::full({}, quant::kMaxCode, amax.options())).reshape(scale.sizes()));
  } else if (Observes(node) && device.is_cpu()) {
    ScaleForRange(id, AmaxOfTensor(x));
  } else if (Observes(node)) {
    const at::NoGradGuard no_grad;
    DeviceAverage& average = device_averages.try_emplace(id, averages.at(id), device).first->second;
    average.Add(RangeOfTensor(x));
    scale.copy_(average.Scale().reshape(scale.sizes()));
  }
  return scale;
}

at::Tensor GraphModule::Impl::FakeQuantize(NodeId id, const ir::Node& node, const at::Tensor& x) {
  const at::Tensor scale = UpdatedScale(id, node, x);
  if (scale.numel() == 1) return FakeQuantizeTensor(x, scale, RangeOf(node));
  const bool own_range = node.attr_string("observer", "") == "max_abs";
  return FakeQuantizeChannels(x, scale, node.attr_int("axis", 1), RangeOf(node), own_range);
}

at::Tensor GraphModule::Impl::RunNormalization(const Step& step, const std::vector<at::Tensor>& args) {
  const at::Tensor x = args[0].contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor residual =
      args.size() > 5 ? args[5].contiguous(at::MemoryFormat::ChannelsLast) : at::empty({0}, x.options());
  return Normalize(x, args[1], args[2], args[3], args[4], residual, OptionsOf(step));
}

std::vector<at::Tensor> GraphModule::Impl::RunStep(const Step& step, std::vector<at::Tensor> args) {
  const ir::Node& node = graph.node(step.node);
  if (step.kind == Step::kQuantizedPair) {
    return std::vector<at::Tensor>(step.outputs.size(), FakeQuantize(step.node, node, args[0]));
  }
  if (step.kind == Step::kNormalization) {
    return std::vector<at::Tensor>(step.outputs.size(), RunNormalization(step, args));
  }
  if (step.kind == Step::kSwish) {
    // LibTorch's own kernel rounds differently; it is for training, where a pass over memory counts.
    return {training && at::GradMode::is_enabled() ? at::silu(args[0]) : args[0] * at::sigmoid(args[0])};
  }
  if (node.op == "QuantizeLinear") UpdatedScale(step.node, node, args[0]);
  const uint64_t key = Mix(random_key ^ Mix(static_cast<uint64_t>(step.node)));
  OpCall call{graph, node, std::move(args), training, training && !batch_norm_frozen, key, training && bf16};
  return kernels[step.node](call);
}

std::vector<at::Tensor> GraphModule::Impl::Run(const std::vector<at::Tensor>& inputs,
                                               const std::vector<ValueId>& wanted, const Hook& hook) {
  OCTET_REQUIRE(inputs.size() == graph.inputs().size(), "graph '{}' has {} inputs; {} were given", graph.name(),
                graph.inputs().size(), inputs.size());
  std::vector<at::Tensor> live(constants.size());
  std::vector<CodedTensor> coded(constants.size());  // values of integer steps; in `live` as well once somebody reads
  const auto put = [&](ValueId id, at::Tensor t) {
    if (hook && t.defined()) hook(graph.value(id).name, t);
    live[id] = std::move(t);
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    at::Tensor t = inputs[i].to(device);
    if (t.scalar_type() == at::kChar || t.scalar_type() == at::kByte) t = t.to(at::kFloat);
    put(graph.inputs()[i], ChannelsLast(t));
  }
  std::vector<bool> keep(constants.size(), false);
  bool wants_hidden = false;
  for (const ValueId id : wanted) {
    keep[id] = true;
    wants_hidden = wants_hidden || PlanFor(false).hidden.count(id) != 0;
  }
  const auto value = [&](ValueId id) {
    if (constants[id].defined()) return constants[id];
    if (!live[id].defined() && coded[id].defined()) live[id] = DequantizeCoded(coded[id]);
    return live[id];
  };
  for (const Step& step : PlanFor(hook || wants_hidden).steps) {
    const ir::Node& node = graph.node(step.node);
    std::vector<at::Tensor> results;
    std::vector<at::Tensor> args;
    args.reserve(step.inputs.size());
    const StepProfile::Scope profile(node.op.c_str());
    try {
      if (step.coded) {
        if (step.kind == Step::kQuantizedPair) value(node.input(0));
        if (step.kind == Step::kIntegerGate) value(step.residual);
        CodedTensor result = RunCoded(step, live, coded);
        result.passed = c10::make_intrusive<PassedGradient>();
        for (const ValueId id : step.outputs) coded[id] = result;
      } else if (step.kind == Step::kIntegerMean) {
        results = {MeanCoded(coded[step.inputs[0]])};
      } else {
        for (const ValueId in : step.inputs) args.push_back(in == kNoValue ? at::Tensor() : value(in));
        results = RunStep(step, std::move(args));
      }
    } catch (const c10::Error& e) {
      OCTET_FAIL("node '{}' ({}): {}", node.name, node.op, e.what_without_backtrace());
    }
    for (size_t i = 0; i < results.size() && i < step.outputs.size(); ++i) {
      if (step.outputs[i] != kNoValue) put(step.outputs[i], results[i]);
    }
    results.clear();
    for (const ValueId id : step.release) {
      if (keep[id]) continue;
      live[id].reset();
      coded[id] = CodedTensor();
    }
  }
  std::vector<at::Tensor> out;
  for (const ValueId id : wanted) out.push_back(value(id));
  return out;
}

std::vector<ValueId> GraphModule::Impl::FindWanted(const std::vector<std::string>& names) const {
  if (names.empty()) return graph.outputs();
  std::vector<ValueId> ids;
  for (const std::string& name : names) {
    ids.push_back(graph.Find(name));
    OCTET_REQUIRE(ids.back() != kNoValue, "graph '{}' has no value '{}'", graph.name(), name);
  }
  return ids;
}

std::vector<at::Tensor> GraphModule::Impl::Feeds(const std::map<std::string, Tensor>& feeds) const {
  std::vector<at::Tensor> inputs;
  for (const ValueId id : graph.inputs()) {
    const auto it = feeds.find(graph.value(id).name);
    OCTET_REQUIRE(it != feeds.end(), "graph '{}': input '{}' was not given", graph.name(), graph.value(id).name);
    inputs.push_back(ViewAsTorch(it->second));
  }
  return inputs;
}

GraphModule::GraphModule(const ir::Graph& graph, const std::string& device) : impl_(new Impl) {
  impl_->graph = graph;
  impl_->device_name = device;
  impl_->device = OpenDevice(device);
  impl_->LoadConstants();
  impl_->FindParameters();
  impl_->FindObservers();
  impl_->FindKernels();
  impl_->plain = PlanSteps(graph, false, false);
  impl_->fused = PlanSteps(graph, true, impl_->device.is_cpu());
}

GraphModule::~GraphModule() = default;
GraphModule::GraphModule(GraphModule&&) noexcept = default;

const ir::Graph& GraphModule::graph() const {
  return impl_->graph;
}
const std::string& GraphModule::device() const {
  return impl_->device_name;
}
void GraphModule::SetTraining(bool training) {
  impl_->training = training;
}
bool GraphModule::training() const {
  return impl_->training;
}
void GraphModule::FreezeObservers(bool frozen) {
  impl_->observers_frozen = frozen;
}
void GraphModule::FreezeBatchNorm(bool frozen) {
  impl_->batch_norm_frozen = frozen;
}
void GraphModule::SetBf16(bool on) {
  impl_->bf16 = on;
}

void GraphModule::SetRandomKey(uint64_t seed, int64_t epoch, int64_t step) {
  impl_->random_key = Mix(Mix(Mix(seed) ^ static_cast<uint64_t>(epoch)) ^ static_cast<uint64_t>(step));
}

const std::vector<Parameter>& GraphModule::parameters() const {
  return impl_->parameters;
}

void GraphModule::SetTrainable(const std::string& parameter, bool trainable) {
  const auto it = impl_->parameter_index.find(parameter);
  OCTET_REQUIRE(it != impl_->parameter_index.end(), "graph '{}' has no parameter '{}'", impl_->graph.name(), parameter);
  impl_->parameters[it->second].trainable = trainable;
  ParameterTensor(parameter).set_requires_grad(trainable);
}

at::Tensor& GraphModule::ParameterTensor(const std::string& name) {
  const ValueId id = impl_->graph.Find(name);
  OCTET_REQUIRE(id != kNoValue && impl_->constants[id].defined(), "graph '{}' has no parameter '{}'",
                impl_->graph.name(), name);
  return impl_->constants[id];
}

std::vector<at::Tensor> GraphModule::Forward(const std::vector<at::Tensor>& inputs,
                                             const std::vector<std::string>& wanted, const Hook& hook) {
  return impl_->Run(inputs, impl_->FindWanted(wanted), hook);
}

std::vector<Tensor> GraphModule::Evaluate(const std::map<std::string, Tensor>& feeds,
                                          const std::vector<std::string>& wanted, const PlainHook& hook) {
  const at::NoGradGuard no_grad;
  const bool was_training = impl_->training;
  impl_->training = false;
  const auto type = [&](ValueId id) { return impl_->graph.value(id).type.dtype; };
  Hook torch_hook;
  if (hook) {
    torch_hook = [&](const std::string& name, at::Tensor& value) {
      const DType dtype = type(impl_->graph.Find(name));
      const Tensor replacement = hook(name, CopyToTensor(value, dtype));
      if (!replacement.defined()) return;
      at::Tensor t = ViewAsTorch(replacement);
      if (dtype == DType::kS8 || dtype == DType::kU8) t = t.to(at::kFloat);
      value = ChannelsLast(t.to(impl_->device)).clone();
    };
  }
  const std::vector<ValueId> ids = impl_->FindWanted(wanted);
  std::vector<at::Tensor> values;
  try {
    values = impl_->Run(impl_->Feeds(feeds), ids, torch_hook);
  } catch (...) {
    impl_->training = was_training;
    throw;
  }
  impl_->training = was_training;
  std::vector<Tensor> results;
  for (size_t i = 0; i < ids.size(); ++i) results.push_back(CopyToTensor(values[i], type(ids[i])));
  return results;
}

void GraphModule::UpdateStatistics(const std::map<std::string, Tensor>& feeds) {
  const at::NoGradGuard no_grad;
  const bool was_training = impl_->training;
  impl_->training = true;
  try {
    impl_->Run(impl_->Feeds(feeds), impl_->FindWanted({}), {});
  } catch (...) {
    impl_->training = was_training;
    throw;
  }
  impl_->training = was_training;
}

std::map<std::string, Tensor> GraphModule::Gradients(const std::map<std::string, Tensor>& feeds,
                                                     const std::string& output, const Tensor& seed, Tensor* result) {
  std::vector<at::Tensor> inputs = impl_->Feeds(feeds);
  for (at::Tensor& t : inputs) t = t.to(impl_->device).clone().set_requires_grad(true);
  std::vector<std::string> names;
  std::vector<at::Tensor> sources = inputs;
  for (const ValueId id : impl_->graph.inputs()) names.push_back(impl_->graph.value(id).name);
  for (const Parameter& p : impl_->parameters) {
    if (!p.trainable) continue;
    names.push_back(p.name);
    sources.push_back(ParameterTensor(p.name));
  }
  const at::Tensor y = Forward(inputs, {output})[0];
  if (result != nullptr) *result = CopyToTensor(y);
  const std::vector<at::Tensor> grads =
      torch::autograd::grad({y}, sources, {ViewAsTorch(seed).to(impl_->device)}, false, false, /*allow_unused=*/true);
  std::map<std::string, Tensor> by_name;
  for (size_t i = 0; i < names.size(); ++i) {
    by_name[names[i]] = CopyToTensor(grads[i].defined() ? grads[i] : at::zeros_like(sources[i]));
  }
  return by_name;
}

ir::Graph GraphModule::WriteBack() const {
  const at::NoGradGuard no_grad;
  // Scales of weights follow the weights, also when no step came after the last update.
  for (const NodeId id : impl_->graph.Order()) {
    const ir::Node& node = impl_->graph.node(id);
    if (node.op == "QuantizeLinear" && node.attr_string("observer", "") == "max_abs" &&
        impl_->constants[node.input(0)].defined()) {
      impl_->UpdatedScale(id, node, impl_->constants[node.input(0)]);
    }
  }
  ir::Graph copy = impl_->graph;
  for (const ValueId id : impl_->written_back) {
    copy.set_constant(id, CopyToTensor(impl_->constants[id], copy.value(id).constant.dtype()));
  }
  return copy;
}

std::map<std::string, Tensor> GraphModule::State() const {
  std::map<std::string, Tensor> state;
  for (const auto& entry : impl_->averages) {
    const quant::MovingAverage average = impl_->Average(entry.first);
    const std::string key = "observer/" + impl_->graph.value(impl_->graph.node(entry.first).input(1)).name;
    state[key + "/mean"] = Tensor::Scalar<double>(average.raw());
    state[key + "/count"] = Tensor::Scalar<int64_t>(average.steps());
  }
  return state;
}

void GraphModule::LoadState(const std::map<std::string, Tensor>& state) {
  for (auto& [node, average] : impl_->averages) average = impl_->Average(node);
  impl_->device_averages.clear();
  for (auto& [node, average] : impl_->averages) {
    const std::string key = "observer/" + impl_->graph.value(impl_->graph.node(node).input(1)).name;
    const auto mean = state.find(key + "/mean");
    const auto count = state.find(key + "/count");
    if (mean == state.end() && count == state.end()) continue;
    OCTET_REQUIRE(mean != state.end() && count != state.end() && mean->second.size() == 1 && count->second.size() == 1,
                  "checkpoint: state of observer '{}' is incomplete", key);
    average = quant::MovingAverage(0.999, mean->second.ToVector<double>()[0], count->second.ToVector<int64_t>()[0]);
  }
  for (const auto& [key, tensor] : state) {
    if (key.rfind("observer/", 0) != 0) continue;
    const std::string scale = key.substr(9, key.rfind('/') - 9);
    const ValueId id = impl_->graph.Find(scale);
    OCTET_REQUIRE(id != kNoValue, "checkpoint: it holds the range of '{}', which network '{}' does not have", scale,
                  impl_->graph.name());
  }
}

}  // namespace octet::train
