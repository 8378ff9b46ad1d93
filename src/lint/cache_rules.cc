// The calibration cache against the model and the target.
#include <limits>
#include <set>

#include "base/strings.h"
#include "lint/lint.h"

namespace octet::lint {
namespace {

using onnx::RawNode;

void CheckHeader(Context* c, const tensorrt::CalibrationCache& cache) {
  const Target& target = c->target();
  const std::string text = tensorrt::VersionText(cache.version);
  if (target.is_tensorrt()) {
    const auto parts = Split(text, '.');
    const bool same =
        parts.size() >= 2 && parts[0] == std::to_string(target.major) && parts[1] == std::to_string(target.minor);
    if (!same) {
      c->Error("cache-version", "cache",
               text.empty()
                   ? fmt::format("its header says version {}, which no TensorRT from 5 to 10 has; {} refuses it",
                                 cache.version, target.name)
                   : fmt::format("its header is of TensorRT {} ({}); {} refuses it and calibrates anew", text,
                                 cache.version, target.name),
               fmt::format("Export with export.tensorrt_version={}.{}, or write that number into the first line.",
                           target.major, target.minor));
    }
  }
  if (cache.algorithm != "EntropyCalibration2") {
    c->Add(
        "cache-algorithm", target.is_dla() ? Severity::kError : Severity::kWarning, "cache",
        fmt::format("its header says {}; trtexec, DeepStream and DLA read EntropyCalibration2 alone", cache.algorithm),
        "Write EntropyCalibration2 into the first line; the scales keep their meaning.");
  }
}

// A tensor inside what TensorRT fuses: it needs no scale of its own.
bool InsideFusion(const ModelView& view, const std::string& tensor) {
  const RawNode* producer = view.Producer(tensor);
  if (producer == nullptr || view.IsOutput(tensor)) return false;
  const auto& consumers = view.Consumers(tensor);
  if (consumers.size() != 1) {
    // x * sigmoid(x)
    return producer->op == "Conv" && consumers.size() == 2 &&
           (consumers[0]->op == "Sigmoid" || consumers[1]->op == "Sigmoid");
  }
  const RawNode& next = *consumers[0];
  if (producer->op == "Pad") return next.op == "Conv" || next.op == "MaxPool" || next.op == "AveragePool";
  const bool starts =
      IsWeighted(*producer) || producer->op == "BatchNormalization" || producer->op == "Add" || producer->op == "Sum";
  if (starts && (next.op == "BatchNormalization" || IsActivation(next))) return true;
  if (producer->op == "Sigmoid" && next.op == "Mul") return true;
  return (IsWeighted(*producer) || producer->op == "BatchNormalization") && next.op == "Add";
}

bool ScaledDownstream(const ModelView& view, const std::string& tensor, const std::set<std::string>& scaled) {
  std::vector<std::string> open = {tensor};
  std::set<std::string> seen;
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    if (!seen.insert(name).second) continue;
    if (name != tensor && scaled.count(name) != 0) return true;
    for (const RawNode* node : view.Consumers(name))
      open.insert(open.end(), node->outputs.begin(), node->outputs.end());
  }
  return false;
}

void CheckCoverage(Context* c, const tensorrt::CalibrationCache& cache) {
  const ModelView& view = c->view;
  std::set<std::string> scaled;
  for (const tensorrt::CacheEntry& e : cache.entries) scaled.insert(e.name);
  std::set<std::string> tensors;
  std::vector<std::string> order;
  for (const onnx::RawValue& v : view.model().inputs) {
    if (view.IsInput(v.name)) order.push_back(v.name);
  }
  for (const RawNode& node : view.nodes()) {
    if (node.op == "Constant" || node.op == "Shape" || node.outputs.empty()) continue;
    order.push_back(node.outputs[0]);
  }
  for (const std::string& name : order) {
    tensors.insert(name);
    if (scaled.count(name) != 0 || view.Constant(name) != nullptr || c->target().is_dla()) continue;
    if (InsideFusion(view, name)) continue;
    if (ScaledDownstream(view, name, scaled)) {
      c->Warn("tensor-without-scale", TensorText(name),
              "has no scale in the cache: the layers around it run in floating point",
              "Calibrate it (export.coverage: full writes every tensor).");
    } else {
      c->Note("tensor-without-scale", TensorText(name),
              "has no scale in the cache: the end of the network runs in floating point",
              "Nothing, if the output layers are meant to stay in floating point.");
    }
  }
  for (const tensorrt::CacheEntry& e : cache.entries) {
    if (tensors.count(e.name) != 0 || view.Constant(e.name) != nullptr) continue;
    const bool unnamed = e.name.rfind("(Unnamed", 0) == 0;
    c->Add("scale-without-tensor", unnamed ? Severity::kNote : Severity::kWarning, TensorText(e.name),
           unnamed ? "is a name that TensorRT gives to layers of its own" : "is in the cache, but not in the model",
           unnamed ? "Nothing." : "Was the cache made for this file? TensorRT ignores the entry.");
  }
}

}  // namespace

void CheckCache(Context* c) {
  const ModelView& view = c->view;
  const Target& target = c->target();
  if (target.is_tensorrt() && target.major >= 11 && c->options.expects_fp16 && !view.model().has_half) {
    c->Error("fp16-not-in-graph", "model",
             "FP16 is expected, but no tensor of the graph is FP16; TensorRT 11 has no flag for it",
             "Write FP16 into the graph (Cast nodes, FP16 initializers).");
  }
  if (c->options.cache == nullptr) return;
  const tensorrt::CalibrationCache& cache = *c->options.cache;
  if (!target.reads_caches()) {
    if (view.has_qdq()) {
      c->Warn("cache-not-read", "cache", target.name + " reads no calibration cache",
              "Leave it out: the Q/DQ nodes count.");
    } else if (target.is_tensorrt()) {
      c->Error(
          "cache-not-read", "cache",
          "TensorRT 11 has no calibration any more, and the model has no Q/DQ nodes: it would run in floating point",
          "Give it qdq.onnx.");
    } else {
      c->Warn("cache-not-read", "cache", "ONNX Runtime's CPU kernels read no cache, and the model has no Q/DQ nodes",
              "Give it qdq.onnx.");
    }
    return;
  }
  if (view.has_qdq()) {
    c->Warn("cache-ignored", "cache", "the model has Q/DQ nodes, so the cache is ignored",
            "Use the cache with fp32.onnx, or qdq.onnx without a cache.");
    return;
  }
  CheckHeader(c, cache);
  for (const tensorrt::CacheEntry& e : cache.entries) {
    if (!(e.scale >= std::numeric_limits<float>::min())) {
      c->Warn("scale-zero", TensorText(e.name), fmt::format("has the scale {}, which can break the build", e.scale),
              "The tensor was all zero when it was calibrated: use the scale of amax = 1 (1/127).");
    }
    if (e.name.find(':') != std::string::npos) {
      c->Warn("colon-in-name", TensorText(e.name), "has a ':' in its name, where ONNX Runtime's reader cuts it",
              "Rename the tensor.");
    }
  }
  CheckCoverage(c, cache);
  for (const RawNode& node : view.nodes()) {
    if (node.op != "MaxPool" || node.outputs.empty() || target.is_dla()) continue;
    const auto* before = cache.Find(InputOf(node, 0));
    const auto* after = cache.Find(node.outputs[0]);
    if (before != nullptr && after != nullptr && before->scale != after->scale) {
      c->Warn("maxpool-scales", node.where(), "the scales before and after it differ",
              "Use the scale of its input for both.");
    }
  }
}

}  // namespace octet::lint
