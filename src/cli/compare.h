// `octet compare NAME=FOLDER ...`: the results of several `evaluate` runs side by side, as a Markdown table.
#pragma once

#include <string>
#include <vector>

namespace octet::cli {

// Each argument is a name and the results folder of an evaluation (with results.json in it). The first row is the
// baseline of the differences. Throws a user Error when a folder has no results of an evaluation.
std::string CompareTable(const std::vector<std::string>& named_folders);

}  // namespace octet::cli
