#include "task/calibrate_model.h"

#include "base/error.h"
#include "base/files.h"
#include "passes/simplify_imported.h"
#include "task/predictor.h"
#include "task/ptq/calibration_images.h"
#include "task/ptq/quantize_file.h"
#include "task/ptq/write_deployment.h"
#include "task/run.h"

namespace octet::task {

PtqOptions PtqFromSpec(const spec::Spec& spec) {
  PtqOptions o;
  o.method = quant::CalibrationMethodFromName(spec.GetString("quant.calibration"));
  o.percentile = spec.GetFloat("quant.percentile");
  o.equalize = ApplyFromName(spec.GetString("quant.equalize"));
  o.correct_bias = ApplyFromName(spec.GetString("quant.bias_correction"));
  o.probe_images = spec.GetInt("quant.probe_images");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.max_drop = spec.GetFloat("quant.max_drop");
  o.min_sqnr_db = spec.GetFloat("quant.min_sqnr");
  for (const std::string& name : spec.GetStrings("quant.keep_fp32")) o.keep_fp32.insert(name);
  o.device = DeviceFromSpec(spec);
  o.threads = ComputeThreads(spec);
  return o;
}

OpenImages CalibrationImagesFromSpec(const spec::Spec& spec, const CalibrationImages& make,
                                     const std::map<std::string, std::string>& info) {
  std::string folder = spec.GetString("quant.calibration_dataset_path");
  if (folder.empty()) folder = spec.GetString("gen_trt_engine.tensorrt.calibration.cal_image_dir");
  if (folder.empty() && spec.table().task == "classification" &&
      IsDirectory(spec.GetString("dataset.train_dataset_path"))) {
    folder = spec.GetString("dataset.train_dataset_path");
  }
  OCTET_REQUIRE(!folder.empty(), "{}: no calibration images; set quant.calibration_dataset_path to a folder of images",
                spec.file());
  const auto files =
      SpreadEvenly(data::ListImages(folder), static_cast<size_t>(spec.GetInt("quant.calibration_images")));
  constexpr int kBatch = 8;
  return [=] { return make(files, kBatch, info); };
}

void CalibrateModel(const spec::Spec& spec, report::RunReport& report, const LoadPlanSource& load,
                    const CalibrationImages& images) {
  const std::string path = spec.RequireFile("calibrate.checkpoint");
  PlanSource source = load(path);
  if (KindOfFile(path) == FileKind::kOnnx) source.graph = passes::SimplifyImported(std::move(source.graph));
  DeploymentOptions deployment;
  deployment.folder = report.folder();
  deployment.tensorrt_version = spec.GetString("export.tensorrt_version");
  deployment.opset = static_cast<int>(spec.GetInt("export.opset"));
  deployment.qdq_target = spec.GetString("export.qdq_target");
  deployment.dla = spec.GetString("export.coverage") == "full";
  deployment.info = source.info;
  const PtqResult result =
      QuantizeAfterTraining(source.graph, CalibrationImagesFromSpec(spec, images, source.info), PtqFromSpec(spec));
  auto files = WriteDeployment(result.float_graph, result.quantized, result.scales, result.kept_fp32, deployment);
  files.emplace_back("ranges", report.folder() + "/ranges.csv");
  WriteFileAtomic(files.back().second, RangesCsv(result));
  ReportQuantization(result, files, report);
  report.Success("Calibration finished successfully.");
}

}  // namespace octet::task
