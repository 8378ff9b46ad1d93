// Where the Q/DQ pairs stand: what keeps TensorRT from fusing, and what computes other integers than it seems to.
#include <cmath>
#include <set>

#include "lint/lint.h"

namespace octet::lint {
namespace {

using onnx::RawNode;

// The pair DequantizeLinear(QuantizeLinear(x)) that makes a tensor: its Q node, or nullptr.
const RawNode* PairBefore(const ModelView& view, const std::string& tensor) {
  const RawNode* dq = view.Producer(tensor);
  if (!IsDequantize(dq)) return nullptr;
  const RawNode* q = view.Producer(InputOf(*dq, 0));
  return IsQuantize(q) ? q : nullptr;
}

// A convolution (or one with its BatchNormalization) makes the tensor.
bool IsConvolutionOutput(const ModelView& view, const std::string& tensor) {
  const RawNode* node = view.Producer(tensor);
  if (node != nullptr && node->op == "BatchNormalization") node = view.Producer(InputOf(*node, 0));
  return node != nullptr && (node->op == "Conv" || node->op == "ConvTranspose");
}

// Some QuantizeLinear lies downstream of the tensor.
bool QuantizedAgain(const ModelView& view, const std::string& tensor) {
  std::vector<std::string> open = {tensor};
  std::set<std::string> seen;
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    if (!seen.insert(name).second) continue;
    for (const RawNode* node : view.Consumers(name)) {
      if (IsQuantize(node) && InputOf(*node, 0) == name) return true;
      open.insert(open.end(), node->outputs.begin(), node->outputs.end());
    }
  }
  return false;
}

void CheckLayer(Context* c, const RawNode& node) {
  const ModelView& view = c->view;
  const bool data = IsQuantizedTensor(view, InputOf(node, 0));
  const bool weights = IsQuantizedTensor(view, InputOf(node, 1));
  if (data && !weights && !node.outputs.empty() && !QuantizedAgain(view, node.outputs[0])) {
    c->Note("half-quantized-layer", node.where(), "is an output layer in floating point that reads a quantized tensor",
            "Nothing, if the rounding of its input is wanted, as it is where layers in INT8 read that tensor too.");
  } else if (data != weights) {
    c->Warn("half-quantized-layer", node.where(),
            fmt::format("its {} quantized and its {} not, so it runs in floating point",
                        data ? "data is" : "weights are", data ? "weights are" : "data is"),
            "Put a Q/DQ pair on both, or on neither.");
  }
  const RawNode* pad_pair = PairBefore(view, InputOf(node, 0));
  if (node.op == "Conv" && pad_pair != nullptr) {
    const RawNode* pad = view.Producer(InputOf(*pad_pair, 0));
    if (pad != nullptr && pad->op == "Pad") {
      c->Warn("pair-between-pad-and-conv", pad_pair->where(), "stands between Pad and Conv, which then do not merge",
              "Put the pair before the Pad, or give the padding to the Conv.");
    }
  }
}

// TensorRT: "values outside of int8_t range are clipped".
void CheckWeightScale(Context* c, const RawNode& q) {
  const Tensor* weights = c->view.Constant(InputOf(q, 0));
  const Tensor* scale = c->view.Constant(InputOf(q, 1));
  if (weights == nullptr || scale == nullptr || weights->dtype() != DType::kF32 || scale->size() == 0) return;
  const auto rank = static_cast<int64_t>(weights->rank());
  int64_t axis = IntOf(q, "axis", 1);
  if (axis < 0) axis += rank;
  if (scale->size() > 1 && (axis < 0 || axis >= rank || weights->dim(static_cast<int>(axis)) != scale->size())) return;
  int64_t inner = 1;
  for (int64_t i = axis + 1; i < rank; ++i) inner *= weights->dim(static_cast<int>(i));
  std::vector<float> amax(static_cast<size_t>(scale->size()), 0.0f);
  const float* w = weights->data<float>();
  for (int64_t i = 0; i < weights->size(); ++i) {
    float& a = amax[scale->size() == 1 ? 0 : static_cast<size_t>(i / inner % scale->size())];
    a = std::max(a, std::fabs(w[i]));
  }
  const std::vector<float> s = scale->ToVector<float>();
  int clipped = 0;
  for (size_t k = 0; k < amax.size(); ++k) clipped += amax[k] > s[k] * 127.0f * 1.0001f ? 1 : 0;
  if (clipped > 0) {
    c->Warn("weight-scale-clips", q.where(),
            fmt::format("{} of {} scales are smaller than max|w| / 127: these weights saturate", clipped, amax.size()),
            "Use the scale max|w| / 127 of each output channel.");
  }
}

void CheckPairInside(Context* c, const RawNode& q) {
  const ModelView& view = c->view;
  const std::string source = InputOf(q, 0);
  if (!IsConvolutionOutput(view, source) && !(view.Producer(source) != nullptr && IsWeighted(*view.Producer(source)))) {
    return;
  }
  for (const RawNode* dq : view.Consumers(q.outputs[0])) {
    if (!IsDequantize(dq)) continue;
    for (const RawNode* next : view.Consumers(dq->outputs[0])) {
      if (next->op != "BatchNormalization" && !IsActivation(*next)) continue;
      c->Warn("pair-inside-fusion", q.where(),
              fmt::format("stands between {} and {}, which TensorRT would fuse", view.Producer(source)->where(),
                          next->where()),
              "Move the pair behind the activation.");
      return;
    }
  }
}

void CheckAdd(Context* c, const RawNode& node) {
  const ModelView& view = c->view;
  if (node.inputs.size() != 2) return;
  bool quantized[2], convolution[2];
  const RawNode* pairs[2];
  for (size_t i = 0; i < 2; ++i) {
    const std::string& input = node.inputs[i];
    if (view.Weights(input) != nullptr) return;  // a bias
    pairs[i] = PairBefore(view, input);
    quantized[i] = IsQuantizedTensor(view, input);
    convolution[i] = IsConvolutionOutput(view, pairs[i] != nullptr ? InputOf(*pairs[i], 0) : input);
  }
  if (!convolution[0] && !convolution[1]) {
    if (quantized[0] != quantized[1]) {
      c->Warn("mixed-inputs", node.where(),
              "reads one INT8 and one floating-point tensor, so it runs in floating point",
              "Quantize both inputs and the output, or nothing.");
    }
    return;
  }
  if (convolution[0] && convolution[1]) {
    if (quantized[0] && quantized[1]) {
      c->Warn("pair-on-conv-branch", node.where(), "both of its convolutions are quantized before the addition",
              "Leave the pair on one of them: the other fuses with the addition.");
    } else if (!quantized[0] && !quantized[1]) {
      c->Warn("skip-not-quantized", node.where(),
              "none of its inputs is quantized, so the addition runs in floating point",
              "Put a pair on one of the two inputs (the shortcut).");
    }
    return;
  }
  const int conv = convolution[0] ? 0 : 1;
  if (quantized[conv]) {
    c->Warn("pair-on-conv-branch", pairs[conv] != nullptr ? pairs[conv]->where() : node.where(),
            "stands between the convolution and the addition, which would fuse", "Remove the pair.");
  }
  if (!quantized[1 - conv]) {
    c->Warn("skip-not-quantized", node.where(), "its shortcut is not quantized, so the addition runs in floating point",
            "Put a pair on the shortcut.");
  }
}

void CheckOutputOf(Context* c, const RawNode& node) {
  static const std::set<std::string> ops = {"AveragePool", "GlobalAveragePool", "Add", "Mul", "Resize"};
  const ModelView& view = c->view;
  if (ops.count(node.op) == 0 || node.outputs.empty()) return;
  const size_t data_inputs = node.op == "Add" || node.op == "Mul" ? 2 : 1;
  size_t quantized = 0;
  for (size_t i = 0; i < data_inputs; ++i) quantized += IsQuantizedTensor(view, InputOf(node, i)) ? 1 : 0;
  if (node.op == "Mul" && quantized == 1 && view.Constant(InputOf(node, 0)) == nullptr &&
      view.Constant(InputOf(node, 1)) == nullptr) {
    c->Warn("mixed-inputs", node.where(), "reads one INT8 and one floating-point tensor, so it runs in floating point",
            "Quantize both inputs and the output, or nothing.");
  }
  if (quantized != data_inputs) return;
  std::string name = node.outputs[0];
  for (int hops = 0; hops < 3; ++hops) {  // the activation behind it belongs to it
    const auto& consumers = view.Consumers(name);
    if (consumers.size() != 1 || !IsActivation(*consumers[0]) || consumers[0]->outputs.empty()) break;
    name = consumers[0]->outputs[0];
  }
  if (!ScalesAfter(view, name).empty() || !QuantizedAgain(view, name)) return;
  c->Warn("int8-in-float-out", node.where(), "reads INT8 and writes floating point in the middle of the network",
          "Put a pair behind it (and its activation).");
}

void CheckConcat(Context* c, const RawNode& node) {
  const ModelView& view = c->view;
  const Tensor* first = nullptr;
  size_t quantized = 0;
  bool differ = false;
  for (const std::string& input : node.inputs) {
    if (IsQuantizedTensor(view, input)) ++quantized;
    const Tensor* scale = ScaleBefore(view, input);
    if (scale == nullptr) continue;
    if (first == nullptr) first = scale;
    differ = differ || !SameScale(*first, *scale);
  }
  if (quantized > 0 && quantized < node.inputs.size()) {
    c->Warn("mixed-inputs", node.where(), fmt::format("{} of its {} inputs are INT8", quantized, node.inputs.size()),
            "Quantize all of them, with one scale.");
  } else if (differ) {
    c->Warn("concat-scales", node.where(), "its inputs have different scales, so each branch is quantized again",
            "Give all inputs the largest of their scales.");
  }
}

}  // namespace

