// What `build` and `calibrate` of this task read: the network with what travels with its plan, and calibration images.
#pragma once

#include <string>

#include "spec/spec.h"
#include "task/build_plan.h"

namespace octet::task::efficientdet {

// Of an .octet or .onnx file. Throws a user Error for another, and when the network's input is not what the spec's
// images become.
PlanSource LoadSource(const spec::Spec& spec, const std::string& path);

// Images as evaluation prepares them. `spec` must outlive the result.
CalibrationImages CalibrationBatches(const spec::Spec& spec);

}  // namespace octet::task::efficientdet
