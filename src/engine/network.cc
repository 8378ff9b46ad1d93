#include "engine/network.h"

#include <algorithm>

#include "base/error.h"
#include "ir/op_def.h"
#include "ops/install.h"
#include "ops/quantized/epilogue.h"

namespace octet::engine {
namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

const Tensor& ConstantInput(const Graph& graph, const Node& node, size_t index, DType dtype, const char* what) {
  const ValueId id = node.input(index);
  OCTET_REQUIRE(id != kNoValue && graph.value(id).is_constant(),
                "engine: node '{}' ({}): {} must be a constant; was the graph made by the lowering pass?", node.name,
                node.op, what);
  const Tensor& t = graph.value(id).constant;
  OCTET_REQUIRE(t.dtype() == dtype, "engine: node '{}' ({}): {} must be {}, it is {}", node.name, node.op, what,
                NameOf(dtype), NameOf(t.dtype()));
  return t;
}

ConvWeights PackConvNode(const Graph& graph, const Node& node, const KernelSet& kernels) {
  const Tensor& w = ConstantInput(graph, node, 1, DType::kS8, "the weight");
  const Tensor& mul = ConstantInput(graph, node, 2, DType::kF32, "the multiplier");
  OCTET_REQUIRE(w.rank() == 4, "engine: node '{}': the weight has shape {}; expected OIHW", node.name,
                ToString(w.shape()));
  const int64_t out_c = w.dim(0);
  const int64_t in_c = w.dim(1);
  const int64_t taps = w.dim(2) * w.dim(3);
  const int64_t groups = node.attr_int("group", 1);
  OCTET_REQUIRE(mul.size() == out_c, "engine: node '{}': {} multipliers for {} channels", node.name, mul.size(), out_c);
  const float* bias = nullptr;
  if (node.input(3) != kNoValue) {
    const Tensor& b = ConstantInput(graph, node, 3, DType::kF32, "the bias");
    OCTET_REQUIRE(b.size() == out_c, "engine: node '{}': {} biases for {} channels", node.name, b.size(), out_c);
    bias = b.data<float>();
  }
  OCTET_REQUIRE(groups >= 1 && out_c % groups == 0, "engine: node '{}': {} channels in {} groups", node.name, out_c,
                groups);
  const int8_t* weights = w.data<int8_t>();
  const float y_scale = node.attr_float("y_scale", 0.0f);
  const bool f32_result = y_scale == 0.0f;
  const bool residual = node.input(4) != kNoValue;
  const float residual_scale = residual ? node.attr_float("residual_scale", 0.0f) : 0.0f;
  const bool function = ops::Epilogue::Of(node).activation.kind > quant::ActivationKind::kClip;
  ConvWeights packed;
  if (&kernels == &ReferenceKernels()) return packed;
  if (groups > 1 && in_c == 1 && out_c == groups && !f32_result && !residual) {
    packed.path = ConvWeights::kDepthwise;
    packed.depthwise = PackDepthwise(weights, mul.data<float>(), bias, out_c, taps, y_scale);
    if (node.attr_ints("strides", {1, 1}) == std::vector<int64_t>{1, 1}) {
      packed.depthwise_rows = PackDepthwiseRows(weights, mul.data<float>(), bias, out_c, w.dim(2), w.dim(3), y_scale);
    }
    if (function) {
      NeverFast(&packed.depthwise.fast);
      NeverFast(&packed.depthwise_rows.fast);
    }
    return packed;
  }
  const int64_t group_out = out_c / groups;
  // A group reads whole steps of 4 channels and writes whole vectors of 16.
  if (groups > 1 && (in_c % 4 != 0 || group_out % 16 != 0)) return packed;
  packed.path = ConvWeights::kDense;
  packed.splits = groups;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = g * group_out;
    packed.dense.push_back(PackConv(weights + first * in_c * taps, mul.data<float>() + first,
                                    bias ? bias + first : nullptr, group_out, in_c, taps, y_scale, residual_scale));
    if (function) NeverFast(&packed.dense.back().fast);
  }
  return packed;
}

// One number, or one for each output: what a packed product adds.
bool IsBiasOfOutputs(const Tensor& b, int64_t outputs) {
  if (b.dtype() != DType::kF32) return false;
  return b.size() == 1 || (b.size() == outputs && b.rank() > 0 && b.dim(-1) == outputs);
}

bool HasPackedGemm(const Graph& graph, const Node& node) {
  const ValueId w = node.input(1);
  const auto outputs = [&] { return graph.value(w).constant.dim(node.attr_int("transB", 0) != 0 ? 0 : 1); };
  return node.op == "Gemm" && node.attr_int("transA", 0) == 0 && w != kNoValue && graph.value(w).is_constant() &&
         graph.value(w).constant.dtype() == DType::kF32 &&
         (node.input(2) == kNoValue || (graph.value(node.input(2)).is_constant() &&
                                        IsBiasOfOutputs(graph.value(node.input(2)).constant, outputs())));
}

