#include "spec/spec.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace octet::spec {
namespace {

const Key& KeyOf(const TaskTable& table, const std::string& path) {
  for (const Key& key : table.keys) {
    if (key.path == path) return key;
  }
  OCTET_CHECK(false, "no key '{}' in the table of {}", path, table.task);
  return table.keys.front();
}

template <typename T>
T OrEmpty(const Value& value) {
  return std::holds_alternative<std::monostate>(value) ? T() : std::get<T>(value);
}

}  // namespace

const Spec::Entry& Spec::Find(const std::string& path) const {
  const auto it = entries_.find(path);
  OCTET_CHECK(it != entries_.end(), "no key '{}' in the spec", path);
  return it->second;
}

void Spec::FailMissing(const std::string& path) const {
  const Key& key = KeyOf(*table_, path);
  const size_t dot = path.rfind('.');
  const std::string place =
      dot == std::string::npos ? "at the top level" : fmt::format("under '{}:'", path.substr(0, dot));
  OCTET_FAIL("{}: required key '{}' is missing ({}); add it {}, or give {}=... on the command line", file_, path,
             key.doc, place, path);
}

const Value& Spec::Get(const std::string& path, Type type) const {
  const Entry& entry = Find(path);
  const Key& key = KeyOf(*table_, path);
  OCTET_CHECK(key.type == type, "key '{}' has another type", path);
  if (entry.missing) FailMissing(path);
  return entry.value;
}

bool Spec::GetBool(const std::string& path) const {
  return OrEmpty<bool>(Get(path, Type::kBool));
}
int64_t Spec::GetInt(const std::string& path) const {
  return OrEmpty<int64_t>(Get(path, Type::kInt));
}
double Spec::GetFloat(const std::string& path) const {
  if (KeyOf(*table_, path).type == Type::kInt) return static_cast<double>(GetInt(path));
  return OrEmpty<double>(Get(path, Type::kFloat));
}
std::string Spec::GetString(const std::string& path) const {
  return OrEmpty<std::string>(Get(path, Type::kString));
}
std::vector<int64_t> Spec::GetInts(const std::string& path) const {
  return OrEmpty<std::vector<int64_t>>(Get(path, Type::kInts));
}
std::vector<double> Spec::GetFloats(const std::string& path) const {
  return OrEmpty<std::vector<double>>(Get(path, Type::kFloats));
}
std::vector<std::string> Spec::GetStrings(const std::string& path) const {
  return OrEmpty<std::vector<std::string>>(Get(path, Type::kStrings));
}

bool Spec::IsSet(const std::string& path) const {
  const Entry& entry = Find(path);
  return !entry.missing && entry.where != "default" && !std::holds_alternative<std::monostate>(entry.value);
}

std::string Spec::Require(const std::string& path) const {
  if (Find(path).missing) FailMissing(path);
  std::string value = GetString(path);
  if (value.empty()) FailMissing(path);
  return value;
}

std::string Spec::RequireFile(const std::string& path) const {
  std::string file = Require(path);
  OCTET_REQUIRE(!IsDirectory(file), "{}: {}: '{}' is a folder; expected a file", Where(path), path, file);
  OCTET_REQUIRE(FileExists(file), "{}: {}: file '{}' does not exist", Where(path), path, file);
  return file;
}

std::string Spec::RequireFolder(const std::string& path) const {
  std::string folder = Require(path);
  OCTET_REQUIRE(!FileExists(folder), "{}: {}: '{}' is a file; expected a folder", Where(path), path, folder);
  OCTET_REQUIRE(IsDirectory(folder), "{}: {}: folder '{}' does not exist", Where(path), path, folder);
  return folder;
}

std::string Spec::Where(const std::string& path) const {
  return Find(path).where;
}

std::vector<std::string> Spec::IgnoredKeys() const {
  std::vector<std::string> out;
  for (const Key& key : table_->keys) {
    if (key.use != Use::kIgnored) continue;
    const Entry& entry = Find(key.path);
    if (entry.where != "default" && entry.value != entry.default_value) out.push_back(key.path);
  }
  return out;
}

std::vector<std::string> Spec::ChangesSince(const Spec& earlier, const std::vector<std::string>& sections) const {
  std::vector<std::string> out;
  const auto text = [](const Entry& entry) { return entry.missing ? "nothing" : ToYamlText(entry.value); };
  for (const Key& key : table_->keys) {
    const std::string section = key.path.substr(0, key.path.find('.'));
    if (key.use == Use::kIgnored || std::find(sections.begin(), sections.end(), section) == sections.end()) continue;
    const std::string before = text(earlier.Find(key.path));
    const std::string now = text(Find(key.path));
    if (before != now) out.push_back(fmt::format("{}: {} -> {}", key.path, before, now));
  }
  return out;
}

std::string Spec::ToYaml() const {
  // A section's keys need not be neighbours in the table, but YAML wants each section once: collect, then print.
  std::string out;
  std::vector<std::string> open;
  std::set<std::string> printed;
  for (const Key& key : table_->keys) {
    const Entry& entry = Find(key.path);
    if (entry.missing) continue;
    const std::vector<std::string> parts = Split(key.path, '.');
    size_t shared = 0;
    while (shared < open.size() && shared + 1 < parts.size() && open[shared] == parts[shared]) ++shared;
    open.resize(shared);
    for (size_t i = shared; i + 1 < parts.size(); ++i) {
      open.push_back(parts[i]);
      OCTET_CHECK(printed.insert(Join(open, ".")).second, "section '{}' is scattered in the table", Join(open, "."));
      out += fmt::format("{}{}:\n", std::string(2 * i, ' '), parts[i]);
    }
    out += fmt::format("{}{}: {}\n", std::string(2 * (parts.size() - 1), ' '), parts.back(), ToYamlText(entry.value));
  }
  return out;
}

}  // namespace octet::spec
