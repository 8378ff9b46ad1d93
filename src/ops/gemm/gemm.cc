// Definitions of Gemm and MatMul.
#include "ops/gemm/gemm.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

Types InferGemm(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 2, 2);
  RequireRank(node, inputs, 1, 2, 2);
  RequireFloat(node, inputs, 0);
  const Shape& a = inputs[0]->type.shape;
  const Shape& b = inputs[1]->type.shape;
  const bool ta = node.attr_int("transA", 0) != 0, tb = node.attr_int("transB", 0) != 0;
  const int64_t depth_a = a[ta ? 0 : 1], depth_b = b[tb ? 1 : 0];
  OCTET_REQUIRE(depth_a < 0 || depth_b < 0 || depth_a == depth_b,
                "{}: A {}{} and B {}{} do not multiply: {} columns against {} rows", Label(node), Describe(inputs[0]),
                ta ? " (transposed)" : "", Describe(inputs[1]), tb ? " (transposed)" : "", depth_a, depth_b);
  Shape out = {a[ta ? 1 : 0], b[tb ? 0 : 1]};
  if (Has(inputs, 2)) {
    const Shape& c = inputs[2]->type.shape;
    const Shape both = BroadcastShape(node, out, c);
    bool fits = both.size() == 2;
    for (size_t i = 0; fits && i < 2; ++i) fits = both[i] == out[i] || out[i] < 0;
    OCTET_REQUIRE(fits, "{}: C {} does not broadcast to {}", Label(node), Describe(inputs[2]), octet::ToString(out));
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferMatMul(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 1);
  RequireRank(node, inputs, 1, 1);
  RequireFloat(node, inputs, 0);
  Shape a = inputs[0]->type.shape, b = inputs[1]->type.shape;
  const bool vector_a = a.size() == 1, vector_b = b.size() == 1;
  if (vector_a) a.insert(a.begin(), 1);
  if (vector_b) b.push_back(1);
  const int64_t depth_a = a.back(), depth_b = b[b.size() - 2];
  OCTET_REQUIRE(depth_a < 0 || depth_b < 0 || depth_a == depth_b,
                "{}: A {} and B {} do not multiply: {} columns against {} rows", Label(node), Describe(inputs[0]),
                Describe(inputs[1]), depth_a, depth_b);
  Shape out = BroadcastShape(node, Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (!vector_a) out.push_back(a[a.size() - 2]);
  if (!vector_b) out.push_back(b.back());
  return One(inputs[0]->type.dtype, out);
}

// Rows of the first operand (for a matrix: one, the image) times the size of the weight.
int64_t MatrixMacs(const Node& node, const Inputs& inputs, const ir::Value&) {
  const Shape& a = ShapeAt(node, inputs, 0);
  const Shape& b = ShapeAt(node, inputs, 1);
  return (a.size() > 2 ? Product(a, 1, a.size() - 1) : 1) * Product(b, b.size() > 2 ? b.size() - 2 : 0, b.size());
}

}  // namespace

void InstallGemm() {
  OpDef gemm;
  gemm.name = "Gemm";
  gemm.min_inputs = 2;
  gemm.max_inputs = 3;
  gemm.roles = {InputRole::kData, InputRole::kWeight, InputRole::kParam};
  gemm.attrs = {Float("alpha", 1.0f), Float("beta", 1.0f), Int("transA", 0), Int("transB", 0)};
  gemm.quant.region = ir::RegionRole::kAnchor;
  gemm.quant.weight_axis = [](const Node& node) { return node.attr_int("transB", 0) != 0 ? 0 : 1; };
  gemm.prune.flow = [](const Node& node, const Inputs&) {
    return node.attr_int("transA", 0) == 0 ? ir::ChannelFlow::kLayer : ir::ChannelFlow::kBarrier;
  };
  gemm.prune.weight_input_axis = [](const Node& node) { return node.attr_int("transB", 0) != 0 ? 1 : 0; };
  gemm.macs = MatrixMacs;
  gemm.infer = InferGemm;
  gemm.reference = GemmReference;
  ir::RegisterOp(gemm);

  OpDef matmul;
  matmul.name = "MatMul";
  matmul.min_inputs = matmul.max_inputs = 2;
  matmul.roles = {InputRole::kData, InputRole::kWeight};
  matmul.quant.region = ir::RegionRole::kAnchor;
  matmul.quant.weight_axis = [](const Node&) { return 1; };  // weights are matrices: the last of two axes
  matmul.prune.flow = [](const Node& node, const Inputs& inputs) {
    const bool matrices = ShapeAt(node, inputs, 0).size() == 2 && ShapeAt(node, inputs, 1).size() == 2;
    return matrices ? ir::ChannelFlow::kLayer : ir::ChannelFlow::kBarrier;
  };
  matmul.prune.weight_input_axis = [](const Node&) { return 0; };
  matmul.macs = MatrixMacs;
  matmul.infer = InferMatMul;
  matmul.reference = MatMulReference;
  ir::RegisterOp(matmul);
}

}  // namespace octet::ops
