// Which steps of a quantized graph train in integers (docs/integer_training.md). The fusion is that of step_plan.h;
// this decides where codes go from step to step.
#pragma once

#include <map>
#include <string>

#include "train/step_plan.h"

namespace octet::train {

struct IntegerPlan {
  StepPlan plan;
  int64_t blocks = 0;                     // Conv nodes that run in integers
  std::map<std::string, int64_t> others;  // Conv nodes that do not, by the reason
};

// `fused`: PlanSteps with both fusions.
IntegerPlan PlanIntegers(const ir::Graph& graph, const StepPlan& fused);

}  // namespace octet::train
