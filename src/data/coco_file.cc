#include "data/coco_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"

namespace octet::data {
namespace {

using Json = nlohmann::json;

constexpr int kLargestSide = (1 << 20) - 1;  // of a picture

// A value for messages. Lists in lists are not printed: dump() recurses, and a file may nest them a million deep.
std::string Shown(const Json& value) {
  if (value.is_structured() &&
      std::any_of(value.begin(), value.end(), [](const Json& v) { return v.is_structured(); })) {
    return fmt::format("a nested {}", value.type_name());
  }
  return value.dump();
}

// Whole and small enough for the type; a double beyond has no value as an integer.
bool IsWhole(const Json& value, double least, double most) {
  if (!value.is_number()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return false;
  const auto number = value.get<double>();
  return number >= least && number <= most && std::floor(number) == number;
}

// An entry of one of the lists, with its place for messages.
struct Entry {
  const Json& json;
  const std::string& file;  // "dataset.val_json_file 'a.json'"
  const char* list;
  size_t index;

  std::string Place(const char* key) const { return fmt::format("{}: {}[{}].{}", file, list, index, key); }

  const Json& At(const char* key) const {
    OCTET_REQUIRE(json.contains(key), "{} is missing; COCO asks for it", Place(key));
    return json[key];
  }
  int64_t Integer(const char* key) const {
    const Json& value = At(key);
    // Floats only as far as they hold every whole number.
    const double most = value.is_number_float() ? 0x1p53 : 0x1p63;
    OCTET_REQUIRE(IsWhole(value, -most, most), "{} is {}, expected a whole number", Place(key), Shown(value));
    return value.get<int64_t>();
  }
  double Number(const char* key) const {
    const Json& value = At(key);
    OCTET_REQUIRE(value.is_number() && std::isfinite(value.get<double>()), "{} is {}, expected a number", Place(key),
                  Shown(value));
    return value.get<double>();
  }
  std::string Text(const char* key) const {
    const Json& value = At(key);
    OCTET_REQUIRE(value.is_string(), "{} is {}, expected a text", Place(key), Shown(value));
    return value.get<std::string>();
  }
};

CocoFile::Image ToImage(const Entry& entry) {
  CocoFile::Image image;
  image.id = entry.Integer("id");
  image.file_name = entry.Text("file_name");
  const int64_t width = entry.Integer("width"), height = entry.Integer("height");
  OCTET_REQUIRE(width > 0 && height > 0 && width <= kLargestSide && height <= kLargestSide,
                "{} and height are {} and {}, expected the size of the picture in pixels", entry.Place("width"), width,
                height);
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  return image;
}

// The text form of run lengths: 5 bits a character from '0' on, bit 5 says that more follow, and from the third
// number on the difference to the last but one.
std::vector<uint32_t> DecodeRuns(const std::string& text) {
  std::vector<uint32_t> runs;
  for (size_t at = 0; at < text.size();) {
    int64_t value = 0;
    int shift = 0;
    for (bool more = true; more && at < text.size(); shift += 5) {
      const int64_t bits = text[at++] - '0';
      value |= (bits & 0x1f) << shift;
      more = (bits & 0x20) != 0;
      if (!more && (bits & 0x10) != 0) value |= -(int64_t{1} << (shift + 5));
      if (shift > 30) return {};
    }
    if (runs.size() > 2) value += runs[runs.size() - 2];
    if (value < 0 || value > UINT32_MAX) return {};
    runs.push_back(static_cast<uint32_t>(value));
  }
  return runs;
}

CocoMask ToMask(const Entry& entry) {
  CocoMask mask;
  if (!entry.json.contains("segmentation")) return mask;
  const Json& json = entry.json["segmentation"];
  const auto all_numbers = [](const Json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& v) { return v.is_number(); });
  };
  const auto all_whole = [](const Json& list, double most) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [&](const Json& v) { return IsWhole(v, 0, most); });
  };
  bool good = true;
  if (json.is_array()) {
    for (const Json& polygon : json) {
      good = good && all_numbers(polygon) && polygon.size() % 2 == 0;
      if (good) mask.polygons.push_back(polygon.get<std::vector<double>>());
    }
  } else if (json.is_object() && json.contains("counts") && json.contains("size") && json["size"].is_array() &&
             json["size"].size() == 2 && all_whole(json["size"], kLargestSide)) {
    mask.runs_height = json["size"][0].get<int>();
    mask.runs_width = json["size"][1].get<int>();
    if (json["counts"].is_string()) {
      mask.runs = DecodeRuns(json["counts"].get<std::string>());
    } else if (all_whole(json["counts"], UINT32_MAX)) {
      mask.runs = json["counts"].get<std::vector<uint32_t>>();
    }
    uint64_t pixels = 0;
    for (const uint32_t run : mask.runs) pixels += run;
    good = pixels == static_cast<uint64_t>(mask.runs_height) * static_cast<uint64_t>(mask.runs_width);
  } else {
    good = false;
  }
  OCTET_REQUIRE(good, "{} is neither a list of polygons nor a run-length code of its size",
                entry.Place("segmentation"));
  return mask;
}

