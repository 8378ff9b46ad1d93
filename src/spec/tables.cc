#include "spec/tables.h"

#include "base/error.h"
#include "base/strings.h"

namespace octet::spec {

const std::vector<TaskTable>& AllTables() {
  static const std::vector<TaskTable> tables = {ClassificationTable(), EfficientDetTable()};
  return tables;
}

const TaskTable& TableOf(const std::string& task) {
  std::vector<std::string> names;
  for (const TaskTable& table : AllTables()) {
    if (table.task == task || table.task + "_tf2" == task) return table;
    names.push_back(table.task);
  }
  OCTET_FAIL("unknown task '{}'; expected one of: {}", task, Join(names, ", "));
}

}  // namespace octet::spec
