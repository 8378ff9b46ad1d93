// An object's outline as pixels.
#pragma once

#include "data/coco_file.h"
#include "data/image.h"

namespace octet::data {

// One channel, 0 or 1. A pixel at the edge of a polygon belongs to it.
Image DrawMask(const CocoMask& mask, int width, int height);

}  // namespace octet::data
