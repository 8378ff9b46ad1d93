// What makes a box unfit for training, the same for COCO files, TFRecords and the conversion between them.
#pragma once

#include <string>
#include <vector>

#include "data/coco.h"

namespace octet::data {

enum class BoxProblem { kNone, kClipped, kZeroSize, kOutside, kTiny };

// Cuts the box off at the edges of the image. *box gets its corners unless it is to be dropped.
BoxProblem CheckBox(double x, double y, double width, double height, int image_width, int image_height, Box* box);
inline bool IsDropped(BoxProblem problem) {
  return problem != BoxProblem::kNone && problem != BoxProblem::kClipped;
}
const char* NameOf(BoxProblem problem);

// Throws Error(kUser) that names all classes.
void RequireEnoughClasses(const std::vector<std::string>& classes, int num_classes, const std::string& where);
// Logs what was left out or clipped and writes the warnings file. Throws Error(kUser) when no box is left.
void ReportBoxes(const CocoSet& set, size_t kept, const std::string& where, const std::string& warnings_path);

}  // namespace octet::data
