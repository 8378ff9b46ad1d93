// The key tables of all tasks. A new task is one more file like classification_keys.cc and one line in tables.cc.
#pragma once

#include <string>
#include <vector>

#include "spec/key.h"

namespace octet::spec {

// Another spelling that TAO once had, or that octet offers. A section ("training_config") stands for a section, a key
// for a key; one list key may stand for several scalar keys (model.input_image_size).
struct Alias {
  std::string from;
  std::vector<std::string> to;
};

struct TaskTable {
  std::string task;
  std::string title;
  std::vector<Key> keys;  // in the order of the printed spec
  std::vector<Alias> aliases;
};

const std::vector<TaskTable>& AllTables();

// "classification", or TAO's "classification_tf2". Throws Error(kUser) that names the nearest task.
const TaskTable& TableOf(const std::string& task);

// docs/spec.md, from the tables.
std::string SpecDocs();

TaskTable ClassificationTable();
TaskTable EfficientDetTable();

}  // namespace octet::spec
