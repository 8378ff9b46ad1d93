#include "data/coco_records.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/tfrecord_framing.h"
#include "data/box_check.h"
#include "data/image.h"
#include "data/tf_example.h"

namespace octet::data {
namespace {

std::vector<std::string> Expand(const std::vector<std::string>& patterns, const std::string& what) {
  OCTET_REQUIRE(!patterns.empty(), "{}: no files are given", what);
  std::vector<std::string> files;
  for (const std::string& pattern : patterns) {
    const std::vector<std::string> found = MatchingFiles(pattern);
    OCTET_REQUIRE(!found.empty(), "{}: no file fits '{}'", what, pattern);
    files.insert(files.end(), found.begin(), found.end());
  }
  std::vector<std::string> once;  // patterns may overlap
  std::set<std::string> seen;
  for (const std::string& file : files) {
    if (seen.insert(file).second) once.push_back(file);
  }
  return once;
}

class RecordReader {
 public:
  RecordReader(const std::string& path, int64_t offset, std::string_view payload)
      : where_(fmt::format("TFRecord file {}: record at offset {}", path, offset)),
        example_(DecodeExample(payload, where_)) {
    image_.path = path;
    image_.record_offset = offset;
  }

  const std::string& Encoded() const {
    const auto at = example_.find("image/encoded");
    OCTET_REQUIRE(at != example_.end() && at->second.bytes.size() == 1,
                  "{}: no image/encoded; was it made for detection?", where_);
    return at->second.bytes[0];
  }

  // `names` collects the texts of categories.
  CocoSet::Image Read(int64_t ordinal, std::map<int64_t, std::string>* names, std::vector<int64_t>* categories,
                      CocoSet* set) {
    ReadSize();
    const std::vector<std::string>& source = Get("image/source_id").bytes;
    image_.id = ordinal;
    if (!source.empty()) {
      const std::string& text = source[0];
      int64_t id = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
      if (error == std::errc() && end == text.data() + text.size()) image_.id = id;
    }
    const std::vector<float>&x1 = Get("image/object/bbox/xmin").floats, &y1 = Get("image/object/bbox/ymin").floats,
          &x2 = Get("image/object/bbox/xmax").floats, &y2 = Get("image/object/bbox/ymax").floats;
    const std::vector<int64_t>& labels = Get("image/object/class/label").ints;
    const std::vector<std::string>& texts = Get("image/object/class/text").bytes;
    const std::vector<int64_t>& crowd = Get("image/object/is_crowd").ints;
    const std::vector<float>& areas = Get("image/object/area").floats;
    const size_t n = labels.size();
    OCTET_REQUIRE(x1.size() == n && y1.size() == n && x2.size() == n && y2.size() == n,
                  "{}: {} labels, but {}, {}, {}, {} of xmin, ymin, xmax, ymax", where_, n, x1.size(), y1.size(),
                  x2.size(), y2.size());
    for (size_t i = 0; i < n; ++i) {
      if (i < texts.size() && !texts[i].empty()) {
        (*names)[labels[i]] = texts[i];
      } else {
        names->emplace(labels[i], fmt::format("category {}", labels[i]));
      }
      const double w = image_.width, h = image_.height;
      Box box;
      const BoxProblem problem =
          CheckBox(x1[i] * w, y1[i] * h, (x2[i] - x1[i]) * w, (y2[i] - y1[i]) * h, image_.width, image_.height, &box);
      if (IsDropped(problem)) {
        set->dropped.push_back({image_.id, static_cast<int64_t>(i), NameOf(problem)});
        continue;
      }
      if (problem == BoxProblem::kClipped) ++set->clipped;
      box.crowd = i < crowd.size() && crowd[i] != 0;
      box.area = i < areas.size() ? areas[i] : static_cast<float>((x2[i] - x1[i]) * w * (y2[i] - y1[i]) * h);
      image_.boxes.push_back(box);
      categories->push_back(labels[i]);
    }
    return std::move(image_);
  }

