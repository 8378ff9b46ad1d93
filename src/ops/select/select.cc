#include "ops/select/select.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

void RequireIndices(const Node& node, const Inputs& inputs, size_t i) {
  const DType type = DTypeAt(node, inputs, i);
  OCTET_REQUIRE(type == DType::kS64 || type == DType::kS32, "{}: indices {}: expected element type s64 or s32",
                Label(node), Describe(inputs[i]));
}

// The length of the index tuples, which says the output's rank.
int64_t TupleLength(const Node& node, const Inputs& inputs, size_t rank, size_t batch_dims) {
  const Shape& indices = ShapeAt(node, inputs, 1);
  OCTET_REQUIRE(!indices.empty() && indices.back() > 0, "{}: indices {}: their last size must be known", Label(node),
                Describe(inputs[1]));
  OCTET_REQUIRE(static_cast<size_t>(indices.back()) + batch_dims <= rank,
                "{}: tuples of {} indices (and {} batch dimensions) for {}", Label(node), indices.back(), batch_dims,
                Describe(inputs[0]));
  return indices.back();
}

Types InferGatherNd(const Node& node, const Inputs& inputs) {
  RequireIndices(node, inputs, 1);
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& indices = ShapeAt(node, inputs, 1);
  const int64_t batch = node.attr_int("batch_dims", 0);
  OCTET_REQUIRE(batch >= 0 && batch < static_cast<int64_t>(std::min(x.size(), indices.size())),
                "{}: batch_dims {} for {} and {}", Label(node), batch, Describe(inputs[0]), Describe(inputs[1]));
  for (int64_t i = 0; i < batch; ++i) {
    OCTET_REQUIRE(x[i] < 0 || indices[i] < 0 || x[i] == indices[i], "{}: {} and {} differ in batch dimension {}",
                  Label(node), Describe(inputs[0]), Describe(inputs[1]), i);
  }
  const int64_t length = TupleLength(node, inputs, x.size(), static_cast<size_t>(batch));
  Shape out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), x.begin() + batch + length, x.end());
  return One(inputs[0]->type.dtype, out);
}

Types InferGatherElements(const Node& node, const Inputs& inputs) {
  RequireIndices(node, inputs, 1);
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& indices = ShapeAt(node, inputs, 1);
  const int64_t axis = NormalAxis(node, node.attr_int("axis", 0), static_cast<int64_t>(x.size()));
  OCTET_REQUIRE(x.size() == indices.size(), "{}: data {} and indices {} differ in rank", Label(node),
                Describe(inputs[0]), Describe(inputs[1]));
  for (size_t i = 0; i < x.size(); ++i) {
    OCTET_REQUIRE(static_cast<int64_t>(i) == axis || x[i] < 0 || indices[i] <= x[i],
                  "{}: indices {} are larger than data {} in dimension {}", Label(node), Describe(inputs[1]),
                  Describe(inputs[0]), i);
  }
  return One(inputs[0]->type.dtype, indices);
}

Types InferScatterNd(const Node& node, const Inputs& inputs) {
  RequireIndices(node, inputs, 1);
  const Shape& x = ShapeAt(node, inputs, 0);
  const Shape& indices = ShapeAt(node, inputs, 1);
  const int64_t length = TupleLength(node, inputs, x.size(), 0);
  Shape updates(indices.begin(), indices.end() - 1);
  updates.insert(updates.end(), x.begin() + length, x.end());
  const Shape& given = ShapeAt(node, inputs, 2);
  bool fits = given.size() == updates.size();
  for (size_t i = 0; fits && i < given.size(); ++i) fits = given[i] < 0 || updates[i] < 0 || given[i] == updates[i];
  OCTET_REQUIRE(fits, "{}: updates {}: expected the shape {}", Label(node), Describe(inputs[2]),
                octet::ToString(updates));
  return One(inputs[0]->type.dtype, x);
}

Types InferTopK(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const int64_t axis = NormalAxis(node, node.attr_int("axis", -1), static_cast<int64_t>(out.size()));
  const std::vector<int64_t> k = RequireConstInts(node, inputs, 1, "number of elements");
  OCTET_REQUIRE(k.size() == 1 && k[0] >= 0 && (out[axis] < 0 || k[0] <= out[axis]), "{}: k {} for axis {} of {}",
                Label(node), octet::ToString(k), axis, Describe(inputs[0]));
  out[axis] = k[0];
  return {{inputs[0]->type.dtype, out}, {DType::kS64, out}};
}

OpDef Def(const char* name, int inputs, std::vector<InputRole> roles) {
  OpDef def;
  def.name = name;
  def.min_inputs = def.max_inputs = inputs;
  def.roles = std::move(roles);
  return def;
}

}  // namespace

void InstallSelect() {
  OpDef gather_nd = Def("GatherND", 2, {InputRole::kData, InputRole::kConst});
  gather_nd.attrs = {Int("batch_dims", 0)};
  gather_nd.quant.commutes = gather_nd.quant.moves = true;
  gather_nd.infer = InferGatherNd;
  gather_nd.reference = GatherNdReference;
  ir::RegisterOp(gather_nd);

  OpDef gather_elements = Def("GatherElements", 2, {InputRole::kData, InputRole::kConst});
  gather_elements.attrs = {Int("axis", 0)};
  gather_elements.infer = InferGatherElements;
  gather_elements.reference = GatherElementsReference;
  ir::RegisterOp(gather_elements);

  OpDef scatter = Def("ScatterND", 3, {InputRole::kData, InputRole::kConst, InputRole::kData});
  scatter.attrs = {String("reduction", "none")};
  scatter.infer = InferScatterNd;
  scatter.reference = ScatterNdReference;
  ir::RegisterOp(scatter);

  OpDef top_k = Def("TopK", 2, {InputRole::kData, InputRole::kConst});
  top_k.max_outputs = 2;
  top_k.attrs = {Int("axis", -1), Int("largest", 1), Int("sorted", 1)};
  top_k.infer = InferTopK;
  top_k.reference = TopKReference;
  ir::RegisterOp(top_k);
}

}  // namespace octet::ops
