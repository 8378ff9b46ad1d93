// Each QuantizeLinear and DequantizeLinear by itself: zero points, scales, axes, element types, operator sets.
#include <cmath>
#include <set>

#include "lint/lint.h"

namespace octet::lint {
namespace {

using onnx::RawNode;

void CheckZeroPoint(Context* c, const RawNode& node, const Tensor* scale) {
  const bool symmetric = c->target().kind != Target::Kind::kOnnxRuntime;
  const std::string name = InputOf(node, 2);
  if (name.empty()) {
    if (IsQuantize(&node) && node.attrs.count("output_dtype") == 0) {
      c->Warn("zero-point-missing", node.where(), "has no zero point: ONNX then means uint8 codes, TensorRT reads int8",
              "Give it a zero point: an int8 0 of the scale's size.");
    }
    return;
  }
  const Tensor* zero = c->view.Constant(name);
  if (zero == nullptr) {
    if (symmetric) {
      c->Error("zero-point-not-constant", node.where(), "its zero point is computed by the network",
               "Make the zero point an initializer of zeros.");
    }
    return;
  }
  if (symmetric && zero->dtype() != DType::kS8) {
    c->Error("zero-point-type", node.where(),
             fmt::format("its zero point is {}, so the codes are; the target takes int8 alone", NameOf(zero->dtype())),
             "Quantize to symmetric int8 (octet export writes that form).");
  }
  if (symmetric) {
    for (const double z : zero->ToVector<double>()) {
      if (z == 0) continue;
      c->Error("zero-point-not-zero", node.where(),
               fmt::format("its zero point is {}; the target quantizes symmetrically", z),
               "Use a zero point of 0 and the scale max|x| / 127.");
      break;
    }
  }
  if (scale != nullptr && zero->size() != scale->size()) {
    c->Error("zero-point-count", node.where(),
             fmt::format("has {} zero points and {} scales", zero->size(), scale->size()),
             "Give one of each a channel.");
  }
}

void CheckScale(Context* c, const RawNode& node, const Tensor* scale) {
  if (scale == nullptr) {
    if (c->target().kind != Target::Kind::kOnnxRuntime) {
      c->Error("scale-not-constant", node.where(), "its scale is computed by the network",
               "Calibrate, and make the scale an initializer; the target has no dynamic INT8 quantization.");
    }
    return;
  }
  for (const float s : scale->ToVector<float>()) {
    if (s > 0 && std::isfinite(s)) continue;
    c->Error("scale-not-positive", node.where(), fmt::format("has the scale {}; scales must be positive numbers", s),
             "The tensor was all zero or not finite when it was calibrated: use the scale of amax = 1 (1/127).");
    break;
  }
  if (scale->size() <= 1) return;
  const int64_t opset = c->view.model().opset;
  if (opset < 13) {
    c->Error("per-channel-opset", node.where(),
             fmt::format("has {} scales, but the file's operator set is {}", scale->size(), opset),
             "Per-channel scales need operator set 13 or later.");
  }
  if (c->target().kind != Target::Kind::kOnnxRuntime) {
    if (node.attrs.count("axis") == 0) {
      c->Error("axis-missing", node.where(),
               fmt::format("has {} scales and no axis: ONNX means 1, TensorRT reads 0", scale->size()),
               "Write the attribute axis (0 for Conv weights).");
    }
    if (c->view.Weights(InputOf(node, 0)) == nullptr) {
      c->Error("per-channel-activation", node.where(),
               fmt::format("has {} scales for a tensor that is not constant", scale->size()),
               "Activations take one scale a tensor; only weights may have one a channel.");
    }
  }
  const Shape* shape = c->view.ShapeOf(InputOf(node, 0));
  const int64_t axis = IntOf(node, "axis", 1);
  if (shape != nullptr && IntOf(node, "block_size", 0) == 0) {
    const auto rank = static_cast<int64_t>(shape->size());
    const int64_t at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank || (*shape)[static_cast<size_t>(at)] != scale->size()) {
      c->Error("scale-count", node.where(),
               fmt::format("has {} scales for axis {} of a tensor of shape {}", scale->size(), axis, ToString(*shape)),
               "One scale a channel of that axis, or one scale in all.");
    }
  }
}

void CheckCodes(Context* c, const RawNode& node) {
  const Tensor* codes = c->view.Constant(InputOf(node, 0));
  if (codes == nullptr || c->target().kind == Target::Kind::kOnnxRuntime) return;
  if (codes->dtype() == DType::kS32) {
    c->Error("int32-dequantize", node.where(), "dequantizes int32 data (a quantized bias), which the target refuses",
             "Leave the bias in FP32 (QuantizeBias=False in ONNX Runtime's tool).");
  } else if (codes->dtype() != DType::kS8) {
    c->Error("codes-type", node.where(),
             fmt::format("dequantizes {} data; the target takes int8", NameOf(codes->dtype())),
             "Quantize the weights to int8 with a zero point of 0.");
  }
}

}  // namespace

void CheckQuantizers(Context* c) {
  static const std::set<std::string> integer_ops = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger",
                                                    "DynamicQuantizeLinear"};
  for (const RawNode& node : c->view.nodes()) {
    const bool foreign = node.op.rfind("com.microsoft.", 0) == 0;
    if ((integer_ops.count(node.op) != 0 || foreign) && c->target().kind != Target::Kind::kOnnxRuntime) {
      c->Error("unsupported-quantized-op", node.where(),
               fmt::format("{} is not taken by the target's ONNX parser", node.op),
               "Quantize with QuantizeLinear/DequantizeLinear pairs around float operators instead.");
    }
    if (node.op.find('.') != std::string::npos && !foreign) {
      c->Warn("custom-operator", node.where(),
              fmt::format("{} is no ONNX operator; the target needs a plugin for it", node.op),
              "Export the network without custom operators, or register the plugin.");
    }
    if (!IsQuantize(&node) && !IsDequantize(&node)) continue;
    if (c->view.model().opset < 10) {
      c->Error("quantize-opset", node.where(),
               fmt::format("the file's operator set is {}, which has no {}", c->view.model().opset, node.op),
               "Export with operator set 13 or later.");
    }
    const Tensor* scale = c->view.Constant(InputOf(node, 1));
    CheckScale(c, node, scale);
    CheckZeroPoint(c, node, scale);
    if (IsDequantize(&node)) CheckCodes(c, node);
  }
}

}  // namespace octet::lint
