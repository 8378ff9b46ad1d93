// What `octet lint` says of a model: a rule that it breaks, where, why that matters and what to do.
#pragma once

#include <string>
#include <vector>

namespace octet::lint {

enum class Severity {
  kError,    // the target refuses the file, or computes something else
  kWarning,  // it builds, but slower or less accurate than it could
  kNote,     // worth knowing
};

struct Finding {
  std::string rule;  // stable name, "zero-point-not-zero"
  Severity severity = Severity::kWarning;
  std::string where;   // "node 'conv1' (Conv)", "tensor 'x'", "cache"
  std::string reason;  // what was found and why it matters
  std::string remedy;  // what to do
};

struct Report {
  std::vector<Finding> findings;  // errors first, then in the model's order
  int errors = 0;
  int warnings = 0;
  int notes = 0;
};

std::string NameOf(Severity severity);  // "error", "warning", "note"

// One line a finding and a summary line. Notes only where `notes` says so.
std::string FormatText(const Report& report, const std::string& file, const std::string& target, bool notes);

// {"file", "target", "errors", "warnings", "notes", "findings": [{"rule", "severity", "where", "reason", "remedy"}]}
std::string FormatJson(const Report& report, const std::string& file, const std::string& target);

}  // namespace octet::lint
