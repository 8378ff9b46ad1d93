// An ONNX file as the rules see it: who makes a tensor, who reads it, what is constant, and the shapes where they can
// be inferred. Files that octet cannot import can be linted too.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "onnx/raw_model.h"

namespace octet::lint {

class ModelView {
 public:
  // Keeps a reference to `model`. `shapes`: what is known of intermediate tensors, by name.
  ModelView(const onnx::RawModel& model, std::map<std::string, Shape> shapes);

  const onnx::RawModel& model() const { return model_; }
  const std::vector<onnx::RawNode>& nodes() const { return model_.nodes; }
  // nullptr: a graph input, a constant or unknown.
  const onnx::RawNode* Producer(const std::string& tensor) const;
  const std::vector<const onnx::RawNode*>& Consumers(const std::string& tensor) const;
  // Initializers and Constant nodes, also through Identity and Cast; nullptr otherwise.
  const Tensor* Constant(const std::string& tensor) const;
  // The same, and constants behind a Q/DQ pair: the weights of a quantized layer. Null if there are none.
  const Tensor* Weights(const std::string& tensor) const;
  // nullptr when unknown. -1 is a dynamic size.
  const Shape* ShapeOf(const std::string& tensor) const;
  bool IsOutput(const std::string& tensor) const { return outputs_.count(tensor) != 0; }
  bool IsInput(const std::string& tensor) const { return inputs_.count(tensor) != 0; }
  bool has_qdq() const { return has_qdq_; }

 private:
  const onnx::RawModel& model_;
  std::map<std::string, Shape> shapes_;
  std::unordered_map<std::string, const onnx::RawNode*> producers_;
  std::unordered_map<std::string, std::vector<const onnx::RawNode*>> consumers_;
  std::unordered_map<std::string, const Tensor*> constants_;
  std::map<std::string, int> outputs_, inputs_;
  bool has_qdq_ = false;
};

// The i-th input, "" when absent.
std::string InputOf(const onnx::RawNode& node, size_t i);
int64_t IntOf(const onnx::RawNode& node, const std::string& attribute, int64_t fallback);
std::vector<int64_t> IntsOf(const onnx::RawNode& node, const std::string& attribute, std::vector<int64_t> fallback);
bool IsQuantize(const onnx::RawNode* node);    // false for nullptr
bool IsDequantize(const onnx::RawNode* node);  // false for nullptr

// The shapes that octet's importer infers, by tensor name; empty when it cannot read the model, with its reason in
// `*why_not`. ops::InstallOps() must have run.
std::map<std::string, Shape> InferShapes(const std::string& bytes, const std::string& path, std::string* why_not);

}  // namespace octet::lint
