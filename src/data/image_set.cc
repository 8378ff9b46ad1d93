#include "data/image_set.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "data/coco_records.h"

namespace octet::data {
namespace {

bool DecodeFile(const ImageFile& file, const DecodeOptions& options, Image* image, std::string* problem) {
  if (file.record_offset < 0) return DecodeImageFile(file.path, options, image, problem);
  return DecodeImageBytes(ReadRecordImage(file.path, file.record_offset), options, image, problem);
}

// For messages.
std::string Name(const ImageFile& file) {
  return file.record_offset < 0 ? file.path : fmt::format("{} (record at offset {})", file.path, file.record_offset);
}

}  // namespace

ImageSet::ImageSet(const ImageFolder& folder, const ImageSetOptions& options)
    : options_(options), classes_(folder.classes) {
  if (!folder.other_files.empty()) {
    LogInfo("{}: {} files are not images by their names and are left out, e.g. '{}'", folder.path,
            folder.other_files.size(), folder.other_files[0]);
  }
  Load(folder.files);
  std::vector<int64_t> count(classes_.size());
  for (const ImageFile& file : files_) ++count[file.label];
  for (size_t label = 0; label < classes_.size(); ++label) {
    OCTET_REQUIRE(count[label] > 0, "'{}': no image of class '{}' can be decoded; see the messages above", folder.path,
                  classes_[label]);
  }
}

ImageSet::ImageSet(const std::vector<ImageFile>& files, const ImageSetOptions& options) : options_(options) {
  Load(files);
  OCTET_REQUIRE(!files_.empty(), "none of {} {} can be decoded; see the messages above", files.size(), options_.what);
}

void ImageSet::Load(std::vector<ImageFile> files) {
  std::vector<std::shared_ptr<const Image>> images(files.size());
  std::vector<std::string> problems(files.size());
  std::mutex mutex;
  std::unique_ptr<Progress> progress;
  if (options_.show_progress) {
    progress = std::make_unique<Progress>("checking " + options_.what, static_cast<int64_t>(files.size()), "images");
  }
  ThreadPool pool(std::min(std::max(1, options_.threads), HardwareThreads()));
  pool.ParallelFor(static_cast<int64_t>(files.size()), [&](int64_t i) {
    auto image = std::make_shared<Image>();
    const bool good = DecodeFile(files[i], options_.decode, image.get(), &problems[i]);
    const std::lock_guard<std::mutex> lock(mutex);
    if (progress) progress->Advance(1);
    if (!good) {
      if (problems[i].empty()) problems[i] = "cannot be decoded";
    } else if (cached_bytes_ + image->pixels.size() <= options_.cache_bytes) {
      cached_bytes_ += image->pixels.size();
      images[i] = std::move(image);
    }
  });
  if (progress) progress->Finish();
  for (size_t i = 0; i < files.size(); ++i) {
    if (problems[i].empty()) {
      files_.push_back(std::move(files[i]));
      cache_.push_back(std::move(images[i]));
    } else {
      LogWarning("{}: {}; left out", Name(files[i]), problems[i]);
      bad_.push_back({Name(files[i]), problems[i]});
    }
  }
  if (!bad_.empty()) {
    LogWarning("{} of {} {} cannot be decoded and are left out; going on with {}", bad_.size(), files.size(),
               options_.what, files_.size());
  }
}

std::shared_ptr<const Image> ImageSet::Get(int64_t index) const {
  if (cache_.at(index) != nullptr) return cache_[index];
  auto image = std::make_shared<Image>();
  std::string problem;
  OCTET_REQUIRE(DecodeFile(files_[index], options_.decode, image.get(), &problem),
                "image '{}' could be decoded when the data was checked, and no longer can: {}", Name(files_[index]),
                problem);
  return image;
}

}  // namespace octet::data
