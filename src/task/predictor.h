// One way to run a network, whatever file it comes from: a trained .octet, an .onnx, or an INT8 .plan.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "tensor/tensor.h"

namespace octet::task {

class Predictor {
 public:
  virtual ~Predictor() = default;
  // f32 [N,C,H,W] -> all outputs of the graph.
  virtual std::vector<Tensor> Run(const Tensor& images) = 0;
  // The first one: of a classifier, f32 [N,classes].
  Tensor Predict(const Tensor& images) { return Run(images).at(0); }
  // "FP32, LibTorch", "INT8, engine (avx512_vnni)"
  virtual std::string description() const = 0;
  virtual const ir::Graph& graph() const = 0;
  // "weights", "plan", ...: free text that the file carried (class names, preprocessing).
  const std::map<std::string, std::string>& info() const { return info_; }

 protected:
  std::map<std::string, std::string> info_;
};

// By the file's content: .octet (a quantized one runs as its INT8 engine would), .onnx, .plan. `device` is for float
// networks, `threads` for the engine, `imported` completes the graph of an .onnx. Throws a user Error for other files.
std::unique_ptr<Predictor> LoadPredictor(const std::string& path, const std::string& device, int threads,
                                         const std::function<ir::Graph(ir::Graph)>& imported = {});

// A graph that is in memory: with Q/DQ it is lowered and runs on the INT8 engine, without on LibTorch.
std::unique_ptr<Predictor> MakePredictor(const ir::Graph& graph, const std::map<std::string, std::string>& info,
                                         const std::string& device, int threads);

enum class FileKind { kModel, kOnnx, kPlan, kCache, kUnknown };
// By the first bytes, then by the name. Throws a user Error when the file does not exist.
FileKind KindOfFile(const std::string& path);

}  // namespace octet::task
