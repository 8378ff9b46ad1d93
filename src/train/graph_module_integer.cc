// The steps of a GraphModule that train in integers.
#include "train/graph_module_impl.h"

namespace octet::train {

using ir::kNoNode;

NormalizeOptions GraphModule::Impl::OptionsOf(const Step& step) {
  const ir::Node& node = graph.node(step.node);
  NormalizeOptions options;
  options.batch_statistics = training && !batch_norm_frozen;
  options.momentum = node.attr_float("momentum", 0.9f);
  options.epsilon = node.attr_float("epsilon", 1e-5f);
  options.low = step.low;
  options.high = step.high;
  if (step.quantize != kNoNode) {
    options.codes = RangeOf(graph.node(step.quantize));
    options.scale_needs_range = Observes(graph.node(step.quantize));
    options.scale = [this, &step](float amax) { return ScaleForRange(step.quantize, amax); };
  }
  return options;
}

// A step whose outputs are codes. Values are in `coded`, or in `live`.
CodedTensor GraphModule::Impl::RunCoded(const Step& step, const std::vector<at::Tensor>& live,
                                        const std::vector<CodedTensor>& coded) {
  const ir::Node& node = graph.node(step.node);
  if (step.kind == Step::kQuantizedPair) {
    const at::Tensor& x = live[node.input(0)];
    const float scale = UpdatedScale(step.node, node, x).item<float>();
    return QuantizeCoded(x, scale, RangeOf(node));
  }
  const CodedTensor& x = coded[step.inputs[0]];
  if (step.kind == Step::kIntegerGate) {
    const auto scale = [&](float amax) { return ScaleForRange(step.quantize, amax); };
    return GateCoded(x, live[step.residual], scale, Observes(node), RangeOf(node));
  }
  if (step.kind == Step::kIntegerPool) {
    OpCall call{graph, node, {x.handle}};
    const Window w = ReadWindow(call, x.handle, call.IntList("kernel_shape", {}));
    PoolWindow window;
    for (size_t i = 0; i < 2; ++i) {
      window.kernel[i] = w.kernel[i];
      window.strides[i] = w.strides[i];
      window.pad_begin[i] = w.begin[i];
      window.out[i] =
          (x.handle.size(static_cast<int64_t>(i) + 2) + w.begin[i] + w.end[i] - w.kernel[i]) / w.strides[i] + 1;
    }
    return MaxPoolCoded(x, window);
  }
  const ir::Node& conv = graph.node(step.conv);
  const ir::Node& quantize = graph.node(step.weight);
  const at::Tensor& weight = constants[step.inputs[1]];
  const at::Tensor weight_scale = UpdatedScale(step.weight, quantize, weight);
  OpCall call{graph, conv, {x.handle, weight}};
  IntegerBlockOptions options;
  options.shape = ShapeOfConv(call, x.handle, weight);
  options.normalize = OptionsOf(step);
  options.pass_gradient = step.passes_gradient;
  options.take_gradient = step.takes_gradient;
  options.sum_gradient = step.sums_gradient;
  const CodedTensor residual = step.residual != ir::kNoValue ? coded[step.residual] : CodedTensor();
  const at::Tensor bias = conv.input(2) != ir::kNoValue ? constants[conv.input(2)] : at::Tensor();
  if (!step.normalized) {
    // The running statistics of a normalization that changes nothing.
    options.normalize.batch_statistics = false;
    options.normalize.epsilon = 0;
    const at::Tensor one = at::ones({weight.size(0)}), zero = at::zeros({weight.size(0)});
    return IntegerBlock(x, weight, weight_scale, one, zero, zero, one, residual, bias, options);
  }
  const ir::Node& bn = graph.node(step.node);
  return IntegerBlock(x, weight, weight_scale, constants[bn.input(1)], constants[bn.input(2)], constants[bn.input(3)],
                      constants[bn.input(4)], residual, bias, options);
}

const StepPlan& GraphModule::Impl::PlanFor(bool one_by_one) const {
  if (one_by_one) return plain;
  return training && integer ? integers.plan : fused;
}

GraphModule::IntegerReport GraphModule::IntegerTraining() const {
  IntegerReport report;
  if (!impl_->device.is_cpu()) {
    report.summary = fmt::format("device {} is not the CPU", impl_->device_name);
  } else if (!HasIntegerBlocks()) {
    report.summary = "this CPU has no AVX-512 VNNI (or OCTET_TRAIN_ISA=portable is set)";
  } else {
    const IntegerPlan plan = PlanIntegers(impl_->graph, impl_->fused);
    report.usable = plan.blocks > 0;
    report.summary = fmt::format("{} convolutions in INT8", plan.blocks);
    for (const auto& [reason, count] : plan.others) report.summary += fmt::format("; {} in FP32: {}", count, reason);
  }
  return report;
}

void GraphModule::SetInteger(bool on) {
  impl_->integer = on && IntegerTraining().usable;
  impl_->integers = impl_->integer ? PlanIntegers(impl_->graph, impl_->fused) : IntegerPlan();
}

}  // namespace octet::train
