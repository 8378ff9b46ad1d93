// A confusion matrix as a picture: rows are true classes, columns predicted ones, a cell is as dark as its share of the
// row, with the count in it where there is room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::report {

// `confusion`: [true][predicted], square, as many as `classes`. Writes a PNG. Letters outside ASCII become '?'. Throws
// a user Error when `path` cannot be written.
void WriteConfusionPicture(const std::string& path, const std::string& title, const std::vector<std::string>& classes,
                           const std::vector<std::vector<int64_t>>& confusion);

}  // namespace octet::report