CocoFile::Annotation ToAnnotation(const Entry& entry, bool with_masks) {
  CocoFile::Annotation annotation;
  annotation.id = entry.Integer("id");
  annotation.image_id = entry.Integer("image_id");
  annotation.category_id = entry.Integer("category_id");
  const Json& box = entry.At("bbox");
  const auto finite = [](const Json& v) { return v.is_number() && std::isfinite(v.get<double>()); };
  OCTET_REQUIRE(box.is_array() && box.size() == 4 && std::all_of(box.begin(), box.end(), finite),
                "{} is {}, expected [x, y, width, height]", entry.Place("bbox"), Shown(box));
  annotation.x = box[0].get<double>();
  annotation.y = box[1].get<double>();
  annotation.width = box[2].get<double>();
  annotation.height = box[3].get<double>();
  annotation.area = entry.json.contains("area") ? entry.Number("area") : annotation.width * annotation.height;
  annotation.crowd = entry.json.contains("iscrowd") && entry.Integer("iscrowd") != 0;
  if (with_masks) annotation.mask = ToMask(entry);
  return annotation;
}

// Index by id; two entries with one id are an error.
template <typename T>
std::unordered_map<int64_t, size_t> ById(const std::vector<T>& list, const std::string& file, const char* name) {
  std::unordered_map<int64_t, size_t> by_id;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto [at, added] = by_id.emplace(list[i].id, i);
    OCTET_REQUIRE(added, "{}: {}[{}] and {}[{}] have the same id {}; ids must be unique: number them anew", file, name,
                  at->second, name, i, list[i].id);
  }
  return by_id;
}

}  // namespace

CocoFile ReadCocoFile(const std::string& path, std::string_view what, bool with_masks) {
  return ParseCocoFile(ReadFile(path, what), fmt::format("{} '{}'", what, path), with_masks);
}

CocoFile ParseCocoFile(std::string_view text, const std::string& file, bool with_masks) {
  CocoFile result;
  std::string list;  // the key of the outer object that is being read
  bool seen[3] = {};
  const Json::parser_callback_t take = [&](int depth, Json::parse_event_t event, Json& json) {
    if (depth == 1 && event == Json::parse_event_t::key) {
      list = json.get<std::string>();
      return list == "images" || list == "annotations" || list == "categories";
    }
    if (depth == 3 && event == Json::parse_event_t::key) {
      return with_masks || json.get_ref<const std::string&>() != "segmentation";
    }
    if (depth == 1 && event == Json::parse_event_t::array_end) {
      seen[0] |= list == "images";
      seen[1] |= list == "annotations";
      seen[2] |= list == "categories";
    }
    if (depth != 2 || event != Json::parse_event_t::object_end) return true;
    if (list == "images") {
      result.images.push_back(ToImage({json, file, "images", result.images.size()}));
    } else if (list == "annotations") {
      result.annotations.push_back(ToAnnotation({json, file, "annotations", result.annotations.size()}, with_masks));
    } else if (list == "categories") {
      const Entry entry{json, file, "categories", result.categories.size()};
      result.categories.push_back({entry.Integer("id"), entry.Text("name")});
    }
    return false;  // taken; keep no copy
  };
  try {
    const Json rest = Json::parse(text, take);
    OCTET_REQUIRE(rest.is_object(), "{}: holds no COCO annotations, but a JSON {}", file, rest.type_name());
  } catch (const Json::exception& e) {  // also a number beyond every type, such as 1e999
    const std::string message = e.what();
    const size_t begin = message.find("line ");
    OCTET_FAIL("{}: malformed JSON: {}", file, begin == std::string::npos ? message : message.substr(begin));
  }
  const char* names[] = {"images", "annotations", "categories"};
  for (int i = 0; i < 3; ++i) {
    OCTET_REQUIRE(seen[i], "{}: no list \"{}\"; a COCO file has images, annotations and categories", file, names[i]);
  }
  OCTET_REQUIRE(!result.images.empty(), "{}: lists no images", file);
  OCTET_REQUIRE(!result.categories.empty(), "{}: lists no categories", file);

  const auto images = ById(result.images, file, "images");
  const auto categories = ById(result.categories, file, "categories");
  ById(result.annotations, file, "annotations");
  for (size_t i = 0; i < result.annotations.size(); ++i) {
    const CocoFile::Annotation& a = result.annotations[i];
    OCTET_REQUIRE(images.count(a.image_id) > 0, "{}: annotations[{}] (id {}) is of image {}, which is not listed", file,
                  i, a.id, a.image_id);
    OCTET_REQUIRE(categories.count(a.category_id) > 0,
                  "{}: annotations[{}] (id {}) is of category {}, which is not listed", file, i, a.id, a.category_id);
  }
  std::sort(result.categories.begin(), result.categories.end(),
            [](const CocoFile::Category& a, const CocoFile::Category& b) { return a.id < b.id; });
  return result;
}

}  // namespace octet::data
