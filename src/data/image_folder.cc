#include "data/image_folder.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace octet::data {
namespace fs = std::filesystem;
namespace {

constexpr char kExtensions[] = "jpg, jpeg, png, bmp, ppm, tif, tiff";

bool IsImageName(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  static const char* const kKnown[] = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff"};
  return std::any_of(std::begin(kKnown), std::end(kKnown), [&](const char* known) { return extension == known; });
}

bool IsHidden(const fs::path& path) {
  return StartsWith(path.filename().string(), ".");
}

// Files below `folder`, sorted, split into images and others.
void ListFiles(const fs::path& folder, std::vector<std::string>* images, std::vector<std::string>* others) {
  try {
    fs::recursive_directory_iterator it(folder, fs::directory_options::follow_directory_symlink);
    for (; it != fs::recursive_directory_iterator(); ++it) {
      const fs::path& path = it->path();
      if (IsHidden(path)) {
        if (it->is_directory()) it.disable_recursion_pending();
        continue;
      }
      if (it->is_directory()) continue;
      (IsImageName(path) ? images : others)->push_back(path.string());
    }
  } catch (const fs::filesystem_error& e) {
    OCTET_FAIL("cannot read folder '{}': {}", folder.string(), e.code().message());
  }
  std::sort(images->begin(), images->end());
  std::sort(others->begin(), others->end());
}

std::string Quoted(const std::vector<std::string>& names) {
  constexpr size_t kShown = 10;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i == 0 ? "'" : ", '") + names[i] + "'";
  if (names.size() > kShown) out += fmt::format(" and {} more", names.size() - kShown);
  return out;
}

std::vector<std::string> Without(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<std::string> out;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

}  // namespace

ImageFolder ScanImageFolder(const std::string& path) {
  OCTET_REQUIRE(!FileExists(path), "'{}' is a file; expected a folder with one folder per class", path);
  OCTET_REQUIRE(IsDirectory(path), "image folder '{}' does not exist", path);
  ImageFolder folder;
  folder.path = path;
  size_t loose_images = 0;
  std::error_code ec;
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    if (IsHidden(it->path())) continue;
    if (it->is_directory()) {
      folder.classes.push_back(it->path().filename().string());
    } else if (IsImageName(it->path())) {
      ++loose_images;
    }
  }
  OCTET_REQUIRE(!ec, "cannot read folder '{}': {}", path, ec.message());
  const std::string loose =
      loose_images > 0 ? fmt::format(" ({} images lie in the folder itself)", loose_images) : std::string();
  OCTET_REQUIRE(!folder.classes.empty(), "'{}' has no class folders{}; expected {}/CLASS/image.jpg", path, loose, path);
  OCTET_REQUIRE(folder.classes.size() > 1,
                "'{}' has one class only ('{}'); a classifier needs two or more class folders", path,
                folder.classes[0]);
  std::sort(folder.classes.begin(), folder.classes.end());
  std::vector<std::string> empty;
  for (size_t label = 0; label < folder.classes.size(); ++label) {
    std::vector<std::string> images;
    ListFiles(fs::path(path) / folder.classes[label], &images, &folder.other_files);
    if (images.empty()) empty.push_back(folder.classes[label]);
    for (std::string& image : images) folder.files.push_back({std::move(image), static_cast<int64_t>(label)});
  }
  OCTET_REQUIRE(empty.empty(), "'{}': class folder{} {} without images; add images ({}) or remove the folder", path,
                empty.size() == 1 ? "" : "s", Quoted(empty), kExtensions);
  return folder;
}

std::vector<ImageFile> ListImages(const std::string& path) {
  std::vector<std::string> images;
  std::vector<std::string> others;
  if (IsDirectory(path)) {
    ListFiles(path, &images, &others);
  } else if (FileExists(path)) {
    images.push_back(path);
  } else {
    OCTET_REQUIRE(path.find_first_of("*?[") != std::string::npos, "image folder '{}' does not exist", path);
    for (std::string& file : MatchingFiles(path)) {
      if (!IsDirectory(file)) images.push_back(std::move(file));
    }
    OCTET_REQUIRE(!images.empty(), "no file fits '{}'", path);
  }
  OCTET_REQUIRE(!images.empty(), "no images in '{}'; expected {} files", path, kExtensions);
  std::vector<ImageFile> files;
  for (std::string& image : images) files.push_back({std::move(image), -1});
  return files;
}

void RequireSameClasses(const std::vector<std::string>& expected, const std::string& expected_where,
                        const ImageFolder& folder) {
  const std::vector<std::string> missing = Without(expected, folder.classes);
  const std::vector<std::string> extra = Without(folder.classes, expected);
  if (missing.empty() && extra.empty()) return;
  std::string message = fmt::format("the classes of '{}' and '{}' differ:", expected_where, folder.path);
  if (!missing.empty()) message += fmt::format(" only in '{}': {};", expected_where, Quoted(missing));
  if (!extra.empty()) message += fmt::format(" only in '{}': {};", folder.path, Quoted(extra));
  OCTET_FAIL("{} make the class folders equal", message);
}

void RequireSameClasses(const ImageFolder& train, const ImageFolder& val) {
  RequireSameClasses(train.classes, train.path, val);
}

void WriteClassmap(const std::string& path, const std::vector<std::string>& classes) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (size_t i = 0; i < classes.size(); ++i) json[classes[i]] = i;
  WriteFileAtomic(path, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::vector<std::string> ReadClassmap(const std::string& path) {
  const std::string text = ReadFile(path, "class map");
  std::vector<std::string> classes;
  if (!StartsWith(Trim(text), "{")) {
    for (const std::string& line : Split(text, '\n')) {
      if (!Trim(line).empty()) classes.emplace_back(Trim(line));
    }
    OCTET_REQUIRE(!classes.empty(), "class map '{}' is empty; expected {{\"name\": index}} or one name a line", path);
    return classes;
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  OCTET_REQUIRE(json.is_object() && !json.empty(), "class map '{}' is not JSON of the form {{\"name\": index}}", path);
  classes.resize(json.size());
  for (const auto& [name, index] : json.items()) {
    const bool ok = index.is_number_integer() && index.get<int64_t>() >= 0 &&
                    index.get<int64_t>() < static_cast<int64_t>(classes.size()) && classes[index.get<size_t>()].empty();
    OCTET_REQUIRE(ok, "class map '{}': class '{}' has index {}; expected each of 0 to {} once", path, name,
                  index.dump(), classes.size() - 1);
    classes[index.get<size_t>()] = name;
  }
  return classes;
}

}  // namespace octet::data
