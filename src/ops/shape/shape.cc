// Definitions: shape inference is where these operators have their meaning.
#include "ops/shape/shape.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

struct OnnxType {
  int64_t number;
  DType dtype;
};
constexpr OnnxType kOnnxTypes[] = {{1, DType::kF32}, {2, DType::kU8},   {3, DType::kS8},  {6, DType::kS32},
                                   {7, DType::kS64}, {9, DType::kBool}, {11, DType::kF64}};

// 0 copies the input's size (unless allowzero), -1 takes what is left. An unknown batch stays unknown when the elements
// beside it fill the sizes beside -1, or when its place is copied.
Types InferReshape(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  const std::vector<int64_t> wanted = RequireConstInts(node, inputs, 1, "shape");
  const bool allow_zero = node.attr_int("allowzero", 0) != 0;
  Shape out;
  int64_t hole = -1;
  std::vector<bool> copied(in.size(), false);
  for (size_t i = 0; i < wanted.size(); ++i) {
    OCTET_REQUIRE(wanted[i] >= -1, "{}: shape {} holds {}", Label(node), octet::ToString(wanted), wanted[i]);
    if (wanted[i] == 0 && !allow_zero) {
      OCTET_REQUIRE(i < in.size(), "{}: 0 at place {} of the new shape copies a size that data {} does not have",
                    Label(node), i, Describe(inputs[0]));
      copied[i] = in[i] < 0;
      out.push_back(in[i]);
      continue;
    }
    if (wanted[i] == -1) {
      OCTET_REQUIRE(hole < 0, "{}: the new shape has -1 twice", Label(node));
      hole = static_cast<int64_t>(i);
    }
    out.push_back(wanted[i]);
  }
  // Compare the known factors; unknown sizes that were copied cancel.
  int64_t have = 1, need = 1;
  bool unknown = false;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] >= 0)
      have *= in[i];
    else if (!copied[i])
      unknown = true;
  }
  NumElements(out);  // checks that the product can be counted
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] >= 0) need *= out[i];
  }
  const auto refuse = [&] {
    OCTET_FAIL("{}: data {} ({} elements) does not reshape to {}", Label(node), Describe(inputs[0]), have,
               octet::ToString(wanted));
  };
  if (hole >= 0) {
    if (!unknown) {
      if (need == 0 || have % need != 0) refuse();
      out[static_cast<size_t>(hole)] = have / need;
    }
  } else if (!unknown && have != need) {
    refuse();
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferFlatten(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  const auto rank = static_cast<int64_t>(in.size());
  int64_t axis = node.attr_int("axis", 1);
  OCTET_REQUIRE(axis >= -rank && axis <= rank, "{}: axis {} is outside a tensor of {} dimensions", Label(node), axis,
                rank);
  if (axis < 0) axis += rank;
  return One(inputs[0]->type.dtype,
             {Product(in, 0, static_cast<size_t>(axis)), Product(in, static_cast<size_t>(axis), in.size())});
}

Types InferSqueeze(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  std::vector<bool> drop(in.size(), false);
  if (Has(inputs, 1)) {
    for (const int64_t a : RequireConstInts(node, inputs, 1, "axes")) {
      const int64_t axis = NormalAxis(node, a, static_cast<int64_t>(in.size()));
      OCTET_REQUIRE(in[axis] == 1 || in[axis] < 0, "{}: axis {} of {} has size {}, expected 1", Label(node), a,
                    Describe(inputs[0]), in[axis]);
      drop[axis] = true;
    }
  } else {
    for (size_t i = 0; i < in.size(); ++i) drop[i] = in[i] == 1;
  }
  Shape out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!drop[i]) out.push_back(in[i]);
  }
  return One(inputs[0]->type.dtype, out);
}

Types InferUnsqueeze(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  const std::vector<int64_t> axes = RequireConstInts(node, inputs, 1, "axes");
  const size_t rank = in.size() + axes.size();
  std::vector<bool> added(rank, false);
  for (const int64_t a : axes) {
    const int64_t axis = NormalAxis(node, a, static_cast<int64_t>(rank));
    OCTET_REQUIRE(!added[axis], "{}: axes hold {} twice", Label(node), axis);
    added[axis] = true;
  }
  Shape out;
  for (size_t i = 0, from = 0; i < rank; ++i) out.push_back(added[i] ? 1 : in[from++]);
  return One(inputs[0]->type.dtype, out);
}

