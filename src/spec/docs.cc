// docs/spec.md from the key tables.
#include "base/error.h"
#include "base/strings.h"
#include "spec/tables.h"

namespace octet::spec {
namespace {

std::string Cell(std::string text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string TopSection(const std::string& path) {
  const size_t dot = path.find('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string TableDocs(const TaskTable& table) {
  std::string out = fmt::format("## {}\n", table.title);
  std::string section = "-";
  for (const Key& key : table.keys) {
    if (TopSection(key.path) != section) {
      section = TopSection(key.path);
      out += fmt::format("\n### {}\n\n| Key | Default | Expected | Meaning |\n|---|---|---|---|\n",
                         section.empty() ? "Top level" : "`" + section + "`");
    }
    const std::string name = section.empty() ? key.path : key.path.substr(section.size() + 1);
    const std::string value = key.default_text == kMissing ? "required" : "`" + key.default_text + "`";
    out += fmt::format("| `{}` | {} | {} | {}{} |\n", name, Cell(value), Cell(Expected(key)), Cell(key.doc),
                       key.use == Use::kIgnored ? " *(not used)*" : "");
  }
  out += "\n### Other spellings\n\n| Spelling | Means |\n|---|---|\n";
  for (const Alias& alias : table.aliases) {
    out += fmt::format("| `{}` | `{}` |\n", alias.from, Join(alias.to, "`, `"));
  }
  return out;
}

}  // namespace

std::string SpecDocs() {
  std::string out =
      "# Spec files\n\n"
      "<!-- Written by `octet spec --docs`; the tables live in src/spec/*_keys.cc. -->\n\n"
      "A spec is a YAML file with TAO's keys and defaults; keys of octet's own say so. `key=value` arguments on the\n"
      "command line replace what the file says (`train.num_epochs=3`, `model.freeze_blocks=[0,1]`), the last one "
      "wins.\n"
      "`${results_dir}` inside a text is replaced by that key's value. \"required\" keys have no default and are "
      "asked\n"
      "for by the commands that need them. A key marked *not used* is accepted, with a warning when it is set: octet\n"
      "has no counterpart for it. Unknown keys, wrong types, values out of range, a key given twice and two\n"
      "spellings that contradict each other are errors that name the line.\n\n";
  for (const TaskTable& table : AllTables()) out += TableDocs(table);
  return out;
}

}  // namespace octet::spec