 private:
  const TfFeature& Get(const char* name) const {
    static const TfFeature none;
    const auto at = example_.find(name);
    return at == example_.end() ? none : at->second;
  }

  void ReadSize() {
    const std::vector<int64_t>&width = Get("image/width").ints, &height = Get("image/height").ints;
    if (width.size() == 1 && height.size() == 1 && width[0] > 0 && height[0] > 0) {
      OCTET_REQUIRE(width[0] < (1 << 20) && height[0] < (1 << 20),
                    "{}: image/width and image/height are {} and {}, expected the size of the picture in pixels",
                    where_, width[0], height[0]);
      image_.width = static_cast<int>(width[0]);
      image_.height = static_cast<int>(height[0]);
      Encoded();
      return;
    }
    Image decoded;
    std::string problem;
    OCTET_REQUIRE(DecodeImageBytes(Encoded(), {}, &decoded, &problem), "{}: image/encoded: {}", where_, problem);
    image_.width = decoded.width;
    image_.height = decoded.height;
  }

  std::string where_;
  TfExample example_;
  CocoSet::Image image_;
};

}  // namespace

CocoSet ReadCocoRecords(const std::vector<std::string>& patterns, const RecordOptions& options) {
  CocoSet set;
  std::map<int64_t, std::string> names;
  std::vector<std::vector<int64_t>> categories;  // of each image's boxes
  std::unordered_map<int64_t, size_t> image_of;
  size_t kept = 0;
  const std::vector<std::string> files = Expand(patterns, options.what);
  for (const std::string& path : files) {
    TfRecordReader reader(path);
    std::string payload;
    for (auto offset = static_cast<int64_t>(reader.offset()); reader.Next(&payload);
         offset = static_cast<int64_t>(reader.offset())) {
      categories.emplace_back();
      set.images.push_back(RecordReader(path, offset, payload)
                               .Read(static_cast<int64_t>(set.images.size()), &names, &categories.back(), &set));
      const CocoSet::Image& image = set.images.back();
      const auto [first, added] = image_of.emplace(image.id, set.images.size() - 1);
      OCTET_REQUIRE(added, "{}: image {} is in '{}' (offset {}) and in '{}' (offset {}); each must be there once",
                    options.what, image.id, set.images[first->second].path, set.images[first->second].record_offset,
                    path, offset);
      kept += image.boxes.size();
    }
  }
  const std::string where = fmt::format("{} '{}'", options.what, Join(patterns, ", "));
  OCTET_REQUIRE(!set.images.empty(), "{}: {} files without a record", where, files.size());
  if (options.classes.empty()) {
    for (const auto& [id, name] : names) {
      set.category_ids.push_back(id);
      set.classes.push_back(name);
    }
  } else {
    set.classes = options.classes;
    set.category_ids = options.category_ids;
  }
  std::unordered_map<int64_t, int32_t> class_of;
  for (size_t i = 0; i < set.category_ids.size(); ++i) class_of[set.category_ids[i]] = static_cast<int32_t>(i);
  for (const auto& [id, name] : names) {
    OCTET_REQUIRE(class_of.count(id) > 0,
                  "{}: category {} ('{}') is not among the {} categories of the training data: {}", where, id, name,
                  set.classes.size(), Join(set.classes, ", "));
  }
  RequireEnoughClasses(set.classes, options.num_classes, where);
  for (size_t i = 0; i < set.images.size(); ++i) {
    for (size_t b = 0; b < set.images[i].boxes.size(); ++b) {
      set.images[i].boxes[b].label = class_of.at(categories[i][b]);
    }
  }
  ReportBoxes(set, kept, where, options.warnings_path);
  return set;
}

std::string ReadRecordImage(const std::string& path, int64_t offset) {
  TfRecordReader reader(path);
  reader.Seek(static_cast<uint64_t>(offset));
  std::string payload;
  OCTET_REQUIRE(reader.Next(&payload), "TFRecord file {}: no record at offset {}", path, offset);
  return RecordReader(path, offset, payload).Encoded();
}

}  // namespace octet::data
