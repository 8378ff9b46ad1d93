// An object's outline as pixels.
#pragma once

#include "data/coco_file.h"
#include "data/image.h"

namespace octet::data {

// One channel, 0 or 1. A pixel belongs to a polygon when its centre does.
Image DrawMask(const CocoMask& mask, int width, int height);

}  // namespace octet::data
