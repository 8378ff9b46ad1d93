#include "task/prune_model.h"

#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "passes/measure_network.h"
#include "passes/prune.h"

namespace octet::task {
namespace {

passes::PruneOptions OptionsFromSpec(const spec::Spec& spec) {
  passes::PruneOptions o;
  o.normalizer = passes::PruneNormalizerFromName(spec.GetString("prune.normalizer"));
  o.criterion = passes::EqualizationCriterionFromName(spec.GetString("prune.equalization_criterion"));
  o.threshold = spec.GetFloat("prune.threshold");
  o.granularity = spec.GetInt("prune.granularity");
  o.min_num_filters = spec.GetInt("prune.min_num_filters");
  o.excluded_layers = spec.GetStrings("prune.excluded_layers");
  return o;
}

std::string Percent(int64_t part, int64_t whole) {
  return fmt::format("{:.1f} %", whole == 0 ? 100.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

void PruneModel(const spec::Spec& spec, ir::Model model, report::RunReport& report) {
  const passes::PruneOptions options = OptionsFromSpec(spec);
  const passes::PrunePlan plan = passes::AnalyzePruning(model.graph, options);
  const passes::NetworkSize before = passes::MeasureNetwork(model.graph);
  const std::string choice =
      fmt::format("th={}_eq={}", options.threshold, spec.GetString("prune.equalization_criterion"));

  model.graph = passes::ApplyPruning(std::move(model.graph), plan);
  model.graph.metadata()["pruned"] = choice;
  model.state.clear();  // optimizer moments of the old shapes
  const passes::NetworkSize after = passes::MeasureNetwork(model.graph);
  const std::string path = report.folder() + "/model_" + choice + ".octet";
  ir::WriteModel(path, model);
  WriteFileAtomic(report.folder() + "/plan.txt", passes::ToString(plan, /*indices=*/true));

  fmt::print("{}\n", passes::ToString(plan));
  const int64_t all_before = before.parameters + before.statistics;
  const int64_t all_after = after.parameters + after.statistics;
  fmt::print("parameters  {} -> {}  ({})\n", all_before, all_after, Percent(all_after, all_before));
  fmt::print("  trained   {} -> {}  ({})\n", before.parameters, after.parameters,
             Percent(after.parameters, before.parameters));
  fmt::print("MACs        {} -> {}  ({})\n", before.macs, after.macs, Percent(after.macs, before.macs));
  fmt::print("pruned model  {}\n", path);
  if (plan.cuts.empty()) {
    LogWarning("nothing was pruned: no filter that may go has a norm of {} or less; raise prune.threshold",
               options.threshold);
  } else {
    fmt::print("Train it again before use: train.checkpoint={}\n", path);
  }

  const double ratio = static_cast<double>(all_after) / static_cast<double>(all_before);
  const std::map<std::string, double> kpi = {{"pruning_ratio", ratio},
                                             {"param_count", static_cast<double>(all_after)},
                                             {"size", static_cast<double>(std::filesystem::file_size(path))}};
  report.Running("Pruned model saved.", kpi);
  for (const auto& [name, value] : kpi) report.Metric(name, value);
  report.Metric("parameters_before", static_cast<double>(all_before));
  report.Metric("parameters_after", static_cast<double>(all_after));
  report.Metric("trained_parameters_before", static_cast<double>(before.parameters));
  report.Metric("trained_parameters_after", static_cast<double>(after.parameters));
  report.Metric("macs_before", static_cast<double>(before.macs));
  report.Metric("macs_after", static_cast<double>(after.macs));
  report.OutputFile("model", path);
  report.OutputFile("plan", report.folder() + "/plan.txt");
  report.Success("Pruning finished successfully.");
}

}  // namespace octet::task
