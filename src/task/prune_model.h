// A smaller network from a trained one, by the settings under `prune`.
#pragma once

#include "ir/model_file.h"
#include "report/run_report.h"
#include "spec/spec.h"

namespace octet::task {

// Writes model_th=<threshold>_eq=<criterion>.octet and plan.txt into the report's folder, prints sizes before and
// after.
void PruneModel(const spec::Spec& spec, ir::Model model, report::RunReport& report);

}  // namespace octet::task
