#include "ops/rules.h"

#include <algorithm>

#include "base/error.h"

namespace octet::ops {

ir::AttrDef Int(std::string name, int64_t value) {
  return {std::move(name), value, false};
}
ir::AttrDef Float(std::string name, float value) {
  return {std::move(name), value, false};
}
ir::AttrDef String(std::string name, std::string value) {
  return {std::move(name), std::move(value), false};
}
ir::AttrDef Ints(std::string name, std::vector<int64_t> value) {
  return {std::move(name), std::move(value), false};
}
ir::AttrDef Floats(std::string name, std::vector<float> value) {
  return {std::move(name), std::move(value), false};
}
ir::AttrDef TensorAttr(std::string name) {
  return {std::move(name), Tensor(), false};
}
ir::AttrDef Required(ir::AttrDef attr) {
  attr.required = true;
  return attr;
}

std::string Label(const Node& node) {
  return fmt::format("node '{}' ({})", node.name, node.op);
}

std::string Describe(const ir::Value* value) {
  return value == nullptr ? "(absent)" : fmt::format("'{}' {}", value->name, ir::ToString(value->type));
}

bool Has(const Inputs& inputs, size_t i) {
  return i < inputs.size() && inputs[i] != nullptr;
}
bool Has(const Tensors& inputs, size_t i) {
  return i < inputs.size() && inputs[i].defined();
}

const ir::Value& At(const Node& node, const Inputs& inputs, size_t i) {
  OCTET_REQUIRE(Has(inputs, i), "{}: input {} is missing", Label(node), i);
  return *inputs[i];
}

const Shape& ShapeAt(const Node& node, const Inputs& inputs, size_t i) {
  return At(node, inputs, i).type.shape;
}
DType DTypeAt(const Node& node, const Inputs& inputs, size_t i) {
  return At(node, inputs, i).type.dtype;
}

void RequireRank(const Node& node, const Inputs& inputs, size_t i, int min_rank, int max_rank) {
  const int rank = static_cast<int>(ShapeAt(node, inputs, i).size());
  OCTET_REQUIRE(rank >= min_rank && rank <= max_rank, "{}: input {} is {}: expected {} to {} dimensions, found {}",
                Label(node), i, Describe(inputs[i]), min_rank, max_rank, rank);
}

void RequireFloat(const Node& node, const Inputs& inputs, size_t i) {
  const DType dtype = DTypeAt(node, inputs, i);
  OCTET_REQUIRE(dtype == DType::kF32 || dtype == DType::kF64, "{}: input {} is {}: expected element type f32",
                Label(node), i, Describe(inputs[i]));
}

void RequireVector(const Node& node, const Inputs& inputs, size_t i, const char* what, int64_t size) {
  const Shape& shape = ShapeAt(node, inputs, i);
  OCTET_REQUIRE(shape.size() == 1 && (shape[0] == size || shape[0] < 0 || size < 0), "{}: {} {}: expected [{}]",
                Label(node), what, Describe(inputs[i]), size);
}

std::optional<std::vector<int64_t>> ConstInts(const Inputs& inputs, size_t i) {
  if (!Has(inputs, i) || !inputs[i]->is_constant()) return std::nullopt;
  return inputs[i]->constant.ToVector<int64_t>();
}

std::optional<std::vector<float>> ConstFloats(const Inputs& inputs, size_t i) {
  if (!Has(inputs, i) || !inputs[i]->is_constant()) return std::nullopt;
  return inputs[i]->constant.ToVector<float>();
}

std::vector<int64_t> RequireConstInts(const Node& node, const Inputs& inputs, size_t i, const char* what) {
  At(node, inputs, i);
  auto values = ConstInts(inputs, i);
  OCTET_REQUIRE(
      values.has_value(),
      "{}: {} {} is computed at run time, so the output's shape is unknown: it must be a constant (fold constants "
      "first, or export the network with a fixed image size)",
      Label(node), what, Describe(inputs[i]));
  return *values;
}

bool Known(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](int64_t d) { return d >= 0; });
}

int64_t NormalAxis(const Node& node, int64_t axis, int64_t rank) {
  OCTET_REQUIRE(axis >= -rank && axis < rank, "{}: axis {} is outside a tensor of {} dimensions", Label(node), axis,
                rank);
  return axis < 0 ? axis + rank : axis;
}

Shape BroadcastShape(const Node& node, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i + a.size() < out.size() ? 1 : a[i + a.size() - out.size()];
    const int64_t db = i + b.size() < out.size() ? 1 : b[i + b.size() - out.size()];
    if (da == db || db == 1) {
      out[i] = da;
    } else if (da == 1 || da < 0) {
      out[i] = db;  // an unknown size beside a known one above 1 must be that one, or 1
    } else {
      OCTET_REQUIRE(db < 0, "{}: shapes {} and {} do not broadcast: sizes {} and {} differ and neither is 1",
                    Label(node), octet::ToString(a), octet::ToString(b), da, db);
      out[i] = da;
    }
  }
  return out;
}

Shape Spatial(const Shape& shape) {
  return Shape(shape.begin() + std::min<size_t>(2, shape.size()), shape.end());
}

int64_t Product(const Shape& shape, size_t begin, size_t end) {
  int64_t n = 1;
  for (size_t i = begin; i < end; ++i) {
    if (shape[i] < 0) return kDynamic;
    n *= shape[i];
  }
  return n;
}

FlowRule Always(ir::ChannelFlow flow) {
  return [flow](const Node&, const Inputs&) { return flow; };
}

Types One(DType dtype, Shape shape) {
  return {TensorType{dtype, std::move(shape)}};
}

Types SameAsFirst(const Node& node, const Inputs& inputs) {
  return {At(node, inputs, 0).type};
}

Types SameAsFirstFloat(const Node& node, const Inputs& inputs) {
  RequireFloat(node, inputs, 0);
  return {At(node, inputs, 0).type};
}

Types TypesOf(const Node& node, const Tensors& inputs) {
  std::vector<ir::Value> values(inputs.size());
  Inputs pointers(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    values[i].name = fmt::format("input {}", i);
    values[i].type = {inputs[i].dtype(), inputs[i].shape()};
    values[i].constant = inputs[i];
    pointers[i] = &values[i];
  }
  return ir::GetOp(node).infer(node, pointers);
}

Tensor NewOutput(const Node& node, const Tensors& inputs, size_t output) {
  const Types types = TypesOf(node, inputs);
  OCTET_CHECK(output < types.size(), "{} has no output {}", Label(node), output);
  return Tensor(types[output].dtype, types[output].shape);
}

}  // namespace octet::ops
