// `octet <task> calibrate`: post-training quantization of a float network by the settings under `calibrate`, `quant`
// and `export`.
#pragma once

#include <map>
#include <string>

#include "report/run_report.h"
#include "spec/spec.h"
#include "task/build_plan.h"
#include "task/ptq/post_training.h"

namespace octet::task {

// Reads calibrate.checkpoint with `load`, writes the files of WriteDeployment and ranges.csv into the report's folder.
void CalibrateModel(const spec::Spec& spec, report::RunReport& report, const LoadPlanSource& load,
                    const CalibrationImages& images);

// The settings under `quant` that post-training quantization reads.
PtqOptions PtqFromSpec(const spec::Spec& spec);

// quant.calibration_images images of quant.calibration_dataset_path, or else of cal_image_dir, or else of the training
// images where these are a folder. Throws a user Error when none of them is set.
OpenImages CalibrationImagesFromSpec(const spec::Spec& spec, const CalibrationImages& make,
                                     const std::map<std::string, std::string>& info);

}  // namespace octet::task
