#include "lint/lint.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"

namespace octet::lint {

using onnx::RawNode;

bool IsWeighted(const RawNode& node) {
  return node.op == "Conv" || node.op == "ConvTranspose" || node.op == "Gemm" || node.op == "MatMul";
}

bool IsActivation(const RawNode& node) {
  static const std::set<std::string> ops = {"Relu", "Clip",        "LeakyRelu", "PRelu", "Sigmoid", "Tanh",
                                            "Elu",  "HardSigmoid", "HardSwish", "Selu",  "Softplus"};
  return ops.count(node.op) != 0;
}

const Tensor* ScaleBefore(const ModelView& view, const std::string& tensor) {
  const RawNode* node = view.Producer(tensor);
  return IsDequantize(node) ? view.Constant(InputOf(*node, 1)) : nullptr;
}

std::vector<const Tensor*> ScalesAfter(const ModelView& view, const std::string& tensor) {
  std::vector<const Tensor*> scales;
  for (const RawNode* node : view.Consumers(tensor)) {
    if (!IsQuantize(node) || InputOf(*node, 0) != tensor) continue;
    if (const Tensor* scale = view.Constant(InputOf(*node, 1))) scales.push_back(scale);
  }
  return scales;
}

bool SameScale(const Tensor& a, const Tensor& b) {
  return a.size() == b.size() && a.ToVector<float>() == b.ToVector<float>();
}

bool IsQuantizedTensor(const ModelView& view, const std::string& tensor) {
  // TensorRT moves the DQ behind these. A channel shuffle ends in Gather or Split; a Concat needs all its inputs.
  static const std::set<std::string> movers = {"MaxPool",  "Reshape",   "Flatten",      "Transpose",
                                               "Squeeze",  "Unsqueeze", "Slice",        "Split",
                                               "Identity", "Pad",       "DepthToSpace", "Gather"};
  bool found = false;
  std::vector<std::string> open = {tensor};
  std::set<std::string> seen;  // a broken file may hold a ring
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    if (!seen.insert(name).second) continue;
    const RawNode* node = view.Producer(name);
    if (node == nullptr || node->inputs.empty()) return false;
    if (IsDequantize(node)) {
      found = true;
    } else if (node->op == "Concat") {
      open.insert(open.end(), node->inputs.begin(), node->inputs.end());
    } else if (movers.count(node->op) != 0) {
      open.push_back(node->inputs[0]);
    } else {
      return false;
    }
  }
  return found;
}

bool IsQuantizedLayer(const ModelView& view, const RawNode& node) {
  return IsWeighted(node) && IsQuantizedTensor(view, InputOf(node, 0)) && IsQuantizedTensor(view, InputOf(node, 1));
}

std::string TensorText(const std::string& name) {
  return "tensor '" + name + "'";
}

Report Lint(const ModelView& view, const LintOptions& options) {
  Context context(view, options);
  CheckQuantizers(&context);
  if (!options.target.is_dla()) CheckPlacement(&context);
  if (options.target.is_tensorrt()) CheckEfficiency(&context);
  CheckCache(&context);
  if (options.target.is_dla()) {
    CheckDlaLayers(&context);
    CheckDlaScales(&context);
  }
  if (options.target.kind == Target::Kind::kOnnxRuntime) CheckOnnxRuntime(&context);
  Report report;
  report.findings = std::move(context.findings);
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  for (const Finding& f : report.findings) {
    ++(f.severity == Severity::kError     ? report.errors
       : f.severity == Severity::kWarning ? report.warnings
                                          : report.notes);
  }
  return report;
}

Report LintFiles(const std::string& onnx_path, const std::string& cache_path, const Target& target, bool expects_fp16) {
  const std::string bytes = ReadFile(onnx_path, "ONNX model");
  const onnx::RawModel model = onnx::ParseRawModel(bytes, onnx_path);
  std::string why_not;
  std::map<std::string, Shape> shapes = InferShapes(bytes, onnx_path, &why_not);
  const ModelView view(model, std::move(shapes));
  tensorrt::CalibrationCache cache;
  LintOptions options;
  options.target = target;
  options.expects_fp16 = expects_fp16;
  if (!cache_path.empty()) {
    cache = tensorrt::ReadCalibrationCache(cache_path);
    options.cache = &cache;
  }
  Report report = Lint(view, options);
  if (!why_not.empty()) {
    report.findings.push_back(
        {"shapes-unknown", Severity::kNote, "model",
         "the shapes inside are not known, so the rules about sizes were left out (" + why_not + ")",
         "Run ONNX shape inference or fix what the message names, then lint again."});
    ++report.notes;
  }
  return report;
}

}  // namespace octet::lint
