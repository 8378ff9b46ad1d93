// Operators without a training kernel of their own (post-processing, selection, imported QLinear operators): their
// reference kernel, in main memory. They pass no gradient on.
#include <torch/torch.h>

#include "base/error.h"
#include "ir/op_def.h"
#include "train/kernels/op_call.h"
#include "train/tensor_bridge.h"

namespace octet::train {

std::vector<at::Tensor> RunReferenceKernel(OpCall& call) {
  const ir::Node& node = call.node;
  std::vector<Tensor> inputs(node.inputs.size());
  at::Device device = at::kCPU;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (!call.has(i)) continue;
    OCTET_REQUIRE(!at::GradMode::is_enabled() || !call.inputs[i].requires_grad(),
                  "node '{}': operator {} has no gradient, and what it reads is trained", node.name, node.op);
    const ir::Value& value = call.graph.value(node.input(i));
    inputs[i] = value.is_constant() ? value.constant : CopyToTensor(call.inputs[i].detach(), value.type.dtype);
    device = call.inputs[i].device();
  }
  std::vector<at::Tensor> outputs;
  for (const Tensor& y : ir::GetOp(node).reference(node, inputs)) {
    const at::Tensor made = ViewAsTorch(y);
    const bool codes = y.dtype() == DType::kS8 || y.dtype() == DType::kU8;
    outputs.push_back((codes ? made.to(at::kFloat) : made).to(device));
  }
  return outputs;
}

}  // namespace octet::train
