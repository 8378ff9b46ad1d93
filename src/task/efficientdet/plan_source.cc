#include "task/efficientdet/plan_source.h"

#include "data/image.h"
#include "onnx/onnx_import.h"
#include "task/build_plan.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/images.h"
#include "task/efficientdet/setup.h"

namespace octet::task::efficientdet {

PlanSource LoadSource(const spec::Spec& spec, const std::string& path) {
  PlanSource source = ReadPlanSource(path, [&] {
    ir::Graph graph = onnx::ImportOnnx(path);
    auto info = DescribeDetector(DetectorOf(graph.metadata(), spec));
    return PlanSource{std::move(graph), std::move(info)};
  });
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
