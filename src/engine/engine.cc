#include "engine/engine.h"

#include "engine/network.h"
#include "engine/plan.h"
#include "engine/sliced_session.h"

namespace octet::engine {

Engine::Engine(std::shared_ptr<const Network> network) : network_(std::move(network)) {}

Engine Engine::Load(const std::string& plan_path) {
  const Plan plan = ReadPlan(plan_path);
  Engine engine = FromGraph(plan.graph, plan.info);
  plan.file->Forget();  // the weights that kernels read are packed
  return engine;
}

Engine Engine::FromGraph(const ir::Graph& lowered, const std::map<std::string, std::string>& info,
                         const std::string& isa) {
  return Engine(CompileNetwork(lowered, info, isa));
}

const std::vector<TensorInfo>& Engine::inputs() const {
  return network_->inputs;
}
const std::vector<TensorInfo>& Engine::outputs() const {
  return network_->outputs;
}
const std::map<std::string, std::string>& Engine::info() const {
  return network_->info;
}
const ir::Graph& Engine::graph() const {
  return network_->graph;
}
std::string Engine::isa() const {
  return network_->kernels->name;
}

std::string Engine::description() const {
  int dense = 0, depthwise = 0, slow = 0;
  for (const auto& [id, conv] : network_->conv) {
    dense += conv.path == ConvWeights::kDense;
    depthwise += conv.path == ConvWeights::kDepthwise;
    slow += conv.path == ConvWeights::kReference;
  }
  return fmt::format("{} ({}); {} steps, {} INT8 convolutions ({} dense, {} depthwise, {} by reference loops)",
                     network_->kernels->name, network_->kernels->description, network_->order.size(),
                     dense + depthwise + slow, dense, depthwise, slow);
}

std::unique_ptr<Context> Engine::NewContext(const ContextOptions& options) const {
  return std::unique_ptr<Context>(new Context(std::make_unique<SlicedSession>(network_, options)));
}

Context::Context(std::unique_ptr<SlicedSession> session) : session_(std::move(session)) {}
Context::~Context() = default;

int64_t Context::batch() const {
  return session_->batch();
}
int64_t Context::slice() const {
  return session_->slice();
}
const std::vector<TensorInfo>& Context::inputs() const {
  return session_->inputs();
}
const std::vector<TensorInfo>& Context::outputs() const {
  return session_->outputs();
}
void Context::Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs) {
  session_->Run(inputs, outputs);
}
std::vector<Tensor> Context::Run(const std::map<std::string, Tensor>& inputs) {
  return session_->Run(inputs);
}
Tensor Context::Intermediate(const std::string& name) const {
  return session_->Intermediate(name);
}
std::vector<std::string> Context::intermediate_names() const {
  return session_->intermediate_names();
}
std::vector<StepTime> Context::Profile() {
  return session_->Profile();
}
std::vector<std::string> Context::fallback_nodes() const {
  return session_->fallback_nodes();
}
int64_t Context::arena_bytes() const {
  return session_->arena_bytes();
}

}  // namespace octet::engine
