// Definitions of the pools (ONNX opset 12, with AveragePool's later dilations).
#include "ops/pool/pool.h"

#include "base/error.h"
#include "ops/window.h"

namespace octet::ops {
namespace {

Types InferPool(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 3, 5);
  const TensorType& x = inputs[0]->type;
  const Window window = ResolveWindow(node, Spatial(x.shape), node.attr_ints("kernel_shape", {}));
  Shape out = {x.shape[0], x.shape[1]};
  out.insert(out.end(), window.out.begin(), window.out.end());
  Types types = One(x.dtype, out);
  if (node.outputs.size() > 1) types.push_back({DType::kS64, out});
  return types;
}

Types InferAveragePool(const Node& node, const Inputs& inputs) {
  RequireFloat(node, inputs, 0);
  return InferPool(node, inputs);
}

Types InferGlobal(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 2, 5);
  Shape out = ShapeAt(node, inputs, 0);
  for (size_t i = 2; i < out.size(); ++i) out[i] = 1;
  return One(inputs[0]->type.dtype, out);
}

OpDef WindowPool(const char* name) {
  OpDef def;
  def.name = name;
  def.attrs = {String("auto_pad", "NOTSET"),   Int("ceil_mode", 0), Ints("dilations"),
               Required(Ints("kernel_shape")), Ints("pads"),        Ints("strides")};
  def.prune.flow = Always(ir::ChannelFlow::kThrough);
  def.infer = InferPool;
  return def;
}

}  // namespace

void InstallPool() {
  OpDef max = WindowPool("MaxPool");
  max.attrs.push_back(Int("storage_order", 0));
  max.max_outputs = 2;
  max.quant.commutes = true;
  max.reference = MaxPoolReference;
  ir::RegisterOp(max);

  OpDef average = WindowPool("AveragePool");
  average.attrs.push_back(Int("count_include_pad", 0));
  average.infer = InferAveragePool;
  average.reference = AveragePoolReference;
  ir::RegisterOp(average);

  OpDef global_max;
  global_max.name = "GlobalMaxPool";
  global_max.quant.commutes = true;
  global_max.prune.flow = Always(ir::ChannelFlow::kThrough);
  global_max.infer = InferGlobal;
  global_max.reference = GlobalMaxPoolReference;
  ir::RegisterOp(global_max);

  OpDef global_average;
  global_average.name = "GlobalAveragePool";
  global_average.prune.flow = Always(ir::ChannelFlow::kThrough);
  global_average.infer = [](const Node& node, const Inputs& inputs) {
    RequireFloat(node, inputs, 0);
    return InferGlobal(node, inputs);
  };
  global_average.reference = GlobalAveragePoolReference;
  ir::RegisterOp(global_average);
}

}  // namespace octet::ops
