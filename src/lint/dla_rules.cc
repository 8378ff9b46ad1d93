// What the Deep Learning Accelerator (TensorRT 8 to 10 on Xavier and Orin) can run, and the scales that it wants.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lint/lint.h"

namespace octet::lint {
namespace {

using onnx::RawNode;

// A constant, or computed from constants alone: TensorRT folds it.
bool IsOfConstants(const ModelView& view, const std::string& tensor, int depth = 0) {
  if (view.Weights(tensor) != nullptr) return true;
  const RawNode* node = view.Producer(tensor);
  return node != nullptr && depth < 8 && !node->inputs.empty() &&
         std::all_of(node->inputs.begin(), node->inputs.end(),
                     [&](const std::string& input) { return input.empty() || IsOfConstants(view, input, depth + 1); });
}

// Native on DLA through TensorRT 8.6.
bool IsNative(const Target& target, const RawNode& node) {
  static const std::set<std::string> native = {"Abs",         "Add",
                                               "AveragePool", "BatchNormalization",
                                               "Clip",        "Concat",
                                               "Conv",        "ConvTranspose",
                                               "Equal",       "Gemm",
                                               "MatMul",      "LeakyRelu",
                                               "LRN",         "Max",
                                               "MaxPool",     "Mul",
                                               "PRelu",       "Relu",
                                               "Reshape",     "Resize",
                                               "Sigmoid",     "Slice",
                                               "Split",       "Sub",
                                               "Sum",         "Tanh",
                                               "Transpose",   "Upsample",
                                               "Constant",    "ConstantOfShape",
                                               "Shape",       "Identity",
                                               "Dropout"};
  if (node.op == "Softmax") return !target.xavier;
  return native.count(node.op) != 0;
}

std::string Remedy(const std::string& op) {
  if (op == "GlobalAveragePool" || op == "ReduceMean")
    return "Up to 8x8 pixels: write it as AveragePool over the whole map.";
  if (op == "Flatten" || op == "Squeeze" || op == "Unsqueeze") return "Write it as Reshape.";
  if (op == "HardSwish" || op == "HardSigmoid") return "Train with ReLU6 (QAT does), or build it from Clip and Mul.";
  if (op == "Pad") return "Give the padding to the convolution or pool.";
  return "Rebuild it from native operators, or allow GPU fallback (--allowGPUFallback).";
}

bool Within(const std::vector<int64_t>& values, int64_t low, int64_t high) {
  for (const int64_t v : values) {
    if (v < low || v > high) return false;
  }
  return true;
}

void Range(Context* c, const RawNode& node, const char* what, const std::vector<int64_t>& values, int64_t low,
           int64_t high) {
  if (Within(values, low, high)) return;
  c->Error("dla-range", node.where(), fmt::format("{} {} is outside of {} to {}", what, ToString(values), low, high),
           "Change the layer, or let it run on the GPU (--allowGPUFallback).");
}

// The convolution buffer: weights and data of one step must fit into 16 banks (bytes: 1 for INT8).
void CheckBuffer(Context* c, const RawNode& node, const Tensor& w, const std::vector<int64_t>& dilations) {
  const Shape* input = c->view.ShapeOf(InputOf(node, 0));
  if (input == nullptr || input->size() != 4 || (*input)[3] <= 0) return;
  const int64_t channels = w.dim(1), kh = w.dim(2), kw = w.dim(3), width = (*input)[3];
  const int64_t all_channels = channels * IntOf(node, "group", 1);
  const int64_t dilated = (kh - 1) * (dilations.empty() ? 1 : dilations[0]) + 1;
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t weight_banks = up(up(channels * kh * kw, 128) * 128, 32768);
  const int64_t data_banks = up(up(up(all_channels, 32) * width, 4) * dilated, 256);
  if (weight_banks + data_banks > 16) {
    c->Error("dla-conv-buffer", node.where(),
             fmt::format("needs {} + {} of the 16 banks of the convolution buffer", weight_banks, data_banks),
             "A smaller width, kernel or number of channels; or GPU fallback.");
  }
}

void CheckConv(Context* c, const RawNode& node) {
  const Tensor* w = c->view.Weights(InputOf(node, 1));
  if (w == nullptr) return;
  if (w->rank() != 4) {
    c->Error("dla-dimensions", node.where(),
             fmt::format("its weights are {}; DLA has 2-D convolutions alone", ToString(w->shape())), "GPU fallback.");
    return;
  }
  const std::vector<int64_t> kernel = {w->dim(2), w->dim(3)};
  const std::vector<int64_t> pads = IntsOf(node, "pads", {0, 0, 0, 0});
  const std::vector<int64_t> dilations = IntsOf(node, "dilations", {1, 1});
  const int64_t group = IntOf(node, "group", 1);
  if (node.op == "ConvTranspose") {
    const bool strip = (kernel[0] == 1 || kernel[1] == 1) &&
                       (std::max(kernel[0], kernel[1]) == 64 || std::max(kernel[0], kernel[1]) == 96 ||
                        std::max(kernel[0], kernel[1]) == 128);
    if (!strip) Range(c, node, "kernel", kernel, 1, 32);
    const std::vector<int64_t> strides = IntsOf(node, "strides", {1, 1});
    if (kernel[0] == kernel[1] && strides == kernel && kernel[0] >= 23 && kernel[0] <= 32) {
      c->Error("dla-range", node.where(),
               fmt::format("a square kernel equal to its stride of {} is not taken", kernel[0]), "GPU fallback.");
    }
    Range(c, node, "padding", pads, 0, 0);
    Range(c, node, "group", {group}, 1, 1);
    Range(c, node, "dilation", dilations, 1, 1);
    Range(c, node, "channels", {w->dim(0), w->dim(1)}, 1, 8192);
    return;
  }
  Range(c, node, "kernel", kernel, 1, 32);
  Range(c, node, "padding", pads, 0, 31);
  for (size_t i = 0; i < pads.size() && pads.size() == 4; ++i) {
    if (pads[i] < kernel[i % 2] || pads[i] > 31) continue;
    c->Error("dla-range", node.where(),
             fmt::format("padding {} is not smaller than the kernel {}", ToString(pads), ToString(kernel)),
             "Pad before the layer.");
    break;
  }
  Range(c, node, "stride", IntsOf(node, "strides", {1, 1}), 1, 8);
  Range(c, node, "dilation", dilations, 1, 32);
  Range(c, node, "output channels", {w->dim(0)}, 1, 8192);
  Range(c, node, "group", {group}, 1, 8192);
  CheckBuffer(c, node, *w, dilations);
}

void CheckPool(Context* c, const RawNode& node) {
  const std::vector<int64_t> kernel = IntsOf(node, "kernel_shape", {});
  Range(c, node, "window", kernel, 1, 8);
  Range(c, node, "padding", IntsOf(node, "pads", {}), 0, 7);
  Range(c, node, "stride", IntsOf(node, "strides", {}), 1, 16);
}

void CheckClip(Context* c, const RawNode& node) {
  const Tensor* low = c->view.Constant(InputOf(node, 1));
  const Tensor* high = c->view.Constant(InputOf(node, 2));
  if (low == nullptr || high == nullptr || low->size() != 1 || high->size() != 1) return;
  const float a = low->ToVector<float>()[0], b = high->ToVector<float>()[0];
  if (a == 0 && b >= 1 && b <= 127) return;
  c->Error("dla-range", node.where(),
           fmt::format("clips to [{}, {}]; DLA has a clipped ReLU with a bound from 1 to 127", a, b),
           "Use Relu, or Clip from 0 to 6.");
}

void CheckResize(Context* c, const RawNode& node) {
  const Tensor* scales = c->view.Constant(InputOf(node, 2));
  const auto mode_attr = node.attrs.find("mode");
  const std::string mode = mode_attr != node.attrs.end() && std::holds_alternative<std::string>(mode_attr->second)
                               ? std::get<std::string>(mode_attr->second)
                               : "nearest";
  if (scales == nullptr || scales->size() != 4) {
    if (scales != nullptr && scales->size() == 0) return;  // sizes are given instead
    c->Error("dla-range", node.where(), "DLA needs 4 constant scales", "Export Resize with scales.");
    return;
  }
  const std::vector<float> s = scales->ToVector<float>();
  const float most = mode == "linear" ? 4 : 32;
  bool good = s[0] == 1 && s[1] == 1;
  for (const float v : {s[2], s[3]}) good = good && v == std::floor(v) && v >= 1 && v <= most;
  if (!good) {
    c->Error(
        "dla-range", node.where(),
        fmt::format("scales [{}] are not whole numbers from 1 to {} over height and width", fmt::join(s, ","), most),
        "Resize by a whole factor.");
  }
}

void CheckShape(Context* c, const std::string& name, const std::string& where) {
  const Shape* shape = c->view.ShapeOf(name);
  if (shape == nullptr) return;
  for (size_t i = 1; i < shape->size(); ++i) {
    if ((*shape)[i] <= 8192) continue;
    c->Error("dla-dimensions", where,
             fmt::format("{} has shape {}; DLA's sizes end at 8192", TensorText(name), ToString(*shape)),
             "GPU fallback.");
    return;
  }
}

}  // namespace

void CheckDlaLayers(Context* c) {
  const ModelView& view = c->view;
  const Target& target = c->target();
  if (view.has_qdq()) {
    c->Error("dla-qdq", "model", "has Q/DQ nodes, which DLA does not take (TensorRT 8 to 10)",
             "Give it fp32.onnx with a calibration cache of every tensor (export.coverage: full).");
  }
  for (const onnx::RawValue& v : view.model().inputs) {
    if (!view.IsInput(v.name) || !v.typed) continue;
    for (const int64_t d : v.type.shape) {
      if (d >= 0) continue;
      c->Error("dla-dynamic-shape", TensorText(v.name),
               fmt::format("is {}: DLA needs fixed sizes, the batch too", ToString(v.type.shape)),
               "Export with a fixed batch size (export.batch_size).");
      break;
    }
    if (!v.type.shape.empty() && v.type.shape[0] > 4096) {
      c->Error("dla-dimensions", TensorText(v.name), "has a batch of more than 4096", "A smaller batch.");
    }
  }
  int islands = 0;
  bool inside = false;
  for (const RawNode& node : view.nodes()) {
    if (IsQuantize(&node) || IsDequantize(&node) || node.op == "Constant" || node.outputs.empty()) continue;
    if (view.Constant(node.outputs[0]) != nullptr) continue;
    const bool native = IsNative(target, node);
    if (native && !inside) ++islands;
    inside = native;
    if (!native) {
      c->Warn(node.op == "Flatten" || node.op == "Squeeze" || node.op == "Unsqueeze" ? "dla-reshape" : "dla-fallback",
              node.where(),
              fmt::format("{} does not run on {}: it goes to the GPU, with copies both ways", node.op, target.name),
              Remedy(node.op));
    }
    if (node.op == "Conv" || node.op == "ConvTranspose") CheckConv(c, node);
    if (node.op == "MaxPool" || node.op == "AveragePool") CheckPool(c, node);
    if (node.op == "Clip") CheckClip(c, node);
    if (node.op == "Resize") CheckResize(c, node);
    if (node.op == "LRN") {
      const int64_t size = IntOf(node, "size", 0);
      if (size != 3 && size != 5 && size != 7 && size != 9) {
        c->Error("dla-range", node.where(), fmt::format("window {}: DLA has 3, 5, 7 and 9", size), "GPU fallback.");
      }
    }
    if (node.op == "Concat" && IntOf(node, "axis", 1) != 1) {
      c->Error("dla-range", node.where(), fmt::format("axis {}: DLA joins channels alone", IntOf(node, "axis", 1)),
               "GPU fallback.");
    }
    if ((node.op == "Gemm" || node.op == "MatMul") && !IsOfConstants(view, InputOf(node, 1))) {
      c->Warn("dla-fallback", node.where(), "its second operand is not constant: it goes to the GPU", "GPU fallback.");
    }
    CheckShape(c, node.outputs[0], node.where());
  }
  if (islands > 16) {
    c->Error("dla-loadables", "model", fmt::format("falls into {} pieces for DLA; a core holds 16", islands),
             "Replace the operators that fall back.");
  }
}

void CheckDlaScales(Context* c) {
  const ModelView& view = c->view;
  if (c->options.cache == nullptr) {
    c->Warn("dla-no-cache", "model", "no calibration cache was given; INT8 on DLA needs one with every tensor",
            "Export with export.coverage: full, and give it with --cache.");
    return;
  }
  if (view.has_qdq()) return;
  const tensorrt::CalibrationCache& cache = *c->options.cache;
  const auto check_tensor = [&](const std::string& name) {
    if (cache.Find(name) != nullptr || view.Constant(name) != nullptr) return;
    if (view.IsOutput(name)) {
      c->Warn("dla-output-scale", TensorText(name), "is an output of the network without a scale of its own",
              "Calibrate it, or keep its layer in FP16 (--layerPrecisions).");
    } else {
      c->Warn("dla-tensor-without-scale", TensorText(name), "has no scale: its layers run in FP16 or on the GPU",
              "Export with export.coverage: full.");
    }
  };
  for (const onnx::RawValue& v : view.model().inputs) {
    if (view.IsInput(v.name)) check_tensor(v.name);
  }
  static const std::set<std::string> elementwise = {"Add", "Sub", "Mul", "Max", "Min", "Sum"};
  for (const RawNode& node : view.nodes()) {
    if (node.outputs.empty() || node.op == "Constant" || node.op == "Shape") continue;
    check_tensor(node.outputs[0]);
    std::vector<float> inputs;
    for (const std::string& input : node.inputs) {
      if (const auto* e = cache.Find(input)) inputs.push_back(e->scale);
    }
    const auto* output = cache.Find(node.outputs[0]);
    std::set<float> kinds(inputs.begin(), inputs.end());
    const bool joins = node.op == "Concat", pools = node.op == "MaxPool" || node.op == "AveragePool";
    if ((joins || pools) && output != nullptr) kinds.insert(output->scale);
    if ((joins || pools || elementwise.count(node.op) != 0) && kinds.size() > 1) {
      c->Warn(joins   ? "dla-concat-scales"
              : pools ? "dla-pool-scales"
                      : "dla-elementwise-scales",
              node.where(), fmt::format("the scales around it differ ({}); DLA wants one", fmt::join(kinds, ", ")),
              "Give all of them the largest.");
    }
  }
}

}  // namespace octet::lint
