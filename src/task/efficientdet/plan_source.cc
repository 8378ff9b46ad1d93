#include "task/efficientdet/plan_source.h"

#include "base/error.h"
#include "data/image.h"
#include "ir/model_file.h"
#include "onnx/onnx_import.h"
#include "task/build_plan.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/images.h"
#include "task/efficientdet/setup.h"
#include "task/predictor.h"

namespace octet::task::efficientdet {

PlanSource LoadSource(const spec::Spec& spec, const std::string& path) {
  PlanSource source;
  switch (KindOfFile(path)) {
    case FileKind::kModel: {
      ir::Model model = ir::ReadModel(path);
      source.graph = std::move(model.graph);
      source.info = std::move(model.info);
      source.info.erase("spec");
      break;
    }
    case FileKind::kOnnx:
      source.graph = onnx::ImportOnnx(path);
      source.info = DescribeDetector(DetectorOf(source.graph.metadata(), spec));
      break;
    default: OCTET_FAIL("'{}' is neither an .onnx nor an .octet file", path);
  }
  RequireDetector(source.graph, DetectorOf(source.info, spec), path);
  return source;
}

CalibrationImages CalibrationBatches(const spec::Spec& spec) {
  return [&spec](const std::vector<data::ImageFile>& files, int batch_size,
                 const std::map<std::string, std::string>& info) -> ImageSource {
    const Detector detector = DetectorOf(info, spec);
    const auto loader =
        std::make_shared<data::DetectionLoader>(SetOfImages(files), LoaderOptions(spec, detector, batch_size));
    loader->StartEpoch(0);
    return [loader](Tensor& images) {
      data::DetectionBatch batch;
      if (!loader->Next(&batch)) return false;
      images = batch.images;
      return true;
    };
  };
}

}  // namespace octet::task::efficientdet