void CheckPlacement(Context* c) {
  const ModelView& view = c->view;
  if (!view.has_qdq()) return;
  const bool trt = c->target().is_tensorrt();
  std::set<std::string> seen;
  for (const RawNode& node : view.nodes()) {
    if (IsWeighted(node)) CheckLayer(c, node);
    if (node.op == "Concat" && trt) CheckConcat(c, node);
    if (node.op == "Add" && trt) CheckAdd(c, node);
    if (trt) CheckOutputOf(c, node);
    if (node.op == "MaxPool" && trt) {
      const Tensor* before = ScaleBefore(view, InputOf(node, 0));
      for (const Tensor* after : ScalesAfter(view, node.outputs.empty() ? "" : node.outputs[0])) {
        if (before == nullptr || SameScale(*before, *after)) continue;
        c->Warn("maxpool-scales", node.where(),
                "the scales before and after it differ, so its codes are quantized again",
                "Use the scale of its input behind it too, or no pair there.");
      }
    }
    if (!IsQuantize(&node)) continue;
    CheckWeightScale(c, node);
    if (trt) CheckPairInside(c, node);
    for (const RawNode* reader : view.Consumers(node.outputs[0])) {
      if (IsDequantize(reader) || !trt) continue;
      c->Warn("quantize-without-dequantize", node.where(), fmt::format("{} reads its codes directly", reader->where()),
              "Put a DequantizeLinear with the same scale behind it.");
    }
    const std::string source = InputOf(node, 0);
    if (!seen.insert(source).second || view.Weights(source) != nullptr) continue;
    const std::vector<const Tensor*> scales = ScalesAfter(view, source);
    for (size_t i = 1; i < scales.size(); ++i) {
      if (SameScale(*scales[0], *scales[i])) continue;
      c->Warn("several-scales", TensorText(source), "is quantized with different scales for different readers",
              "One scale a tensor: one pair that all readers share.");
      break;
    }
  }
}

}  // namespace octet::lint
