// A classification data set on disk: a folder of class folders. Classes are numbered in the order of their names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::data {

struct ImageFile {
  std::string path;
  int64_t label = -1;          // -1: unknown
  int64_t record_offset = -1;  // >= 0: `path` is a TFRecord file, and the image is in its record at this byte
};

struct ImageFolder {
  std::string path;
  std::vector<std::string> classes;
  std::vector<ImageFile> files;          // by class, then by path
  std::vector<std::string> other_files;  // in class folders, but not images by their names
};

// jpg, jpeg, png, bmp, ppm, tif, tiff in any case; folders below a class folder belong to the class; hidden ones are
// skipped. Throws Error(kUser): missing folder, no class folder, one class only, class folders without images (named).
ImageFolder ScanImageFolder(const std::string& path);

// All images in a folder and the folders below, one image file, or the files that a pattern with * and ? fits; labels
// are -1. Throws Error(kUser) if there is none.
std::vector<ImageFile> ListImages(const std::string& path);

// Throws Error(kUser) that names the classes which only one of the two has.
void RequireSameClasses(const ImageFolder& train, const ImageFolder& val);
void RequireSameClasses(const std::vector<std::string>& expected, const std::string& expected_where,
                        const ImageFolder& folder);

// {"cat": 0, "dog": 1} as TAO writes it. Reading also takes a text file with one name a line.
void WriteClassmap(const std::string& path, const std::vector<std::string>& classes);
std::vector<std::string> ReadClassmap(const std::string& path);

}  // namespace octet::data
