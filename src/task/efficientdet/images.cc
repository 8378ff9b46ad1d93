#include "task/efficientdet/images.h"

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/image.h"

namespace octet::task::efficientdet {

std::shared_ptr<data::CocoSet> SetOfImages(const std::vector<data::ImageFile>& files) {
  std::vector<data::CocoSet::Image> images(files.size());
  ThreadPool(HardwareThreads()).ParallelFor(static_cast<int64_t>(files.size()), [&](int64_t i) {
    data::Image image;
    std::string problem;
    data::CocoSet::Image& entry = images[static_cast<size_t>(i)];
    entry.path = files[static_cast<size_t>(i)].path;
    if (!data::DecodeImageFile(entry.path, {}, &image, &problem)) {
      LogWarning("{}: {}; left out", entry.path, problem);
      return;
    }
    entry.width = image.width;
    entry.height = image.height;
  });
  auto set = std::make_shared<data::CocoSet>();
  for (data::CocoSet::Image& image : images) {
    if (image.width == 0) continue;
    image.id = static_cast<int64_t>(set->images.size()) + 1;
    set->images.push_back(std::move(image));
  }
  OCTET_REQUIRE(!set->images.empty(), "none of the {} images can be decoded", files.size());
  return set;
}

}  // namespace octet::task::efficientdet
