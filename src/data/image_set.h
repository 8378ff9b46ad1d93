// The images of a data set, decodable ones only, kept decoded in memory as far as a budget goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/image_folder.h"

namespace octet::data {

struct BadImage {
  std::string path;
  std::string problem;
};

struct ImageSetOptions {
  DecodeOptions decode;
  int threads = 1;
  size_t cache_bytes = size_t{1} << 30;  // decoded images kept in memory; the rest is decoded each time
  bool show_progress = true;
  std::string what = "images";  // "training images", for the progress line and messages
};

class ImageSet {
 public:
  // Decodes every file once. Files that cannot be decoded are logged by name, left out and counted in bad(). Throws
  // Error(kUser) when a class (or everything) is lost that way.
  ImageSet(const ImageFolder& folder, const ImageSetOptions& options);
  // Images without labels, for inference.
  ImageSet(const std::vector<ImageFile>& files, const ImageSetOptions& options);

  int64_t size() const { return static_cast<int64_t>(files_.size()); }
  const ImageFile& file(int64_t index) const { return files_.at(index); }
  const std::vector<std::string>& classes() const { return classes_; }
  const std::vector<BadImage>& bad() const { return bad_; }
  size_t cached_bytes() const { return cached_bytes_; }

  // Thread-safe. From memory, or from disk; throws Error(kUser) if the file has become unreadable.
  std::shared_ptr<const Image> Get(int64_t index) const;

 private:
  void Load(std::vector<ImageFile> files);

  ImageSetOptions options_;
  std::vector<ImageFile> files_;
  std::vector<std::string> classes_;
  std::vector<BadImage> bad_;
  std::vector<std::shared_ptr<const Image>> cache_;
  size_t cached_bytes_ = 0;
};

}  // namespace octet::data
