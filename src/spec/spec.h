// An experiment spec: TAO's YAML, checked against the key table of its task, with defaults filled in. Every
// value remembers where it came from, so that a later complaint about it can name the line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "spec/tables.h"

namespace octet::spec {

class Spec {
 public:
  // Typed access by full path ("train.num_epochs"). The path must be in the table and of that type (else our bug). A
  // key that must be supplied and was not is the user's error. A null string is "", a null list is empty.
  bool GetBool(const std::string& path) const;
  int64_t GetInt(const std::string& path) const;
  double GetFloat(const std::string& path) const;  // also of integer keys
  std::string GetString(const std::string& path) const;
  std::vector<int64_t> GetInts(const std::string& path) const;
  std::vector<double> GetFloats(const std::string& path) const;
  std::vector<std::string> GetStrings(const std::string& path) const;

  // The file or the command line gave it a value other than null.
  bool IsSet(const std::string& path) const;
  // A string that must be there and not empty. The error says under which section to add it.
  std::string Require(const std::string& path) const;
  // Same, and the file or folder must exist.
  std::string RequireFile(const std::string& path) const;
  std::string RequireFolder(const std::string& path) const;
  // "spec.yaml:12", "command line" or "default"
  std::string Where(const std::string& path) const;

  const TaskTable& table() const { return *table_; }
  const std::string& file() const { return file_; }
  // Keys that were set and that octet does not use.
  std::vector<std::string> IgnoredKeys() const;

  // "train.num_epochs: 3 -> 5" for every used key of `sections` ("train") whose value is another one than in `earlier`,
  // a spec of the same task.
  std::vector<std::string> ChangesSince(const Spec& earlier, const std::vector<std::string>& sections) const;

  // The resolved spec, all keys in table order; loading it again gives the same values.
  std::string ToYaml() const;
  // A copy with more overrides on top.
  Spec With(const std::vector<std::string>& overrides) const;

 private:
  friend class SpecLoader;
  struct Entry {
    Value value;
    Value default_value;
    std::string where;  // "default" when the spec did not give it
    std::string given_as;
    bool missing = false;
  };
  const Entry& Find(const std::string& path) const;
  const Value& Get(const std::string& path, Type type) const;
  [[noreturn]] void FailMissing(const std::string& path) const;

  const TaskTable* table_ = nullptr;
  std::string file_;
  std::map<std::string, Entry> entries_;
};

// Reads `path`, applies overrides ("train.num_epochs=3", "gpu_ids=[0,1]", also "+a.b=v" as in Hydra; the last one wins)
// and warns once about keys that octet does not use. Throws Error(kUser) with file, line, the expected type or range
// and the nearest key.
Spec LoadSpec(const std::string& task, const std::string& path, const std::vector<std::string>& overrides = {});

// The same from text; `name` stands for the file in messages. For specs kept in model files, and tests.
Spec ParseSpec(const std::string& task, const std::string& text, const std::string& name,
               const std::vector<std::string>& overrides = {});

}  // namespace octet::spec
