// Detections for people and for other programs: pictures with boxes, and KITTI label files.
#pragma once

#include <string>
#include <vector>

#include "data/image.h"
#include "detection/detections.h"

namespace octet::report {

struct DrawOptions {
  std::vector<std::string> classes;  // names; "class 7" for those beyond
  float min_score = 0.3f;            // inference.min_score_thresh
  int max_boxes = 100;               // inference.max_boxes_to_draw: the best ones
};

// The image with a frame in the color of its class around each detection, and a label "name 87 %" on a ground of that
// color. Frames have dark edges, so that they show on any background; labels stay inside the picture and
// avoid each other. The image is 8-bit RGB; detections are in its pixels (x1, y1, x2, y2), image_id does not count.
data::Image DrawDetections(const data::Image& image, const std::vector<detection::Detection>& detections,
                           const DrawOptions& options);

// red, green, blue of class i: neighbours differ strongly.
std::vector<uint8_t> ClassColor(int label);

// One line per detection of min_score and more, 16 columns as TAO's deploy writes them: name 0.00 0 0.00 x1 y1 x2 y2
// 0.00 (seven times) score. Spaces in names become '_'.
std::string KittiLabels(const std::vector<detection::Detection>& detections, const DrawOptions& options);

}  // namespace octet::report
