#include <algorithm>

#include "report/draw_detections.h"

namespace octet::report {

std::string KittiLabels(const std::vector<detection::Detection>& detections, const DrawOptions& options) {
  std::string text;
  for (const detection::Detection& d : detections) {
    if (d.score < options.min_score) continue;
    std::string name = d.label >= 0 && d.label < static_cast<int>(options.classes.size())
                           ? options.classes[d.label]
                           : fmt::format("class_{}", d.label);
    std::replace(name.begin(), name.end(), ' ', '_');
    text += fmt::format("{} 0.00 0 0.00 {:.3f} {:.3f} {:.3f} {:.3f} 0.00 0.00 0.00 0.00 0.00 0.00 0.00 {:.3f}\n", name,
                        d.x1, d.y1, d.x2, d.y2, d.score);
  }
  return text;
}

}  // namespace octet::report
