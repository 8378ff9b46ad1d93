// octet classification prune
#include "base/error.h"
#include "onnx/onnx_import.h"
#include "task/classification/classification.h"
#include "task/classification/own_network.h"
#include "task/classification/setup.h"
#include "task/predictor.h"
#include "task/prune_model.h"

namespace octet::task::classification {
namespace {

// TAO's byom model is an own key.
std::string FileToPrune(const spec::Spec& spec) {
  if (!spec.IsSet("prune.checkpoint")) {
    for (const char* key : {"prune.byom_model_path", "model.byom_model"}) {
      if (spec.GetString(key).empty()) continue;
      OwnNetworkFile(spec.With({"model.byom_model=" + spec.GetString(key)}), "");  // its checks
      return spec.RequireFile(key);
    }
  }
  return spec.RequireFile("prune.checkpoint");
}

// An imported network is named after the spec's backbone, so that the same spec trains it again.
ir::Model LoadNetwork(const spec::Spec& spec, const std::string& path) {
  switch (KindOfFile(path)) {
    case FileKind::kModel: return ir::ReadModel(path);
    case FileKind::kOnnx: {
      ir::Model model;
      if (spec.GetString("model.backbone") == kByom) {
        OwnNetworkOptions options = OwnNetworkFromSpec(spec);
        options.num_classes.reset();  // the file's head stays until it is trained
        model.graph = ImportOwnNetwork(path, options);
      } else {
        model.graph = onnx::ImportOnnx(path);
        model.graph.metadata().emplace("backbone", spec.GetString("model.backbone"));
      }
      model.info = DescribeData({}, PreprocessFromSpec(WithInputOf(spec, path)));
      model.info.erase("classes");  // an .onnx does not name them
      return model;
    }
    default:
      OCTET_FAIL("prune.checkpoint '{}' ({}) is neither an .octet model nor an .onnx file", path,
                 spec.Where("prune.checkpoint"));
  }
}

}  // namespace

void Prune(const spec::Spec& spec) {
  WithReport(spec, "prune",
             [&](report::RunReport& report) { PruneModel(spec, LoadNetwork(spec, FileToPrune(spec)), report); });
}

}  // namespace octet::task::classification
