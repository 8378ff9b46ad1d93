// Images without annotations, as a data set.
#pragma once

#include <memory>
#include <vector>

#include "data/coco.h"
#include "data/image_folder.h"

namespace octet::task::efficientdet {

// Ids count from 1; no boxes. Sizes are read from the files; one that cannot be decoded is logged by name and left out.
// Throws a user Error when none is left.
std::shared_ptr<data::CocoSet> SetOfImages(const std::vector<data::ImageFile>& files);

}  // namespace octet::task::efficientdet
