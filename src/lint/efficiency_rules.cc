// Shapes and idioms that TensorRT runs slowly, or refuses, in INT8.
#include "lint/lint.h"

namespace octet::lint {
namespace {

using onnx::RawNode;

struct Channels {
  int64_t in = 0, out = 0, group = 1;  // of the whole layer
};

// False when the weights' shape is not known.
bool ChannelsOf(const ModelView& view, const RawNode& node, Channels* c) {
  const Tensor* w = view.Weights(InputOf(node, 1));
  if (w == nullptr || w->rank() < 3) return false;
  c->group = IntOf(node, "group", 1);
  const bool transposed = node.op == "ConvTranspose";
  c->out = transposed ? w->dim(1) * c->group : w->dim(0);
  c->in = transposed ? w->dim(0) : w->dim(1) * c->group;
  return c->group > 0;
}

void CheckConv(Context* c, const RawNode& node) {
  Channels k;
  if (!ChannelsOf(c->view, node, &k)) return;
  const bool depthwise = k.group > 1 && k.group == k.in && k.group == k.out;
  if (k.group > 1 && !depthwise && (k.in / k.group % 4 != 0 || k.out / k.group % 4 != 0)) {
    c->Error("grouped-conv-channels", node.where(),
             fmt::format("has {} input and {} output channels a group; INT8 needs multiples of 4", k.in / k.group,
                         k.out / k.group),
             "Keep this layer in floating point (remove its pairs), or change the number of groups.");
    return;
  }
  if (depthwise) return;
  const bool first = c->view.IsInput(InputOf(node, 0)) || k.in <= 4;
  if (k.in < 16 || k.out < 16) {
    c->Note("few-channels", node.where(),
            fmt::format("{} to {} channels: below 16 INT8 gains little{}", k.in, k.out, first ? " (first layer)" : ""),
            "It may stay in floating point without loss of speed.");
  } else if (k.in % 16 != 0 || k.out % 16 != 0) {
    c->Note("channels-not-multiple-of-16", node.where(),
            fmt::format("{} to {} channels are padded to multiples of 16, better 32", k.in, k.out),
            "Choose widths (or prune) in steps of 16 or 32.");
  }
}

void CheckMatrix(Context* c, const RawNode& node) {
  const Tensor* w = c->view.Weights(InputOf(node, 1));
  if (w == nullptr || w->rank() != 2) return;
  if (w->dim(0) < 16 || w->dim(1) < 16) {
    c->Note("small-gemm", node.where(),
            fmt::format("its matrix is {}: below 16 INT8 gains nothing", ToString(w->shape())),
            "Leave it in floating point.");
  }
}

bool IsScalar(const ModelView& view, const std::string& name, float value) {
  const Tensor* t = view.Constant(name);
  return t != nullptr && t->size() == 1 && t->ToVector<float>()[0] == value;
}

// x * clip(x + 3, 0, 6) / 6, and x * tanh(softplus(x)).
void CheckIdiom(Context* c, const RawNode& node) {
  const ModelView& view = c->view;
  if (node.op == "Mish" || node.op == "Erf") {
    c->Warn("float-activation", node.where(), fmt::format("{} runs in floating point and fuses with nothing", node.op),
            node.op == "Erf" ? "GELU: leave its surroundings unquantized, or train with ReLU6."
                             : "Train with ReLU6, or leave its surroundings unquantized.");
    return;
  }
  if (node.op != "Mul" && node.op != "Div") return;
  for (size_t i = 0; i < 2; ++i) {
    const RawNode* clip = view.Producer(InputOf(node, i));
    if (clip != nullptr && clip->op == "Tanh") {
      const RawNode* softplus = view.Producer(InputOf(*clip, 0));
      if (softplus != nullptr && softplus->op == "Softplus") {
        c->Warn("float-activation", node.where(), "is a Mish in pieces, which runs in floating point",
                "Train with ReLU6, or leave its surroundings unquantized.");
      }
    }
    if (clip != nullptr && (clip->op == "Mul" || clip->op == "Div")) clip = view.Producer(InputOf(*clip, 0));
    if (clip == nullptr || clip->op != "Clip") continue;
    const RawNode* add = view.Producer(InputOf(*clip, 0));
    if (add == nullptr || add->op != "Add") continue;
    for (size_t k = 0; k < 2; ++k) {
      if (!IsScalar(view, InputOf(*add, k), 3.0f)) continue;
      if (InputOf(*add, 1 - k) == InputOf(node, 1 - i)) {
        c->Warn("hardswish-in-pieces", node.where(), "is a HardSwish written as Add, Clip and Mul, which fuses badly",
                "Export with operator set 14 or later, which has HardSwish.");
        return;
      }
    }
  }
}

}  // namespace

void CheckEfficiency(Context* c) {
  const bool int8 = c->view.has_qdq() || c->options.cache != nullptr;
  for (const RawNode& node : c->view.nodes()) {
    const bool layer = c->view.has_qdq() ? IsQuantizedLayer(c->view, node) : int8 && IsWeighted(node);
    if (layer && (node.op == "Conv" || node.op == "ConvTranspose")) CheckConv(c, node);
    if (layer && (node.op == "Gemm" || node.op == "MatMul")) CheckMatrix(c, node);
    if (int8) CheckIdiom(c, node);
    if (node.op == "BatchNormalization" && IntOf(node, "training_mode", 0) != 0) {
      c->Error("batch-norm-training", node.where(), "is in training mode; the parser takes inference mode alone",
               "Export the network in evaluation mode.");
    }
  }
  const int64_t opset = c->view.model().opset;
  const int64_t last = c->target().major < 9 ? 17 : c->target().major < 11 ? 22 : 24;
  if (opset > last) {
    c->Warn("opset-too-new", "model",
            fmt::format("operator set {}; this TensorRT's parser knows up to {}", opset, last),
            "Export with operator set 17 or lower.");
  }
}

}  // namespace octet::lint