Types InferDropout(const Node& node, const Inputs& inputs) {
  const TensorType x = At(node, inputs, 0).type;
  if (node.outputs.size() > 1) return {x, {DType::kBool, x.shape}};
  return {x};
}

Types InferShape(const Node& node, const Inputs& inputs) {
  const auto rank = static_cast<int64_t>(ShapeAt(node, inputs, 0).size());
  const auto clamp = [&](int64_t at) { return std::max<int64_t>(0, std::min(at < 0 ? at + rank : at, rank)); };
  return One(DType::kS64, {std::max<int64_t>(0, clamp(node.attr_int("end", rank)) - clamp(node.attr_int("start", 0)))});
}

Types InferConstantOfShape(const Node& node, const Inputs& inputs) {
  const std::vector<int64_t> shape = RequireConstInts(node, inputs, 0, "shape");
  for (const int64_t d : shape) OCTET_REQUIRE(d >= 0, "{}: shape {} holds {}", Label(node), octet::ToString(shape), d);
  const auto it = node.attrs.find("value");
  const Tensor* value = it == node.attrs.end() ? nullptr : std::get_if<Tensor>(&it->second);
  return One(value != nullptr && value->defined() ? value->dtype() : DType::kF32, shape);
}

// A reshape that keeps batch and channels apart, or that runs channels and space together.
ir::ChannelFlow ReshapeFlow(const Shape& in, const Shape& out) {
  if (in.size() < 2 || out.size() < 2 || in[0] != out[0]) return ir::ChannelFlow::kBarrier;
  const int64_t space = Product(in, 2, in.size());
  if (in[1] < 0 || space < 0) return ir::ChannelFlow::kBarrier;
  if (out[1] == in[1] && Product(out, 2, out.size()) == space) return ir::ChannelFlow::kThrough;
  const bool flat = out.size() == 2 && out[1] == in[1] * space;
  return flat ? ir::ChannelFlow::kFlatten : ir::ChannelFlow::kBarrier;
}

FlowRule ReshapeFlowOf(Types (*infer)(const Node&, const Inputs&)) {
  return [infer](const Node& node, const Inputs& inputs) {
    return ReshapeFlow(ShapeAt(node, inputs, 0), infer(node, inputs)[0].shape);
  };
}

// Adding or dropping axes of size 1 behind the first two.
FlowRule TrailingAxes(bool adds) {
  return [adds](const Node& node, const Inputs& inputs) {
    const auto rank = static_cast<int64_t>(ShapeAt(node, inputs, 0).size());
    const auto axes = ConstInts(inputs, 1);
    const int64_t all = rank + (adds && axes ? static_cast<int64_t>(axes->size()) : 0);
    const bool trailing = rank >= 2 && axes && std::all_of(axes->begin(), axes->end(), [&](int64_t a) {
                            return NormalAxis(node, a, all) >= 2;
                          });
    return trailing ? ir::ChannelFlow::kThrough : ir::ChannelFlow::kBarrier;
  };
}

OpDef Keeps(const char* name, bool commutes = true) {
  OpDef def;
  def.name = name;
  def.quant.commutes = def.quant.moves = commutes;
  def.reference = ReshapeReference;
  return def;
}

void InstallReshapes() {
  OpDef reshape = Keeps("Reshape");
  reshape.min_inputs = reshape.max_inputs = 2;
  reshape.roles = {InputRole::kData, InputRole::kConst};
  reshape.attrs = {Int("allowzero", 0)};
  reshape.prune.flow = ReshapeFlowOf(InferReshape);
  reshape.prune.shape_input = 1;
  reshape.infer = InferReshape;
  ir::RegisterOp(reshape);

  OpDef flatten = Keeps("Flatten");
  flatten.attrs = {Int("axis", 1)};
  flatten.prune.flow = ReshapeFlowOf(InferFlatten);
  flatten.infer = InferFlatten;
  ir::RegisterOp(flatten);

  OpDef squeeze = Keeps("Squeeze");
  squeeze.max_inputs = 2;
  squeeze.roles = {InputRole::kData, InputRole::kConst};
  squeeze.prune.flow = TrailingAxes(/*adds=*/false);
  squeeze.infer = InferSqueeze;
  ir::RegisterOp(squeeze);

  OpDef unsqueeze = squeeze;
  unsqueeze.name = "Unsqueeze";
  unsqueeze.min_inputs = 2;
  unsqueeze.prune.flow = TrailingAxes(/*adds=*/true);
  unsqueeze.infer = InferUnsqueeze;
  ir::RegisterOp(unsqueeze);

  OpDef identity = Keeps("Identity");
  identity.prune.flow = Always(ir::ChannelFlow::kThrough);
  identity.infer = SameAsFirst;
  ir::RegisterOp(identity);

  // octet's own: a constant that training changes, where the operator that reads it would not say so. Folded away
  // before any export.
  OpDef parameter = Keeps("Parameter", /*commutes=*/false);
  parameter.roles = {InputRole::kParam};
  parameter.infer = SameAsFirst;
  ir::RegisterOp(parameter);

  OpDef dropout = Keeps("Dropout");
  dropout.max_inputs = 3;
  dropout.max_outputs = 2;
  dropout.quant.moves = false;  // not in training
  dropout.roles = {InputRole::kData, InputRole::kConst, InputRole::kConst};
  // per_sample: octet's drop-connect, which drops whole samples in training; removed before any export.
  dropout.attrs = {Int("seed", 0), Int("per_sample", 0)};
  dropout.prune.flow = Always(ir::ChannelFlow::kThrough);
  dropout.infer = InferDropout;
  dropout.reference = DropoutReference;
  ir::RegisterOp(dropout);
}

}  // namespace

