// From YAML text to a checked Spec: aliases, duplicates, unknown keys, types and ranges, overrides, ${interpolation}.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "spec/spec.h"

namespace octet::spec {
namespace {

bool IsSectionPrefix(const std::string& section, const std::string& path) {
  return path.size() > section.size() && StartsWith(path, section) && path[section.size()] == '.';
}

std::string Parent(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string Leaf(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

std::string Under(const std::string& section, const std::string& name) {
  return section.empty() ? name : section + "." + name;
}

std::string ValueText(const YAML::Node& node) {
  if (node.IsMap()) return "a section";
  return YAML::Dump(node);
}

}  // namespace

class SpecLoader {
 public:
  explicit SpecLoader(Spec spec) : spec_(std::move(spec)) {}

  static Spec WithDefaults(const TaskTable& table, const std::string& name) {
    Spec spec;
    spec.table_ = &table;
    spec.file_ = name;
    SpecLoader loader(std::move(spec));
    for (const Key& key : table.keys) {
      Spec::Entry entry;
      entry.where = "default";
      entry.missing = key.default_text == kMissing;
      if (!entry.missing) {
        const YAML::Node node = YAML::Load(key.default_text);
        entry.value = loader.ParseValue(key, node, "default of the table", key.path);
        entry.default_value = entry.value;
      }
      OCTET_CHECK(loader.spec_.entries_.emplace(key.path, std::move(entry)).second, "key '{}' twice", key.path);
    }
    return std::move(loader.spec_);
  }

  void ReadText(const std::string& text) {
    YAML::Node root;
    try {
      root = YAML::Load(text);
    } catch (const YAML::Exception& e) {
      const std::vector<std::string> lines = Split(text, '\n');
      const bool tab = e.mark.line >= 0 && e.mark.line < static_cast<int>(lines.size()) &&
                       lines[e.mark.line].find('\t') != std::string::npos;
      OCTET_FAIL("{}:{}:{}: not valid YAML: {}{}", spec_.file_, e.mark.line + 1, e.mark.column + 1, e.msg,
                 tab ? "; YAML wants spaces, this line has a tab" : "");
    }
    if (root.IsNull()) return;
    OCTET_REQUIRE(root.IsMap(), "{}: expected 'key: value' lines at the top level, got {}", spec_.file_,
                  root.IsSequence() ? "a list" : "one value");
    Walk(root, "", "", false);
  }

  void Override(const std::string& text) {
    const size_t equal = text.find('=');
    OCTET_REQUIRE(equal != std::string::npos && equal > 0,
                  "command line: '{}' is not an override; expected key=value, for example train.num_epochs=3", text);
    std::string path = text.substr(0, equal);
    while (!path.empty() && path[0] == '+') path.erase(0, 1);
    const std::string value = text.substr(equal + 1);
    const YAML::Node node = OverrideNode(path, value);
    Set(node, path, path, "command line", true);
  }

  Spec Finish() {
    for (const Key& key : spec_.table_->keys) {
      std::set<std::string> open;
      Interpolate(key.path, &open);
    }
    return std::move(spec_);
  }

 private:
  // `shown` is the path as the user spelled it, `path` the one that aliases lead to.
  void Walk(const YAML::Node& map, const std::string& path, const std::string& shown, bool override) {
    std::set<std::string> seen;
    for (const auto& item : map) {
      const std::string where =
          override ? "command line" : fmt::format("{}:{}", spec_.file_, item.first.Mark().line + 1);
      OCTET_REQUIRE(item.first.IsScalar(), "{}: expected a name before ':'", where);
      const std::string name = item.first.Scalar();
      OCTET_REQUIRE(seen.insert(name).second, "{}: key '{}' is given twice in the same section", where,
                    Under(shown, name));
      Set(item.second, Under(path, name), Under(shown, name), where, override);
    }
  }

  // Text is taken as it stands, so that a path may hold '#' or ': '; everything else is YAML.
  YAML::Node OverrideNode(const std::string& path, const std::string& value) const {
    const std::vector<std::string> paths = Resolve(path);
    const Key* key = FindKey(paths[0]);
    const bool quoted = !value.empty() && (value[0] == '"' || value[0] == '\'' || value[0] == '[');
    if (key != nullptr && key->type == Type::kString && !quoted && value != "null") return YAML::Node(value);
    try {
      return YAML::Load(value);
    } catch (const YAML::Exception& e) {
      OCTET_FAIL("command line: {}: '{}' is not valid YAML: {}", path, value, e.msg);
    }
  }

  // Replaces old spellings by today's; more than one path comes back for a list that stands for several keys.
  std::vector<std::string> Resolve(std::string path) const {
    for (int round = 0; round < 4; ++round) {
      bool changed = false;
      for (const Alias& alias : spec_.table_->aliases) {
        if (alias.from == path) {
          if (alias.to.size() > 1) return alias.to;
          path = alias.to[0];
          changed = true;
        } else if (IsSectionPrefix(alias.from, path) && alias.to.size() == 1) {
          path = alias.to[0] + path.substr(alias.from.size());
          changed = true;
        }
      }
      if (!changed) break;
    }
    return {path};
  }

  void Set(const YAML::Node& node, const std::string& path, const std::string& shown, const std::string& where,
           bool override) {
    const std::vector<std::string> paths = Resolve(path);
    if (paths.size() > 1) return SetSeveral(node, paths, shown, where, override);
    const Key* key = FindKey(paths[0]);
    if (key != nullptr) {
      Store(*key, ParseNode(*key, node, where, shown), shown, where, override);
      return;
    }
    if (!IsSection(paths[0])) FailUnknown(paths[0], shown, where);
    if (node.IsNull()) return;
    OCTET_REQUIRE(node.IsMap(), "{}: '{}' is a section; expected keys below it ({}), got '{}'", where, shown,
                  Join(Children(paths[0]), ", "), ValueText(node));
    Walk(node, paths[0], shown, override);
  }

  // [3, 224, 224] or "3,224,224" into one key each.
  void SetSeveral(const YAML::Node& node, const std::vector<std::string>& paths, const std::string& shown,
                  const std::string& where, bool override) {
    std::vector<std::string> texts;
    if (node.IsSequence()) {
      for (const YAML::Node& element : node) texts.push_back(element.IsScalar() ? element.Scalar() : "");
    } else if (node.IsScalar()) {
      for (const std::string& part : Split(node.Scalar(), ',')) texts.emplace_back(Trim(part));
    }
    OCTET_REQUIRE(texts.size() == paths.size(), "{}: {}: expected a list of {} values ({}), got '{}'", where, shown,
                  paths.size(), Join(paths, ", "), ValueText(node));
    for (size_t i = 0; i < paths.size(); ++i) {
      const Key* key = FindKey(paths[i]);
      OCTET_CHECK(key != nullptr, "alias to unknown key '{}'", paths[i]);
      Spec::Entry entry;
      entry.value = ParseScalar(Shown(*key, shown), texts[i], where);
      Store(*key, std::move(entry), shown, where, override);
    }
  }

  static Key Shown(Key key, const std::string& shown) {
    key.path = shown;
    return key;
  }

  Spec::Entry ParseNode(const Key& key, const YAML::Node& node, const std::string& where, const std::string& shown) {
    Spec::Entry entry;
    entry.missing = node.IsScalar() && node.Scalar() == kMissing;
    // ${other.key} is put in at the end, when every key has its value.
    const bool later = node.IsScalar() && key.type == Type::kString && node.Scalar().find("${") != std::string::npos;
    if (later) {
      entry.value = node.Scalar();
    } else if (!entry.missing) {
      entry.value = ParseValue(key, node, where, shown);
    }
    return entry;
  }

  Value ParseValue(const Key& table_key, const YAML::Node& node, const std::string& where, const std::string& shown) {
    const Key key = Shown(table_key, shown);
    if (node.IsNull()) {
      const std::vector<std::string>& choices = key.limits.choices;
      if (std::find(choices.begin(), choices.end(), "None") != choices.end()) return std::string("None");
      const bool allowed = (key.type == Type::kString && choices.empty()) || table_key.default_text == "null";
      OCTET_REQUIRE(allowed, "{}: {}: expected {}, got nothing", where, shown, Expected(key));
      return std::monostate{};
    }
    if (node.IsScalar()) return ParseScalar(key, node.Scalar(), where);
    if (node.IsSequence()) {
      std::vector<std::string> elements;
      for (const YAML::Node& element : node) {
        OCTET_REQUIRE(element.IsScalar(), "{}: {}: expected {}, got '{}'", where, shown, Expected(key),
                      ValueText(node));
        elements.push_back(element.Scalar());
      }
      return ParseList(key, elements, where);
    }
    OCTET_FAIL("{}: {}: expected {}, got {}", where, shown, Expected(key), ValueText(node));
  }

  void Store(const Key& key, Spec::Entry entry, const std::string& shown, const std::string& where, bool override) {
    Spec::Entry& old = spec_.entries_[key.path];
    if (!override && old.where != "default" && (old.value != entry.value || old.missing != entry.missing)) {
      OCTET_FAIL("{}: '{}' contradicts '{}' at {}: both mean {}; keep one", where, shown, old.given_as, old.where,
                 key.path);
    }
    entry.default_value = old.default_value;
    entry.where = where;
    entry.given_as = shown;
    old = std::move(entry);
  }

  const Key* FindKey(const std::string& path) const {
    for (const Key& key : spec_.table_->keys) {
      if (key.path == path) return &key;
    }
    return nullptr;
  }

  bool IsSection(const std::string& path) const {
    for (const Key& key : spec_.table_->keys) {
      if (IsSectionPrefix(path, key.path)) return true;
    }
    return false;
  }

  std::vector<std::string> Children(const std::string& section) const {
    std::vector<std::string> names;
    for (const Key& key : spec_.table_->keys) {
      if (!section.empty() && !IsSectionPrefix(section, key.path)) continue;
      const std::string rest = section.empty() ? key.path : key.path.substr(section.size() + 1);
      const std::string name = rest.substr(0, rest.find('.'));
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    return names;
  }

  // Looks for a misspelling in the same section, then for the same name in another section, then for any near path.
  std::string NearestPath(const std::string& path) const {
    const std::string section = Parent(path);
    if (section.empty() || IsSection(section)) {
      const std::string near = NearestName(Leaf(path), Children(section));
      if (!near.empty()) return Under(section, near);
    }
    std::vector<std::string> all;
    std::vector<std::string> same_leaf;
    for (const Key& key : spec_.table_->keys) {
      all.push_back(key.path);
      if (Leaf(key.path) == Leaf(path)) same_leaf.push_back(key.path);
    }
    if (!same_leaf.empty()) {
      return *std::min_element(same_leaf.begin(), same_leaf.end(), [&](const std::string& a, const std::string& b) {
        return EditDistance(a, path) < EditDistance(b, path);
      });
    }
    return NearestName(path, all);
  }

  [[noreturn]] void FailUnknown(const std::string& path, const std::string& shown, const std::string& where) const {
    const std::string nearest = NearestPath(path);
    if (!nearest.empty()) OCTET_FAIL("{}: unknown key '{}'; did you mean '{}'?", where, shown, nearest);
    const std::string section = IsSection(Parent(path)) ? Parent(path) : "";
    OCTET_FAIL("{}: unknown key '{}'; expected one of: {}", where, shown, Join(Children(section), ", "));
  }

  void Interpolate(const std::string& path, std::set<std::string>* open) {
    const Key* key = FindKey(path);
    Spec::Entry& entry = spec_.entries_[path];
    auto* text = std::get_if<std::string>(&entry.value);
    if (key->type != Type::kString || text == nullptr || text->find("${") == std::string::npos) return;
    OCTET_REQUIRE(open->insert(path).second, "{}: {}: '{}' refers to itself", entry.where, entry.given_as, *text);
    std::string out;
    size_t at = 0;
    for (size_t begin = text->find("${"); begin != std::string::npos; begin = text->find("${", at)) {
      const size_t end = text->find('}', begin);
      OCTET_REQUIRE(end != std::string::npos, "{}: {}: no '}}' after '${{' in '{}'", entry.where, entry.given_as,
                    *text);
      const std::string name = text->substr(begin + 2, end - begin - 2);
      const std::vector<std::string> target = Resolve(name);
      const Key* other = target.size() == 1 ? FindKey(target[0]) : nullptr;
      if (other == nullptr) FailUnknown(name, name, entry.where);
      Interpolate(other->path, open);
      const Spec::Entry& found = spec_.entries_[other->path];
      OCTET_REQUIRE(!found.missing, "{}: {}: '{}' refers to {}, which has no value", entry.where, entry.given_as, *text,
                    name);
      const auto* string = std::get_if<std::string>(&found.value);
      const bool null = std::holds_alternative<std::monostate>(found.value);
      out += text->substr(at, begin - at) + (null ? "" : string != nullptr ? *string : ToYamlText(found.value));
      at = end + 1;
    }
    out += text->substr(at);
    open->erase(path);
    entry.value = ParseScalar(Shown(*key, entry.given_as), out, entry.where);
  }

  Spec spec_;
};

Spec ParseSpec(const std::string& task, const std::string& text, const std::string& name,
               const std::vector<std::string>& overrides) {
  SpecLoader loader(SpecLoader::WithDefaults(TableOf(task), name));
  loader.ReadText(text);
  for (const std::string& override : overrides) loader.Override(override);
  return loader.Finish();
}

Spec LoadSpec(const std::string& task, const std::string& path, const std::vector<std::string>& overrides) {
  TableOf(task);  // complain about the task before the file
  Spec spec = ParseSpec(task, ReadFile(path, "spec file"), path, overrides);
  std::vector<std::string> ignored;
  for (const std::string& key : spec.IgnoredKeys()) ignored.push_back(fmt::format("{} ({})", key, spec.Where(key)));
  if (!ignored.empty()) LogWarning("octet accepts but does not use these keys: {}", Join(ignored, ", "));
  return spec;
}

Spec Spec::With(const std::vector<std::string>& overrides) const {
  SpecLoader loader(*this);
  for (const std::string& override : overrides) loader.Override(override);
  return loader.Finish();
}

}  // namespace octet::spec
