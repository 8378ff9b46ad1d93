// A temporary folder for tests, removed at the end, and small things that tests of this layer share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "data/image.h"

namespace octet::data {

class TestFolder {
 public:
  TestFolder() {
    static int counter = 0;
    path_ = (std::filesystem::temp_directory_path() / fmt::format("octet_data_{}_{}", ::getpid(), counter++)).string();
    std::filesystem::create_directories(path_);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The message of the user error that `body` throws.
template <typename F>
std::string MessageOf(F&& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    return e.what();
  }
  return "no error";
}

inline Image PatternImage(int width, int height, int channels = 3, int seed = 0) {
  Image image;
  image.width = width;
  image.height = height;
  image.channels = channels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<uint8_t>((x * 7 + y * 13 + c * 29 + x * y * (c + 1) + seed * 17) % 256));
      }
    }
  }
  return image;
}

inline Image FlatImage(int width, int height, const std::vector<uint8_t>& color) {
  Image image;
  image.width = width;
  image.height = height;
  image.channels = static_cast<int>(color.size());
  for (int i = 0; i < width * height; ++i) image.pixels.insert(image.pixels.end(), color.begin(), color.end());
  return image;
}

// "" when the folder of real data is not there.
inline std::string SharedData(const std::string& name) {
  const char* set = std::getenv("OCTET_SHARED_DATA");
  const std::string root = set != nullptr ? set : std::string(OCTET_SOURCE_DIR) + "/../shared/data";
  return IsDirectory(root + "/" + name) ? root + "/" + name : "";
}

}  // namespace octet::data
