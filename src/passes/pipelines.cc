#include "passes/pipelines.h"

#include <chrono>
#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "ir/op_def.h"
#include "ir/text.h"
#include "passes/convert_to_relu6.h"
#include "passes/fold_batch_norm.h"
#include "passes/fold_constants.h"
#include "passes/insert_qdq_inputs.h"
#include "passes/lower_for_engine.h"
#include "passes/qdq_variants.h"
#include "passes/remove_identities.h"

namespace octet::passes {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

ir::Graph Run(const std::string& name, ir::Graph graph, const std::function<ir::Graph(ir::Graph)>& pass) {
  for (const std::string& skipped : Split(Environment("OCTET_SKIP_PASSES"), ',')) {
    if (skipped == name) {
      LogWarning("pass {} is skipped", name);
      return graph;
    }
  }
  const auto start = std::chrono::steady_clock::now();
  const std::string dump_folder = Environment("OCTET_DUMP_PASSES");
  const std::string before = dump_folder.empty() ? "" : ir::Print(graph);
  ir::Graph result = pass(std::move(graph));
  ir::InferTypes(result);
#ifndef NDEBUG
  ir::Verify(result);
#endif
  if (!dump_folder.empty()) {
    const std::string after = ir::Print(result);
    static int count = 0;
    if (after != before) WriteFileAtomic(fmt::format("{}/{:02}_{}.txt", dump_folder, ++count, name), after);
  }
  LogDebug("pass {}: {:.1f} ms", name,
           std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  return result;
}

}  // namespace

ir::Graph PrepareForQat(ir::Graph g, const InsertQdqOptions& options, const std::string& recipe) {
  OCTET_REQUIRE(recipe == "fused" || recipe == "inputs", "recipe is '{}'; expected fused or inputs", recipe);
  OCTET_REQUIRE(!HasQdq(g),
                "the network '{}' is quantized already; start QAT from a float checkpoint, or resume this one",
                g.name());
  if (recipe == "inputs") {
    g = Run("insert_qdq_inputs", std::move(g),
            [&](ir::Graph x) { return InsertQdqInputs(std::move(x), options.observer, options.keep_fp32); });
  } else {
    const size_t nodes = g.node_count();
    g = Run("remove_drop_connect", std::move(g), RemoveDropConnect);
    if (g.node_count() != nodes) LogInfo("QAT of recipe fused trains without drop-connect");
    g = Run("convert_to_relu6", std::move(g), ConvertToRelu6);
    g = Run("insert_qdq", std::move(g), [&](ir::Graph x) { return InsertQdq(std::move(x), options); });
  }
  g.metadata()["recipe"] = recipe;
  return g;
}

ir::Graph PrepareForPtq(ir::Graph g, const InsertQdqOptions& options) {
  OCTET_REQUIRE(!HasQdq(g), "the network '{}' is quantized already; post-training quantization needs a float network",
                g.name());
  g = PrepareForExport(std::move(g));
  g = Run("insert_qdq", std::move(g), [&](ir::Graph x) { return InsertQdq(std::move(x), options); });
  g.metadata()["recipe"] = "ptq";
  return g;
}

ir::Graph PrepareForExport(ir::Graph g) {
  g = Run("use_signed_codes", std::move(g), UseSignedCodes);
  g = Run("remove_identities", std::move(g), RemoveIdentities);
  g = Run("fold_constants", std::move(g), FoldConstants);
  g = Run("fold_batch_norm", std::move(g), FoldBatchNorm);
  g = Run("merge_equal_qdq", std::move(g), MergeEqualQdq);
  return g;
}

ir::Graph PrepareForEngine(ir::Graph g) {
  g = PrepareForExport(std::move(g));
  return Run("lower_for_engine", std::move(g), LowerForEngine);
}

}  // namespace octet::passes
