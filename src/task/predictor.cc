#include "task/predictor.h"

#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "ir/model_file.h"
#include "onnx/onnx_import.h"
#include "passes/insert_qdq.h"
#include "passes/pipelines.h"
#include "train/graph_module.h"

namespace octet::task {
namespace {

class FloatPredictor : public Predictor {
 public:
  FloatPredictor(const ir::Graph& graph, const std::map<std::string, std::string>& info, const std::string& device)
      : module_(graph, device) {
    info_ = info;
    input_ = graph.value(graph.inputs().at(0)).name;
  }
  std::vector<Tensor> Run(const Tensor& images) override { return module_.Evaluate({{input_, images}}); }
  std::string description() const override { return "FP32, LibTorch on " + module_.device(); }
  const ir::Graph& graph() const override { return module_.graph(); }

 private:
  train::GraphModule module_;
  std::string input_;
};

class EnginePredictor : public Predictor {
 public:
  EnginePredictor(engine::Engine engine, int threads) : engine_(std::move(engine)), threads_(threads) {
    info_ = engine_.info();
  }
  std::vector<Tensor> Run(const Tensor& images) override {
    if (!context_ || context_->batch() != images.dim(0)) {
      context_ = engine_.NewContext({images.dim(0), threads_, false});
    }
    return context_->Run({{engine_.inputs().at(0).name, images}});
  }
  std::string description() const override { return "INT8, engine (" + engine_.isa() + ")"; }
  const ir::Graph& graph() const override { return engine_.graph(); }

 private:
  engine::Engine engine_;
  int threads_;
  std::unique_ptr<engine::Context> context_;
};

}  // namespace

std::unique_ptr<Predictor> MakePredictor(const ir::Graph& graph, const std::map<std::string, std::string>& info,
                                         const std::string& device, int threads) {
  OCTET_REQUIRE(graph.inputs().size() == 1 && !graph.outputs().empty(),
                "network '{}' has {} inputs; octet runs networks with one image input", graph.name(),
                graph.inputs().size());
  if (!passes::HasQdq(graph)) return std::make_unique<FloatPredictor>(passes::PrepareForExport(graph), info, device);
  return std::make_unique<EnginePredictor>(engine::Engine::FromGraph(passes::PrepareForEngine(graph), info), threads);
}

FileKind KindOfFile(const std::string& path) {
  const std::string bytes = ReadFile(path, "file").substr(0, 16);
  if (StartsWith(bytes, "octetmdl") || EndsWith(path, ".octet")) return FileKind::kModel;
  if (StartsWith(bytes, "octeplan") || EndsWith(path, ".plan")) return FileKind::kPlan;
  if (EndsWith(path, ".onnx")) return FileKind::kOnnx;
  if (StartsWith(bytes, "TRT-")) return FileKind::kCache;
  return FileKind::kUnknown;
}

std::unique_ptr<Predictor> LoadPredictor(const std::string& path, const std::string& device, int threads,
                                         const std::function<ir::Graph(ir::Graph)>& imported) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: {
      const ir::Model model = ir::ReadModel(path);
      return MakePredictor(model.graph, model.info, device, threads);
    }
    case FileKind::kOnnx: {
      ir::Graph graph = onnx::ImportOnnx(path);
      const std::map<std::string, std::string> info = graph.metadata();  // of a detector that octet exported
      return MakePredictor(imported ? imported(std::move(graph)) : graph, info, device, threads);
    }
    case FileKind::kPlan: return std::make_unique<EnginePredictor>(engine::Engine::Load(path), threads);
    default: break;
  }
  OCTET_FAIL("'{}' is no network that octet can run; expected an .octet, .onnx or .plan file", path);
}

}  // namespace octet::task
