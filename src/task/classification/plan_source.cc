#include "task/classification/plan_source.h"

#include "base/files.h"
#include "base/parallel.h"
#include "onnx/onnx_import.h"
#include "passes/classifier_head.h"
#include "task/build_plan.h"
#include "task/classification/classification.h"
#include "task/classification/own_network.h"
#include "task/classification/setup.h"

namespace octet::task::classification {

namespace {

// Class names for a network that comes without: the class map that the spec names, or the one beside the training.
std::vector<std::string> ClassNames(const spec::Spec& spec) {
  for (const char* key : {"evaluate.classmap", "inference.classmap"}) {
    if (!spec.GetString(key).empty()) return data::ReadClassmap(spec.GetString(key));
  }
  const std::string beside = ResultsFolder(spec, "train") + "/classmap.json";
  if (FileExists(beside)) return data::ReadClassmap(beside);
  return {};
}

}  // namespace

PlanSource LoadSource(const spec::Spec& spec, const std::string& path) {
  PlanSource source = ReadPlanSource(path, [&] {
    return PlanSource{passes::CompleteClassifier(onnx::ImportOnnx(path)),
                      DescribeData(ClassNames(spec), PreprocessFromSpec(WithInputOf(spec, path)))};
  });
  RequireInputSize(source.graph, PreprocessOf(source.info, spec, path), path);
  return source;
}

static ImageSource Batches(const spec::Spec& spec, const std::vector<data::ImageFile>& files, int batch_size,
                           const std::map<std::string, std::string>& info) {
  const data::PreprocessOptions preprocess = PreprocessOf(info, spec);
  data::ImageSetOptions set_options;
  set_options.decode.channels = preprocess.channels;
  set_options.decode.depth = preprocess.depth;
  set_options.threads = HardwareThreads();
  set_options.what = "calibration images";
  data::LoaderOptions options;
  options.batch_size = batch_size;
  options.workers = HardwareThreads();
  const auto loader =
      std::make_shared<data::DataLoader>(std::make_shared<data::ImageSet>(files, set_options), preprocess, options);
  loader->StartEpoch(0);
  return [loader](Tensor& images) {
    data::Batch batch;
    if (!loader->Next(&batch)) return false;
    images = batch.images;
    return true;
  };
}

CalibrationImages CalibrationBatches(const spec::Spec& spec) {
  return [&spec](const std::vector<data::ImageFile>& files, int batch_size,
                 const std::map<std::string, std::string>& info) { return Batches(spec, files, batch_size, info); };
}

}  // namespace octet::task::classification