PackedGemm PackGemmNode(const Graph& graph, const Node& node) {
  const Tensor& w = graph.value(node.input(1)).constant;
  const bool transposed = node.attr_int("transB", 0) != 0;
  const int64_t out = w.dim(transposed ? 0 : 1);
  std::vector<float> bias;
  if (node.input(2) != kNoValue) {
    const Tensor& b = graph.value(node.input(2)).constant;
    for (int64_t k = 0; k < out; ++k)
      bias.push_back(b.data<float>()[b.size() == 1 ? 0 : k] * node.attr_float("beta", 1.0f));
  }
  return PackGemm(w.data<float>(), bias.empty() ? nullptr : bias.data(), out, w.dim(transposed ? 1 : 0), transposed,
                  node.attr_float("alpha", 1.0f));
}

void CheckNode(const Graph& graph, const Node& node) {
  OCTET_REQUIRE(node.op != "QuantizeLinear" && node.op != "DequantizeLinear",
                "engine: node '{}' is a {}: the graph is not lowered for the engine; build a plan from it first",
                node.name, node.op);
  const ir::OpDef& def = ir::GetOp(node);
  OCTET_REQUIRE(def.reference != nullptr, "engine: node '{}': operator {} has no kernel", node.name, node.op);
}

// A size behind the first that is unknown must follow from the batch: exporters write the batch as an axis in the
// middle as well.
void CheckSizes(const Graph& graph, const std::vector<ir::NodeId>& order) {
  for (const ir::NodeId id : order) {
    for (const ValueId out : graph.node(id).outputs) {
      if (out == kNoValue) continue;
      const Shape& shape = graph.value(out).type.shape;
      if (shape.empty() || std::find(shape.begin() + 1, shape.end(), ir::kDynamic) == shape.end()) continue;
      const Shape& input = graph.value(graph.inputs().at(0)).type.shape;
      WithBatch(graph, input.empty() || input[0] == ir::kDynamic ? 1 : input[0]);
      return;
    }
  }
}

}  // namespace

Nchw AsNchw(const Shape& shape) {
  if (shape.size() == 4) return {shape[0], shape[1], shape[2], shape[3]};
  Nchw result;
  if (!shape.empty()) result.n = shape[0];
  for (size_t i = 1; i < shape.size(); ++i) result.c *= shape[i];
  return result;
}

Graph WithBatch(const Graph& graph, int64_t batch) {
  OCTET_REQUIRE(batch >= 1, "engine: a batch of {} makes no sense", batch);
  Graph result = graph;
  for (const ValueId id : result.inputs()) {
    ir::TensorType type = result.value(id).type;
    for (size_t i = 0; i < type.shape.size(); ++i) {
      if (i == 0 && type.shape[i] == ir::kDynamic) type.shape[i] = batch;
      OCTET_REQUIRE(type.shape[i] > 0, "engine: input '{}' has an unknown or empty size: {}", result.value(id).name,
                    ir::ToString(type));
    }
    OCTET_REQUIRE(type.shape.empty() || type.shape[0] == batch,
                  "engine: input '{}' has the fixed shape {}; a batch of {} does not fit", result.value(id).name,
                  ir::ToString(type), batch);
    result.set_type(id, type);
  }
  ir::InferTypes(result);
  for (const ir::NodeId id : result.Order()) {
    for (const ValueId out : result.node(id).outputs) {
      if (out == kNoValue) continue;
      for (const int64_t d : result.value(out).type.shape) {
        OCTET_REQUIRE(d >= 0, "engine: node '{}': the size of '{}' is unknown", result.node(id).name,
                      result.value(out).name);
      }
    }
  }
  return result;
}

std::shared_ptr<const Network> CompileNetwork(const Graph& graph, const std::map<std::string, std::string>& info,
                                              const std::string& isa) {
  ops::InstallOps();
  auto network = std::make_shared<Network>();
  network->kernels = isa.empty() ? &SelectKernels() : &SelectKernels(isa);
  network->graph = graph;
  network->info = info;
  Graph& g = network->graph;
  OCTET_REQUIRE(!g.inputs().empty() && !g.outputs().empty(), "engine: graph '{}' has no input or no output", g.name());
  ir::InferTypes(g);
  network->order = g.Order();
  for (const ir::NodeId id : network->order) {
    const Node& node = g.node(id);
    CheckNode(g, node);
    if (node.op == "QConv") {
      network->conv[id] = PackConvNode(g, node, *network->kernels);
    } else if (HasPackedGemm(g, node)) {
      network->gemm[id] = PackGemmNode(g, node);
    }
  }
  CheckSizes(g, network->order);
  for (const ValueId id : g.inputs()) {
    const ir::Value& v = g.value(id);
    OCTET_REQUIRE(v.type.dtype == DType::kF32, "engine: input '{}' is {}; inputs are f32", v.name,
                  ir::ToString(v.type));
    network->inputs.push_back({v.name, v.type.shape});
  }
  for (const ValueId id : g.outputs()) {
    const ir::Value& v = g.value(id);
    OCTET_REQUIRE(v.type.dtype == DType::kF32, "engine: output '{}' is {}; outputs are f32: dequantize it", v.name,
                  ir::ToString(v.type));
    network->outputs.push_back({v.name, v.type.shape});
  }
  return network;
}

}  // namespace octet::engine
