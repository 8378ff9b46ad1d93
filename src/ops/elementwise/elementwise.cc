// Definitions of the element-wise operators.
#include "ops/elementwise/elementwise.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

void RequireSameType(const Node& node, const Inputs& inputs, size_t i, size_t j) {
  OCTET_REQUIRE(DTypeAt(node, inputs, i) == DTypeAt(node, inputs, j),
                "{}: inputs {} and {} have different element types", Label(node), Describe(inputs[i]),
                Describe(inputs[j]));
}

Shape BroadcastAll(const Node& node, const Inputs& inputs) {
  Shape shape = ShapeAt(node, inputs, 0);
  for (size_t i = 1; i < inputs.size(); ++i) shape = BroadcastShape(node, shape, ShapeAt(node, inputs, i));
  return shape;
}

Types InferArithmetic(const Node& node, const Inputs& inputs) {
  for (size_t i = 1; i < inputs.size(); ++i) RequireSameType(node, inputs, 0, i);
  return One(DTypeAt(node, inputs, 0), BroadcastAll(node, inputs));
}

Types InferPow(const Node& node, const Inputs& inputs) {
  return One(DTypeAt(node, inputs, 0), BroadcastAll(node, inputs));
}

Types InferCompare(const Node& node, const Inputs& inputs) {
  RequireSameType(node, inputs, 0, 1);
  return One(DType::kBool, BroadcastAll(node, inputs));
}

Types InferLogic(const Node& node, const Inputs& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    OCTET_REQUIRE(DTypeAt(node, inputs, i) == DType::kBool, "{}: input {}: expected element type bool", Label(node),
                  Describe(inputs[i]));
  }
  return One(DType::kBool, BroadcastAll(node, inputs));
}

Types InferWhere(const Node& node, const Inputs& inputs) {
  OCTET_REQUIRE(DTypeAt(node, inputs, 0) == DType::kBool, "{}: condition {}: expected element type bool", Label(node),
                Describe(inputs[0]));
  RequireSameType(node, inputs, 1, 2);
  return One(DTypeAt(node, inputs, 1), BroadcastAll(node, inputs));
}

OpDef Broadcasting(const char* name, int min_inputs, int max_inputs) {
  OpDef def;
  def.name = name;
  def.min_inputs = min_inputs;
  def.max_inputs = max_inputs;
  def.roles = {InputRole::kData};
  def.prune.flow = Always(ir::ChannelFlow::kJoin);
  def.infer = InferArithmetic;
  def.reference = ArithmeticReference;
  return def;
}

}  // namespace

void InstallElementwise() {
  OpDef add = Broadcasting("Add", 2, 2);
  add.quant.region = ir::RegionRole::kJoin;
  ir::RegisterOp(add);
  for (const char* name : {"Sub", "Mul", "Div"}) ir::RegisterOp(Broadcasting(name, 2, 2));
  for (const char* name : {"Max", "Min", "Sum", "Mean"}) ir::RegisterOp(Broadcasting(name, 1, -1));

  OpDef pow = Broadcasting("Pow", 2, 2);
  pow.infer = InferPow;
  pow.reference = PowReference;
  ir::RegisterOp(pow);

  for (const char* name : {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}) {
    OpDef compare = Broadcasting(name, 2, 2);
    compare.infer = InferCompare;
    compare.reference = CompareReference;
    ir::RegisterOp(compare);
  }
  for (const char* name : {"And", "Or", "Not"}) {
    const int count = std::string(name) == "Not" ? 1 : 2;
    OpDef logic = Broadcasting(name, count, count);
    logic.infer = InferLogic;
    logic.reference = LogicReference;
    ir::RegisterOp(logic);
  }
  OpDef where = Broadcasting("Where", 3, 3);
  where.infer = InferWhere;
  where.reference = WhereReference;
  ir::RegisterOp(where);

  for (const char* name :
       {"Abs", "Neg", "Sign", "Sqrt", "Exp", "Log", "Reciprocal", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos"}) {
    OpDef unary;
    unary.name = name;
    unary.prune.flow = Always(ir::ChannelFlow::kThrough);
    unary.infer = SameAsFirst;
    unary.reference = UnaryReference;
    ir::RegisterOp(unary);
  }
}

}  // namespace octet::ops
