#include "data/coco.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "data/box_check.h"
#include "data/coco_file.h"

namespace octet::data {
namespace {

// The classes of the set, and the class of each category of the file.
std::unordered_map<int64_t, int32_t> SetClasses(const CocoFile& file, const std::string& where,
                                                const CocoOptions& options, CocoSet* set) {
  if (options.classes.empty()) {
    for (const CocoFile::Category& category : file.categories) {
      set->classes.push_back(category.name);
      set->category_ids.push_back(category.id);
    }
  } else {
    OCTET_CHECK(options.classes.size() == options.category_ids.size(), "{} classes, {} ids", options.classes.size(),
                options.category_ids.size());
    set->classes = options.classes;
    set->category_ids = options.category_ids;
  }
  std::unordered_map<int64_t, int32_t> class_of;
  for (size_t i = 0; i < set->category_ids.size(); ++i) class_of[set->category_ids[i]] = static_cast<int32_t>(i);
  for (const CocoFile::Category& category : file.categories) {
    const auto at = class_of.find(category.id);
    OCTET_REQUIRE(
        at != class_of.end(),
        "{}: category {} ('{}') is not among the {} categories of the training data: {}; use the same list of "
        "categories in all files",
        where, category.id, category.name, set->classes.size(), Join(set->classes, ", "));
    OCTET_REQUIRE(
        set->classes[at->second] == category.name,
        "{}: category {} is named '{}', but '{}' in the training data; use the same list of categories in all "
        "files",
        where, category.id, category.name, set->classes[at->second]);
  }
  RequireEnoughClasses(set->classes, options.num_classes, where);
  return class_of;
}

void RequireFiles(const CocoSet& set, const std::string& where, const std::string& image_dir) {
  OCTET_REQUIRE(IsDirectory(image_dir), "{}: the folder of its images, '{}', does not exist", where, image_dir);
  std::vector<std::string> missing;
  size_t count = 0;
  for (const CocoSet::Image& image : set.images) {
    if (FileExists(image.path)) continue;
    ++count;
    if (missing.size() < 3) missing.push_back(fmt::format("'{}' (id {})", image.path, image.id));
  }
  OCTET_REQUIRE(count == 0,
                "{}: {} of {} listed images are missing: {}{}; check the image folder, or remove them from the file",
                where, count, set.images.size(), Join(missing, ", "), count > missing.size() ? ", ..." : "");
}

}  // namespace

void RequireEnoughClasses(const std::vector<std::string>& classes, int num_classes, const std::string& where) {
  OCTET_REQUIRE(num_classes == 0 || static_cast<size_t>(num_classes) >= classes.size(),
                "dataset.num_classes is {}, but {} has {} categories ({}); set dataset.num_classes: {}", num_classes,
                where, classes.size(), Join(classes, ", "), classes.size());
}

BoxProblem CheckBox(double x, double y, double width, double height, int image_width, int image_height, Box* box) {
  if (!(width > 0 && height > 0)) return BoxProblem::kZeroSize;  // NaN, too
  const double x2 = std::min<double>(x + width, image_width), y2 = std::min<double>(y + height, image_height);
  const double x1 = std::max(x, 0.0), y1 = std::max(y, 0.0);
  if (!(x2 > x1 && y2 > y1)) return BoxProblem::kOutside;
  if (x2 - x1 < 1 || y2 - y1 < 1) return BoxProblem::kTiny;
  box->x1 = static_cast<float>(x1);
  box->y1 = static_cast<float>(y1);
  box->x2 = static_cast<float>(x2);
  box->y2 = static_cast<float>(y2);
  // Rounding in files (x + width = 640.01) is no news.
  const bool over = x < -0.5 || y < -0.5 || x + width > image_width + 0.5 || y + height > image_height + 0.5;
  return over ? BoxProblem::kClipped : BoxProblem::kNone;
}

const char* NameOf(BoxProblem problem) {
  switch (problem) {
    case BoxProblem::kZeroSize: return "zero size";
    case BoxProblem::kOutside: return "outside the image";
    case BoxProblem::kTiny: return "less than one pixel inside the image";
    case BoxProblem::kClipped: return "reaches over the edge of the image";
    case BoxProblem::kNone: break;
  }
  return "";
}

void ReportBoxes(const CocoSet& set, size_t kept, const std::string& where, const std::string& warnings_path) {
  OCTET_REQUIRE(kept > 0, "{}: has no usable box ({} left out); there is nothing to detect", where, set.dropped.size());
  std::string more;
  if (!set.dropped.empty() && !warnings_path.empty()) {
    std::map<std::string, std::vector<int64_t>> by_image;
    for (const CocoSet::Dropped& d : set.dropped) by_image[std::to_string(d.image_id)].push_back(d.annotation_id);
    nlohmann::json json = nlohmann::json::object();
    for (const auto& [image, boxes] : by_image) json[image] = {{"box", boxes}, {"mask", nlohmann::json::array()}};
    WriteFileAtomic(warnings_path, json.dump(2) + "\n");
    more = fmt::format("; listed in '{}'", warnings_path);
  }
  if (!set.dropped.empty()) {
    const CocoSet::Dropped& first = set.dropped[0];
    LogWarning("{}: {} boxes left out, e.g. annotation {} of image {} ({}){}", where, set.dropped.size(),
               first.annotation_id, first.image_id, first.problem, more);
  }
  if (set.clipped > 0)
    LogWarning("{}: {} boxes reach over the edge of their image and were clipped", where, set.clipped);
}

CocoSet ReadCoco(const std::string& json_path, const std::string& image_dir, const CocoOptions& options) {
  const CocoFile file = ReadCocoFile(json_path, options.what);
  const std::string where = fmt::format("{} '{}'", options.what, json_path);
  CocoSet set;
  const std::unordered_map<int64_t, int32_t> class_of = SetClasses(file, where, options, &set);
  std::unordered_map<int64_t, size_t> image_of;
  for (const CocoFile::Image& image : file.images) {
    image_of[image.id] = set.images.size();
    const std::string path = (std::filesystem::path(image_dir) / image.file_name).string();
    set.images.push_back({image.id, path, image.width, image.height, {}});
  }
  if (options.require_images) RequireFiles(set, where, image_dir);
  size_t kept = 0;
  for (const CocoFile::Annotation& a : file.annotations) {
    CocoSet::Image& image = set.images[image_of.at(a.image_id)];
    Box box;
    const BoxProblem problem = CheckBox(a.x, a.y, a.width, a.height, image.width, image.height, &box);
    if (IsDropped(problem)) {
      set.dropped.push_back({a.image_id, a.id, NameOf(problem)});
      continue;
    }
    if (problem == BoxProblem::kClipped) ++set.clipped;
    box.label = class_of.at(a.category_id);
    box.crowd = a.crowd;
    box.area = static_cast<float>(a.area);
    image.boxes.push_back(box);
    ++kept;
  }
  ReportBoxes(set, kept, where, options.warnings_path);
  return set;
}

}  // namespace octet::data