DType DTypeFromOnnx(const Node& node, int64_t onnx_type) {
  for (const OnnxType& t : kOnnxTypes) {
    if (t.number == onnx_type) return t.dtype;
  }
  OCTET_FAIL("{}: ONNX element type {} is not supported; expected float, double, int8, uint8, int32, int64 or bool",
             Label(node), onnx_type);
}

int64_t OnnxOfDType(DType dtype) {
  for (const OnnxType& t : kOnnxTypes) {
    if (t.dtype == dtype) return t.number;
  }
  OCTET_CHECK(false, "element type {} has no ONNX number", NameOf(dtype));
}

Tensor ConstantValue(const Node& node) {
  for (const auto& [key, attr] : node.attrs) {
    if (key == "value" && std::holds_alternative<Tensor>(attr)) return std::get<Tensor>(attr);
    if (key == "value_float") return Tensor::Scalar<float>(node.attr_float(key, 0));
    if (key == "value_int") return Tensor::Scalar<int64_t>(node.attr_int(key, 0));
    if (key == "value_floats") {
      const auto v = node.attr_floats(key, {});
      return Tensor::From<float>({static_cast<int64_t>(v.size())}, v);
    }
    if (key == "value_ints") {
      const auto v = node.attr_ints(key, {});
      return Tensor::From<int64_t>({static_cast<int64_t>(v.size())}, v);
    }
  }
  OCTET_FAIL("{}: no value; expected attribute value, value_float, value_floats, value_int or value_ints", Label(node));
}

void InstallShape() {
  InstallReshapes();

  OpDef shape;
  shape.name = "Shape";
  shape.attrs = {Int("start", 0), Int("end", std::numeric_limits<int64_t>::max())};
  shape.infer = InferShape;
  shape.reference = ShapeReference;
  ir::RegisterOp(shape);

  OpDef size;
  size.name = "Size";
  size.infer = [](const Node&, const Inputs&) { return One(DType::kS64, {}); };
  size.reference = SizeReference;
  ir::RegisterOp(size);

  OpDef cast;
  cast.name = "Cast";
  cast.attrs = {Required(Int("to", 1)), Int("saturate", 1)};
  cast.prune.flow = Always(ir::ChannelFlow::kThrough);
  cast.infer = [](const Node& node, const Inputs& inputs) {
    return One(DTypeFromOnnx(node, node.attr_int("to", 1)), ShapeAt(node, inputs, 0));
  };
  cast.reference = CastReference;
  ir::RegisterOp(cast);

  OpDef constant;
  constant.name = "Constant";
  constant.min_inputs = constant.max_inputs = 0;
  constant.attrs = {TensorAttr("value"), Float("value_float", 0), Floats("value_floats"), Int("value_int", 0),
                    Ints("value_ints")};
  constant.infer = [](const Node& node, const Inputs&) {
    const Tensor value = ConstantValue(node);
    return One(value.dtype(), value.shape());
  };
  constant.reference = ConstantReference;
  ir::RegisterOp(constant);

  OpDef fill;
  fill.name = "ConstantOfShape";
  fill.roles = {InputRole::kConst};
  fill.attrs = {TensorAttr("value")};
  fill.infer = InferConstantOfShape;
  fill.reference = ConstantOfShapeReference;
  ir::RegisterOp(fill);
}

}  // namespace octet::ops
