#include "task/pretrained.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "ir/safetensors.h"
#include "onnx/onnx_import.h"
#include "task/predictor.h"
#include "zoo/names_elsewhere.h"

namespace octet::task {
namespace {

using ir::Graph;
using ir::ValueId;

// Weights, biases, batch norm parameters and statistics, in topological order.
std::vector<ValueId> Parameters(const Graph& g) {
  std::vector<ValueId> found;
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    const ir::OpDef& op = ir::GetOp(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::InputRole role = op.role(i);
      const bool parameter =
          role == ir::InputRole::kWeight || role == ir::InputRole::kParam || role == ir::InputRole::kBuffer;
      const ValueId in = node.inputs[i];
      if (!parameter || in == ir::kNoValue || !g.value(in).is_constant()) continue;
      if (std::find(found.begin(), found.end(), in) == found.end()) found.push_back(in);
    }
  }
  return found;
}

std::string ShortList(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + static_cast<long>(std::min(kShown, names.size())));
  return names.empty()
             ? "none"
             : Join(shown, ", ") + (names.size() > kShown ? fmt::format(", ... ({} in all)", names.size()) : "");
}

std::string WithoutPrefix(const std::string& name) {
  for (const char* prefix : {"module.", "model."}) {
    if (StartsWith(name, prefix)) return WithoutPrefix(name.substr(std::string(prefix).size()));
  }
  return name;
}

// The first block's projection as the identity, where the file's network has none.
bool MakeIdentity(Graph& g, const std::string& name) {
  const std::string conv = "block_1a_conv_shortcut.", bn = "block_1a_bn_shortcut.";
  if (!StartsWith(name, conv) && !StartsWith(name, bn)) return false;
  const ValueId id = g.Find(name);
  Tensor t(DType::kF32, g.value(id).type.shape);
  auto* p = t.mutable_data<float>();
  if (name == conv + "weight") {
    if (t.rank() != 4 || t.dim(0) != t.dim(1) || t.dim(2) != 1 || t.dim(3) != 1) return false;
    for (int64_t k = 0; k < t.dim(0); ++k) p[k * t.dim(0) + k] = 1.0f;
  } else if (name == bn + "scale") {
    std::fill_n(p, t.size(), 1.0f);
  } else if (name == bn + "var") {
    const float epsilon = g.node(g.value(id).consumers.at(0)).attr_float("epsilon", 1e-5f);
    std::fill_n(p, t.size(), 1.0f - epsilon);
  }
  g.set_constant(id, t);
  return true;
}

}  // namespace

std::map<std::string, Tensor> ReadWeights(const std::string& path) {
  if (EndsWith(path, ".safetensors")) return ir::ReadSafetensors(path);
  switch (KindOfFile(path)) {
    case FileKind::kModel: {
      const Graph graph = ir::ReadModel(path).graph;
      std::map<std::string, Tensor> found;
      for (const ValueId id : Parameters(graph)) found.emplace(graph.value(id).name, graph.value(id).constant);
      return found;
    }
    case FileKind::kOnnx: return onnx::ReadInitializers(path);
    default:
      OCTET_FAIL("checkpoint '{}' is no .octet model, .onnx or .safetensors file{}", path,
                 EndsWith(path, ".pth") || EndsWith(path, ".pt") || EndsWith(path, ".bin")
                     ? "; from PyTorch: safetensors.torch.save_file(model.state_dict(), \"weights.safetensors\")"
                     : "");
  }
}

LoadedWeights LoadWeights(Graph& g, const std::string& path) {
  std::map<std::string, Tensor> file;
  for (auto& [name, tensor] : ReadWeights(path)) file.emplace(WithoutPrefix(name), std::move(tensor));
  const auto it = g.metadata().find("backbone");
  const std::string backbone = it == g.metadata().end() ? "" : it->second;
  LoadedWeights result;
  bool elsewhere = false;
  for (const ValueId id : Parameters(g)) {
    const std::string name = g.value(id).name;
    const Shape& shape = g.value(id).type.shape;
    const Tensor* found = nullptr;
    bool other_shape = false;
    for (const std::string& known : zoo::NamesElsewhere(backbone, name)) {
      const auto entry = file.find(known);
      if (entry == file.end()) continue;
      if (entry->second.shape() != shape) {
        other_shape = true;
        continue;
      }
      found = &entry->second;
      elsewhere = elsewhere || known != name;
      break;
    }
    if (found != nullptr) {
      g.set_constant(id, found->dtype() == DType::kF32 ? *found : Tensor::From<float>(shape, found->ToVector<float>()));
      ++result.loaded;
    } else {
      (other_shape ? result.other_shape : result.missing).push_back(name);
    }
  }
  OCTET_REQUIRE(
      result.loaded > 0,
      "checkpoint '{}' has no weight that this network has, by name and shape: the network has {}; the file has "
      "{}. (An .onnx whose batch norms are folded has names of its own; export it with batch norms kept, or save a "
      ".safetensors)",
      path, ShortList(result.missing), ShortList([&] {
        std::vector<std::string> names;
        for (const auto& [name, tensor] : file) names.push_back(name);
        return names;
      }()));
  if (elsewhere && (backbone == "resnet_18" || backbone == "resnet_34")) {
    auto& missing = result.missing;
    const size_t before = missing.size();
    missing.erase(
        std::remove_if(missing.begin(), missing.end(), [&](const std::string& n) { return MakeIdentity(g, n); }),
        missing.end());
    if (missing.size() < before)
      LogInfo("{}: the first projection, which the file's network has not, is the identity", path);
  }
  LogInfo("{}: {} tensors loaded; another shape: {}; not in the file: {}", path, result.loaded,
          ShortList(result.other_shape), ShortList(result.missing));
  return result;
}

}  // namespace octet::task
