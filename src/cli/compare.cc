#include "cli/compare.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace octet::cli {
namespace {

struct Row {
  std::string name;
  std::string runs_as;
  double top1 = 0;
  double images = 0;
  double bytes = 0;
  double latency_ms = 0;
};

Row ReadRow(const std::string& argument) {
  const size_t equals = argument.find('=');
  OCTET_REQUIRE(equals != std::string::npos && equals > 0, "'{}' is not NAME=FOLDER", argument);
  Row row;
  row.name = argument.substr(0, equals);
  const std::string path = argument.substr(equals + 1) + "/results.json";
  try {
    const nlohmann::json metrics = nlohmann::json::parse(ReadFile(path, "results file")).at("metrics");
    row.runs_as = metrics.at("runs_as");
    row.top1 = metrics.at("top_1_accuracy");
    row.images = metrics.at("images");
    row.bytes = metrics.at("file_bytes");
    row.latency_ms = metrics.at("latency_ms_batch_1");
  } catch (const nlohmann::json::exception& e) {
    OCTET_FAIL("'{}' holds no results of `octet classification evaluate`: {}", path, e.what());
  }
  return row;
}

}  // namespace

std::string CompareTable(const std::vector<std::string>& named_folders) {
  std::vector<Row> rows;
  size_t width = 5;
  for (const std::string& argument : named_folders) {
    rows.push_back(ReadRow(argument));
    width = std::max(width, rows.back().name.size());
  }
  std::string text = fmt::format("| {:<{}} | top-1 % | vs {} | size MB | latency ms | images | runs as |\n", "model",
                                 width, rows.at(0).name);
  text += fmt::format("|{:-<{}}|---:|---:|---:|---:|---:|---|\n", "", width + 2);
  for (const Row& r : rows) {
    text += fmt::format("| {:<{}} | {:.2f} | {:+.2f} | {:.2f} | {:.2f} | {:.0f} | {} |\n", r.name, width, 100 * r.top1,
                        100 * (r.top1 - rows[0].top1), r.bytes / 1e6, r.latency_ms, r.images, r.runs_as);
  }
  return text;
}

}  // namespace octet::cli
