// Rules of TensorRT, DLA and ONNX Runtime for quantized networks, checked before the target is at hand
// (docs/lint.md lists them).
#pragma once

#include <string>
#include <vector>

#include "lint/finding.h"
#include "lint/model_view.h"
#include "lint/target.h"
#include "tensorrt/calibration_cache.h"

namespace octet::lint {

struct LintOptions {
  Target target;
  const tensorrt::CalibrationCache* cache = nullptr;
  bool expects_fp16 = false;  // the rest of the network is meant to run in FP16
};

// Checks a model that is in memory.
Report Lint(const ModelView& view, const LintOptions& options);

// Reads and checks files; `cache_path` may be empty. Throws a user Error when a file cannot be read at all.
Report LintFiles(const std::string& onnx_path, const std::string& cache_path, const Target& target,
                 bool expects_fp16 = false);

// ---- for the rule files
class Context {
 public:
  Context(const ModelView& view_in, const LintOptions& options_in) : view(view_in), options(options_in) {}
  void Error(const std::string& rule, const std::string& where, const std::string& reason, const std::string& remedy) {
    Add(rule, Severity::kError, where, reason, remedy);
  }
  void Warn(const std::string& rule, const std::string& where, const std::string& reason, const std::string& remedy) {
    Add(rule, Severity::kWarning, where, reason, remedy);
  }
  void Note(const std::string& rule, const std::string& where, const std::string& reason, const std::string& remedy) {
    Add(rule, Severity::kNote, where, reason, remedy);
  }
  void Add(const std::string& rule, Severity severity, const std::string& where, const std::string& reason,
           const std::string& remedy) {
    findings.push_back({rule, severity, where, reason, remedy});
  }
  const Target& target() const { return options.target; }

  const ModelView& view;
  const LintOptions& options;
  std::vector<Finding> findings;
};

void CheckQuantizers(Context* c);  // each QuantizeLinear and DequantizeLinear by itself; operators that no target takes
void CheckPlacement(Context* c);   // where the pairs stand
void CheckEfficiency(Context* c);  // shapes and idioms that are slow in INT8
void CheckCache(Context* c);       // the calibration cache against the model
void CheckDlaLayers(Context* c);   // what DLA can run
void CheckDlaScales(Context* c);   // the scales that DLA wants
void CheckOnnxRuntime(Context* c);  // what ONNX Runtime's CPU kernels like

// Shared by the rules.
bool IsWeighted(const onnx::RawNode& node);    // Conv, ConvTranspose, Gemm, MatMul
bool IsActivation(const onnx::RawNode& node);  // what TensorRT fuses behind a convolution
// The scale constant of the pair that makes `tensor`; nullptr when no DequantizeLinear makes it or it is not constant.
const Tensor* ScaleBefore(const ModelView& view, const std::string& tensor);
// The scales of the QuantizeLinear nodes that read `tensor`.
std::vector<const Tensor*> ScalesAfter(const ModelView& view, const std::string& tensor);
bool SameScale(const Tensor& a, const Tensor& b);
// Whether the tensor holds INT8 codes: made by a DequantizeLinear, perhaps through operators that only move values.
bool IsQuantizedTensor(const ModelView& view, const std::string& tensor);
bool IsQuantizedLayer(const ModelView& view, const onnx::RawNode& node);  // a weighted node with INT8 data and weights
std::string TensorText(const std::string& name);                          // "tensor 'x'"

}  // namespace octet::lint
