// octet efficientdet prune
#include "base/error.h"
#include "task/efficientdet/efficientdet.h"
#include "task/predictor.h"
#include "task/prune_model.h"
#include "task/run.h"

namespace octet::task::efficientdet {

void Prune(const spec::Spec& spec) {
  WithReport(spec, "prune", [&](report::RunReport& report) {
    const std::string path = spec.RequireFile("prune.checkpoint");
    OCTET_REQUIRE(KindOfFile(path) == FileKind::kModel, "prune.checkpoint '{}' ({}) is no .octet model", path,
                  spec.Where("prune.checkpoint"));
    PruneModel(spec, ir::ReadModel(path), report);
  });
}

}  // namespace octet::task::efficientdet
