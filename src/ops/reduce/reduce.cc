// Definitions of the reductions.
#include "ops/reduce/reduce.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

Types InferReduce(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  const auto axes_input = Has(inputs, 1) ? RequireConstInts(node, inputs, 1, "axes") : std::vector<int64_t>();
  const std::vector<int64_t> axes = ReducedAxes(node, in.size(), axes_input);
  Shape out;
  for (size_t a = 0; a < in.size(); ++a) {
    const bool reduced = std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(a));
    if (!reduced) {
      out.push_back(in[a]);
    } else if (node.attr_int("keepdims", 1) != 0) {
      out.push_back(1);
    }
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferArg(const Node& node, const Inputs& inputs) {
  Shape out = ShapeAt(node, inputs, 0);
  const int64_t axis = NormalAxis(node, node.attr_int("axis", 0), static_cast<int64_t>(out.size()));
  if (node.attr_int("keepdims", 1) != 0) {
    out[axis] = 1;
  } else {
    out.erase(out.begin() + axis);
  }
  return One(DType::kS64, out);
}

// The axis is a constant scalar, or a list of one.
Types InferCumSum(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  CumSumAxis(node, in.size(), RequireConstInts(node, inputs, 1, "axis"));
  return One(inputs[0]->type.dtype, in);
}

// Reductions over space leave batch and channels alone.
ir::ChannelFlow ReduceFlow(const Node& node, const Inputs& inputs) {
  const auto axes_input = Has(inputs, 1) ? RequireConstInts(node, inputs, 1, "axes") : std::vector<int64_t>();
  const std::vector<int64_t> axes = ReducedAxes(node, ShapeAt(node, inputs, 0).size(), axes_input);
  const bool spatial = axes.empty() || axes.front() >= 2;
  return spatial ? ir::ChannelFlow::kThrough : ir::ChannelFlow::kBarrier;
}

}  // namespace

std::vector<int64_t> ReducedAxes(const Node& node, size_t rank, const std::vector<int64_t>& axes_input) {
  std::vector<int64_t> axes = axes_input.empty() ? node.attr_ints("axes", {}) : axes_input;
  if (axes.empty() && node.attr_int("noop_with_empty_axes", 0) == 0) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (int64_t& a : axes) a = NormalAxis(node, a, static_cast<int64_t>(rank));
  std::sort(axes.begin(), axes.end());
  OCTET_REQUIRE(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "{}: axes hold one axis twice",
                Label(node));
  return axes;
}

int64_t CumSumAxis(const Node& node, size_t rank, const std::vector<int64_t>& axis) {
  OCTET_REQUIRE(axis.size() == 1, "{}: {} axes, expected one", Label(node), axis.size());
  return NormalAxis(node, axis[0], static_cast<int64_t>(rank));
}

void InstallReduce() {
  for (const char* name :
       {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL1", "ReduceL2"}) {
    OpDef def;
    def.name = name;
    def.max_inputs = 2;
    def.roles = {InputRole::kData, InputRole::kConst};
    def.attrs = {Ints("axes"), Int("keepdims", 1), Int("noop_with_empty_axes", 0)};
    def.quant.commutes = def.name == "ReduceMax" || def.name == "ReduceMin";
    def.prune.flow = ReduceFlow;
    def.infer = InferReduce;
    def.reference = ReduceReference;
    ir::RegisterOp(def);
  }
  for (const char* name : {"ArgMax", "ArgMin"}) {
    OpDef def;
    def.name = name;
    def.attrs = {Int("axis", 0), Int("keepdims", 1), Int("select_last_index", 0)};
    def.infer = InferArg;
    def.reference = ArgReference;
    ir::RegisterOp(def);
  }
  OpDef sums;
  sums.name = "CumSum";
  sums.min_inputs = sums.max_inputs = 2;
  sums.roles = {InputRole::kData, InputRole::kConst};
  sums.attrs = {Int("exclusive", 0), Int("reverse", 0)};
  sums.infer = InferCumSum;
  sums.reference = CumSumReference;
  ir::RegisterOp(sums);
}

}  // namespace octet::ops
