#include "lint/finding.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace octet::lint {

std::string NameOf(Severity severity) {
  switch (severity) {
    case Severity::kError: return "error";
    case Severity::kWarning: return "warning";
    case Severity::kNote: return "note";
  }
  return "";
}

std::string FormatText(const Report& report, const std::string& file, const std::string& target, bool notes) {
  std::string text;
  for (const Finding& f : report.findings) {
    if (f.severity == Severity::kNote && !notes) continue;
    text += fmt::format("{}: {}: {} [{}]\n    {}\n", f.where, NameOf(f.severity), f.reason, f.rule, f.remedy);
  }
  text += fmt::format("{} for {}: {} errors, {} warnings, {} notes{}\n", file, target, report.errors, report.warnings,
                      report.notes, report.notes > 0 && !notes ? " (--notes shows them)" : "");
  return text;
}

std::string FormatJson(const Report& report, const std::string& file, const std::string& target) {
  nlohmann::ordered_json json = {{"file", file},
                                 {"target", target},
                                 {"errors", report.errors},
                                 {"warnings", report.warnings},
                                 {"notes", report.notes},
                                 {"findings", nlohmann::ordered_json::array()}};
  for (const Finding& f : report.findings) {
    json["findings"].push_back({{"rule", f.rule},
                                {"severity", NameOf(f.severity)},
                                {"where", f.where},
                                {"reason", f.reason},
                                {"remedy", f.remedy}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace octet::lint
