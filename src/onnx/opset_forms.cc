// One rule per operator family whose form changed between opsets. Sources: the version history of each operator in
// ONNX's Changelog.
#include "onnx/opset_forms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "onnx/form_helpers.h"
#include "onnx/qlinear_forms.h"
#include "ops/window.h"

namespace octet::onnx {
namespace {

using Nodes = std::vector<RawNode>;

// ---- integer lists that are an attribute in one opset and an input in another: follow the operator's definition.
void MoveInts(RawNode* node, const std::string& key, size_t index, const FormContext& c) {
  const bool wants_attr = c.op_has_attr(node->op, key);
  if (const Ints* values = AttrPtr<Ints>(*node, key); values != nullptr && !wants_attr) {
    SetInput(node, index, c.add_constant(OutputHint(*node, key.c_str()), IntsTensor(*values)));
    node->attrs.erase(key);
  } else if (HasInput(*node, index) && wants_attr) {
    node->attrs[key] = ConstInts(*node, index, key.c_str(), c);
    node->inputs.resize(index);
  }
}

void MoveFloat(RawNode* node, const std::string& key, size_t index, const FormContext& c) {
  const float* value = AttrPtr<float>(*node, key);
  if (value == nullptr) return;
  SetInput(node, index, c.add_constant(OutputHint(*node, key.c_str()), Tensor::Scalar<float>(*value)));
  node->attrs.erase(key);
}

// ---- opset 6: broadcasting by attribute
Nodes OldBroadcast(RawNode node, const FormContext& c) {
  const int64_t* axis = AttrPtr<int64_t>(node, "axis");
  Nodes nodes;
  if (c.opset < 7 && axis != nullptr && IntAttr(node, "broadcast", 0) != 0) {
    const auto rank = static_cast<int64_t>(ShapeOf(node, 0, c).size());
    const Shape& b = ShapeOf(node, 1, c);
    const int64_t missing = rank - NormalAxis(node, *axis, rank) - static_cast<int64_t>(b.size());
    OCTET_REQUIRE(missing >= 0, "{}: the second input {} does not fit at axis {}", node.where(), ToString(b), *axis);
    if (missing > 0) {
      Ints shape(b.begin(), b.end());
      shape.insert(shape.end(), missing, 1);
      const std::string name = c.fresh(OutputHint(node, "b"));
      nodes.push_back(
          Step(node, "Reshape", {node.inputs[1], c.add_constant(name + ".shape", IntsTensor(shape))}, name));
      node.inputs[1] = name;
    }
  }
  node.attrs.erase("axis");
  node.attrs.erase("broadcast");
  nodes.push_back(std::move(node));
  return nodes;
}

Nodes OldPRelu(RawNode node, const FormContext& c) {
  Nodes nodes;
  const Shape& slope = ShapeOf(node, 1, c);
  const size_t rank = ShapeOf(node, 0, c).size();
  if (c.opset < 7 && slope.size() == 1 && slope[0] != 1 && rank > 2) {
    Ints shape(rank - 1, 1);
    shape[0] = slope[0];
    const std::string name = c.fresh(OutputHint(node, "slope"));
    nodes.push_back(Step(node, "Reshape", {node.inputs[1], c.add_constant(name + ".shape", IntsTensor(shape))}, name));
    node.inputs[1] = name;
  }
  nodes.push_back(std::move(node));
  return nodes;
}

Nodes BatchNormalization(RawNode node, const FormContext& c) {
  OCTET_REQUIRE(IntAttr(node, "spatial", 1) == 1, "{}: spatial = 0 (statistics per pixel) is not supported",
                node.where());
  const bool training = IntAttr(node, "training_mode", 0) != 0 || (c.opset < 7 && IntAttr(node, "is_test", 0) == 0);
  bool more = false;
  for (size_t i = 1; i < node.outputs.size(); ++i) more = more || c.used(node.outputs[i]);
  OCTET_REQUIRE(!more && !(training && c.opset >= 14 && !c.for_training),
                "{}: it is in training mode; export the model for inference (model.eval() in PyTorch)", node.where());
  node.outputs.resize(1);
  for (const char* key : {"spatial", "is_test", "consumed_inputs", "training_mode"}) node.attrs.erase(key);
  return {std::move(node)};
}

Nodes Dropout(RawNode node, const FormContext& c) {
  bool training = false;
  if (HasInput(node, 2)) {
    const ir::Value& flag = ValueOf(node, 2, c);
    training = !flag.is_constant() || flag.constant.ToVector<int64_t>() != Ints{0};
  }
  const float ratio = FloatAttr(node, "ratio", 0.5f);
  float rate = ratio;  // opset 12 on: an input
  if (HasInput(node, 1) && ValueOf(node, 1, c).is_constant()) rate = ValueOf(node, 1, c).constant.ToVector<float>()[0];
  const bool mask = node.outputs.size() > 1 && c.used(node.outputs[1]);
  OCTET_REQUIRE(!(training && ratio != 0 && !c.for_training) && !mask,
                "{}: it is in training mode or its mask is used; export the model for inference (model.eval())",
                node.where());
  if (c.for_training && rate > 0) {
    const std::string name = c.add_constant(OutputHint(node, "ratio"), Tensor::Scalar<float>(rate));
    return {Step(node, "Dropout", {node.inputs.at(0), name}, node.outputs.at(0))};
  }
  return {Step(node, "Identity", {node.inputs.at(0)}, node.outputs.at(0))};
}

// Before opset 13 these flattened to a matrix at `axis` (default 1) and worked on its rows.
Nodes OldSoftmax(RawNode node, const FormContext& c) {
  if (c.opset >= 13) {
    return {std::move(node)};
  }
  const Shape shape = ShapeOf(node, 0, c);
  const int64_t axis = NormalAxis(node, IntAttr(node, "axis", 1), shape.size());
  int64_t wide = -1;
  int count = 0;
  for (size_t i = axis; i < shape.size(); ++i) {
    if (shape[i] != 1) {
      wide = static_cast<int64_t>(i);
      ++count;
    }
  }
  if (count <= 1) {
    node.attrs["axis"] = count == 0 ? axis : wide;
    return {std::move(node)};
  }
  Ints back(shape.begin(), shape.end());
  for (size_t i = 0; i < back.size(); ++i) {
    OCTET_REQUIRE(back[i] >= 0 || i == 0, "{}: the input's shape {} must be known", node.where(), ToString(shape));
  }
  const std::string flat = c.fresh(OutputHint(node, "flat"));
  const std::string rows = c.fresh(OutputHint(node, "rows"));
  const std::string sizes =
      c.add_constant(OutputHint(node, "shape"), IntsTensor(back));  // a dynamic batch stands as -1
  return {Step(node, "Flatten", {node.inputs[0]}, flat, {{"axis", axis}}),
          Step(node, node.op, {flat}, rows, {{"axis", int64_t{1}}}),
          Step(node, "Reshape", {rows, sizes}, node.outputs[0])};
}

Nodes Clip(RawNode node, const FormContext& c) {
  MoveFloat(&node, "min", 1, c);
  MoveFloat(&node, "max", 2, c);
  return {std::move(node)};
}

Nodes Pad(RawNode node, const FormContext& c) {
  if (AttrPtr<float>(node, "value") != nullptr && FloatAttr(node, "value", 0) == 0) node.attrs.erase("value");
  if (AttrPtr<Ints>(node, "paddings") != nullptr) {  // opset 1
    node.attrs["pads"] = node.attrs["paddings"];
    node.attrs.erase("paddings");
  }
  MoveInts(&node, "pads", 1, c);
  MoveFloat(&node, "value", 2, c);
  if (HasInput(node, 3)) {  // axes, opset 18
    const size_t rank = ShapeOf(node, 0, c).size();
    const Ints axes = ConstInts(node, 3, "axes", c);
    const Ints some = ConstInts(node, 1, "pads", c);
    OCTET_REQUIRE(some.size() == 2 * axes.size(), "{}: {} pads for {} axes", node.where(), some.size(), axes.size());
    Ints all(2 * rank, 0);
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t axis = NormalAxis(node, axes[i], rank);
      all[axis] = some[i];
      all[axis + rank] = some[i + axes.size()];
    }
    node.inputs[1] = c.add_constant(OutputHint(node, "pads"), IntsTensor(all));
    node.inputs.resize(3);
  }
  return {std::move(node)};
}

Nodes Slice(RawNode node, const FormContext& c) {
  MoveInts(&node, "starts", 1, c);
  MoveInts(&node, "ends", 2, c);
  MoveInts(&node, "axes", 3, c);
  return {std::move(node)};
}

Nodes Axes(RawNode node, const FormContext& c) {
  MoveInts(&node, "axes", 1, c);
  return {std::move(node)};
}

Nodes Reduce(RawNode node, const FormContext& c) {
  if (HasInput(node, 1) && ShapeOf(node, 1, c) == Shape{0}) {  // no axes: nothing to do, or all of them
    if (IntAttr(node, "noop_with_empty_axes", 0) != 0 && node.op != "ReduceSumSquare") {
      return {Step(node, "Identity", {node.inputs[0]}, node.outputs[0])};
    }
    node.inputs.resize(1);
  }
  const bool noop = IntAttr(node, "noop_with_empty_axes", 0) != 0 && node.inputs.size() < 2;
  OCTET_REQUIRE(!noop || c.op_has_attr(node.op, "noop_with_empty_axes"), "{}: noop_with_empty_axes is not supported",
                node.where());
  if (!noop) node.attrs.erase("noop_with_empty_axes");
  MoveInts(&node, "axes", 1, c);
  return {std::move(node)};
}

Nodes Split(RawNode node, const FormContext& c) {
  const int64_t* count = AttrPtr<int64_t>(node, "num_outputs");
  if (count != nullptr) {
    const Shape& shape = ShapeOf(node, 0, c);
    const int64_t size = shape[NormalAxis(node, IntAttr(node, "axis", 0), shape.size())];
    const auto outputs = static_cast<int64_t>(node.outputs.size());
    OCTET_REQUIRE(size >= 0 && *count == outputs, "{}: cannot split a size of {} into {} outputs", node.where(), size,
                  outputs);
    const int64_t part = (size + outputs - 1) / outputs;
    Ints sizes(outputs, part);
    sizes.back() = size - part * (outputs - 1);
    node.attrs.erase("num_outputs");
    if (sizes.back() != part) node.attrs["split"] = sizes;
  }
  MoveInts(&node, "split", 1, c);
  return {std::move(node)};
}

Nodes TopK(RawNode node, const FormContext& c) {
  const int64_t* k = AttrPtr<int64_t>(node, "k");
  if (k != nullptr) {
    SetInput(&node, 1, c.add_constant(OutputHint(node, "k"), IntsTensor({*k})));
    node.attrs.erase("k");
  }
  return {std::move(node)};
}

Nodes Reshape(RawNode node, const FormContext& c) {
  MoveInts(&node, "shape", 1, c);
  if (IntAttr(node, "allowzero", 0) != 0) {
    const Ints shape = ConstInts(node, 1, "sizes", c);
    const bool has_zero = std::count(shape.begin(), shape.end(), 0) != 0;
    OCTET_REQUIRE(!has_zero || c.op_has_attr("Reshape", "allowzero"), "{}: a reshape to 0 elements is not supported",
                  node.where());
    if (has_zero) return {std::move(node)};
  }
  node.attrs.erase("allowzero");
  return {std::move(node)};
}

// Upsample is Resize with the oldest coordinate rule.
Nodes Upsample(RawNode node, const FormContext& c) {
  RawNode resize = Renamed(node, "Resize");
  std::string scales = HasInput(node, 1) ? node.inputs[1] : "";
  if (const auto* values = AttrPtr<std::vector<float>>(node, "scales")) {
    scales = c.add_constant(OutputHint(node, "scales"),
                            Tensor::From<float>({static_cast<int64_t>(values->size())}, *values));
  }
  OCTET_REQUIRE(!scales.empty(), "{}: it has no scales", node.where());
  resize.inputs = {node.inputs.at(0), "", scales};
  std::string mode = StringAttr(node, "mode", "nearest");
  if (mode == "bilinear") mode = "linear";
  resize.attrs = {{"mode", mode}, {"coordinate_transformation_mode", std::string("asymmetric")}};
  if (mode == "nearest") resize.attrs["nearest_mode"] = std::string("floor");
  return {std::move(resize)};
}

// Opset 18's axes: sizes and scales for all dimensions again. keep_aspect_ratio_policy becomes sizes.
Nodes ResizeAxes(RawNode node, const FormContext& c) {
  const Shape x = ShapeOf(node, 0, c);
  Ints axes(x.size());
  for (size_t i = 0; i < x.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (const Ints* some = AttrPtr<Ints>(node, "axes")) axes = *some;
  for (int64_t& axis : axes) axis = NormalAxis(node, axis, x.size());
  const auto sized = static_cast<int64_t>(x.size());
  if (HasInput(node, 2) && ShapeOf(node, 2, c) != Shape{0}) {
    const ir::Value& value = ValueOf(node, 2, c);
    OCTET_REQUIRE(value.is_constant() && value.constant.size() == static_cast<int64_t>(axes.size()),
                  "{}: expected {} constant scales", node.where(), axes.size());
    const std::vector<float> some = value.constant.ToVector<float>();
    std::vector<float> all(x.size(), 1.0f);
    for (size_t i = 0; i < axes.size(); ++i) all[axes[i]] = some[i];
    node.inputs[2] = c.add_constant(OutputHint(node, "scales"), Tensor::From<float>({sized}, all));
  } else {
    const Ints some = ConstInts(node, 3, "sizes", c);
    OCTET_REQUIRE(some.size() == axes.size(), "{}: {} sizes for {} axes", node.where(), some.size(), axes.size());
    const std::string policy = StringAttr(node, "keep_aspect_ratio_policy", "stretch");
    std::vector<float> all_scales;
    float scale = policy == "not_larger" ? std::numeric_limits<float>::infinity() : 0.0f;
    for (size_t i = 0; i < axes.size(); ++i) {
      OCTET_REQUIRE(x[axes[i]] > 0, "{}: the resized sizes of {} must be known", node.where(), ToString(x));
      const float s = static_cast<float>(some[i]) / static_cast<float>(x[axes[i]]);
      scale = policy == "not_larger" ? std::min(scale, s) : std::max(scale, s);
    }
    Ints all(x.begin(), x.end());
    for (size_t i = 0; i < axes.size(); ++i) {
      all[axes[i]] = policy == "stretch" ? some[i] : std::llround(scale * static_cast<float>(x[axes[i]]));
    }
    OCTET_REQUIRE(std::all_of(all.begin(), all.end(), [](int64_t d) { return d >= 0; }),
                  "{}: the sizes of {} must be known", node.where(), ToString(x));
    node.inputs[3] = c.add_constant(OutputHint(node, "sizes"), IntsTensor(all));
  }
  node.attrs.erase("axes");
  node.attrs.erase("keep_aspect_ratio_policy");
  return {std::move(node)};
}

Nodes Resize(RawNode node, const FormContext& c) {
  if (c.opset < 11) {
    OCTET_REQUIRE(node.inputs.size() == 2, "{}: expected data and scales", node.where());
    return Upsample(std::move(node), c);
  }
  const bool policy = StringAttr(node, "keep_aspect_ratio_policy", "stretch") != "stretch";
  if (!policy) node.attrs.erase("keep_aspect_ratio_policy");
  if (IntAttr(node, "antialias", 0) == 0) node.attrs.erase("antialias");
  const bool axes = node.attrs.count("axes") != 0;
  if ((axes && !c.op_has_attr("Resize", "axes")) || (policy && !c.op_has_attr("Resize", "keep_aspect_ratio_policy"))) {
    OCTET_REQUIRE(!(axes && StringAttr(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"),
                  "{}: tf_crop_and_resize with axes is not supported", node.where());
    return ResizeAxes(std::move(node), c);
  }
  return {std::move(node)};
}

Nodes Cast(RawNode node, const FormContext& c) {
  const int64_t code = IntAttr(node, "to", 0);
  const DType to = DTypeOfCode(code, node.where());
  if (ValueOf(node, 0, c).type.dtype == to) return {Step(node, "Identity", {node.inputs[0]}, node.outputs[0])};
  node.attrs = {{"to", CodeOf(to)}};
  return {std::move(node)};
}

// auto_pad and missing kernel_shape become numbers where the sizes are known: a plainer graph for every backend.
Nodes Window(RawNode node, const FormContext& c) {
  if (node.op == "MaxPool" && node.outputs.size() > 1 && !c.used(node.outputs[1])) node.outputs.resize(1);
  const std::string auto_pad = StringAttr(node, "auto_pad", "NOTSET");
  if (auto_pad == "NOTSET" || auto_pad.empty()) {
    node.attrs.erase("auto_pad");
    return {std::move(node)};
  }
  const Shape x = ShapeOf(node, 0, c);
  if (x.size() < 3) return {std::move(node)};
  const Shape spatial(x.begin() + 2, x.end());
  if (std::any_of(spatial.begin(), spatial.end(), [](int64_t d) { return d < 0; })) return {std::move(node)};
  Ints kernel;
  if (node.op == "Conv" || node.op == "ConvTranspose") {
    const Shape w = ShapeOf(node, 1, c);
    OCTET_REQUIRE(w.size() == x.size(), "{}: weight {} for data {}", node.where(), ToString(w), ToString(x));
    kernel.assign(w.begin() + 2, w.end());
  } else if (const Ints* shape = AttrPtr<Ints>(node, "kernel_shape")) {
    kernel = *shape;
  }
  ir::Node probe;
  probe.op = node.op;
  probe.name = node.name.empty() ? node.outputs.at(0) : node.name;
  probe.attrs = node.attrs;
  const ops::Window window = node.op == "ConvTranspose" ? ops::ResolveTransposedWindow(probe, spatial, kernel)
                                                        : ops::ResolveWindow(probe, spatial, kernel);
  Ints pads = window.begin;
  pads.insert(pads.end(), window.end.begin(), window.end.end());
  if (std::any_of(pads.begin(), pads.end(), [](int64_t p) { return p < 0; })) return {std::move(node)};
  node.attrs.erase("auto_pad");
  node.attrs["pads"] = pads;
  return {std::move(node)};
}

// Absent zero points are zeros of ONNX's default type, made visible, and so is the axis of a vector of scales.
Nodes QuantizePair(RawNode node, const FormContext& c) {
  const bool quantize = node.op == "QuantizeLinear";
  OCTET_REQUIRE(IntAttr(node, "block_size", 0) == 0, "{}: blocked quantization is not supported", node.where());
  DType dtype = quantize ? DType::kU8 : ValueOf(node, 0, c).type.dtype;
  const int64_t code = IntAttr(node, "output_dtype", 0);
  if (quantize && code != 0) dtype = DTypeOfCode(code, node.where());
  for (const char* key : {"block_size", "output_dtype", "saturate", "precision"}) node.attrs.erase(key);
  if (ShapeOf(node, 1, c).empty()) {
    node.attrs.erase("axis");
  } else {
    node.attrs["axis"] = IntAttr(node, "axis", 1);
  }
  if (!HasInput(node, 2)) {
    SetInput(&node, 2, c.add_constant(OutputHint(node, "zero_point"), Tensor(dtype, ShapeOf(node, 1, c))));
  }
  return {std::move(node)};
}

Nodes Variadic(RawNode node, const FormContext& c) {
  OCTET_REQUIRE(!node.inputs.empty(), "{}: it has no input", node.where());
  if (node.inputs.size() == 1) return {Step(node, "Identity", {node.inputs[0]}, node.outputs[0])};
  if (node.op == "Sum" && node.inputs.size() == 2) return {Renamed(std::move(node), "Add")};
  if (node.op != "Sum" || c.op_exists("Sum")) return {std::move(node)};
  Nodes nodes;
  std::string sum = node.inputs[0];
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const std::string next = i + 1 == node.inputs.size() ? node.outputs[0] : c.fresh(OutputHint(node, "sum"));
    nodes.push_back(Step(node, "Add", {sum, node.inputs[i]}, next));
    sum = next;
  }
  return nodes;
}

Nodes OldGemm(RawNode node, const FormContext&) {
  node.attrs.erase("broadcast");
  return {std::move(node)};
}

const std::map<std::string, Nodes (*)(RawNode, const FormContext&)>& Rules() {
  static const auto* rules = new std::map<std::string, Nodes (*)(RawNode, const FormContext&)>{
      {"Add", OldBroadcast},
      {"Sub", OldBroadcast},
      {"Mul", OldBroadcast},
      {"Div", OldBroadcast},
      {"Pow", OldBroadcast},
      {"PRelu", OldPRelu},
      {"Clip", Clip},
      {"Pad", Pad},
      {"Slice", Slice},
      {"Squeeze", Axes},
      {"Unsqueeze", Axes},
      {"Split", Split},
      {"TopK", TopK},
      {"Reshape", Reshape},
      {"Upsample", Upsample},
      {"Resize", Resize},
      {"Cast", Cast},
      {"Conv", Window},
      {"ConvTranspose", Window},
      {"MaxPool", Window},
      {"AveragePool", Window},
      {"Softmax", OldSoftmax},
      {"LogSoftmax", OldSoftmax},
      {"Dropout", Dropout},
      {"Sum", Variadic},
      {"Max", Variadic},
      {"Min", Variadic},
      {"Mean", Variadic},
      {"Gemm", OldGemm},
      {"BatchNormalization", BatchNormalization},
      {"QuantizeLinear", QuantizePair},
      {"DequantizeLinear", QuantizePair},
      {"ReduceSum", Reduce},
      {"ReduceMean", Reduce},
      {"ReduceMax", Reduce},
      {"ReduceMin", Reduce},
      {"ReduceProd", Reduce},
      {"ReduceSumSquare", Reduce},
      {"ReduceL1", Reduce},
      {"ReduceL2", Reduce},
      {"ReduceLogSum", Reduce},
      {"ReduceLogSumExp", Reduce},
  };
  return *rules;
}

}  // namespace

bool IsReplacedOnImport(const std::string& op) {
  static const char* const kReplaced[] = {"Constant", "ConstantOfShape", "Shape",    "Size",
                                          "Identity", "Dropout",         "Upsample", "Range"};
  return IsQLinear(op) ||
         std::any_of(std::begin(kReplaced), std::end(kReplaced), [&](const char* r) { return op == r; });
}

std::vector<RawNode> ToKnownForm(RawNode node, const FormContext& context) {
  OCTET_REQUIRE(!node.outputs.empty(), "{}: it has no output", node.where());  // the rules read outputs[0]
  if (IsQLinear(node.op)) return SplitQLinear(node, context, Window);
  const auto rule = Rules().find(node.op);
  if (rule == Rules().end()) return {std::move(node)};
  return rule->second(std::move(node), context);
}

}  // namespace octet::onnx
