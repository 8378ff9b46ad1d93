// Ground truth and detections from and to files and the structures of training.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "data/coco_file.h"
#include "detection/coco_ap.h"

namespace octet::detection {

GroundTruth ReadGroundTruth(const std::string& json_path, std::string_view what) {
  const data::CocoFile file = data::ReadCocoFile(json_path, what);
  GroundTruth truth;
  for (const auto& image : file.images) truth.image_ids.push_back(image.id);
  for (const auto& category : file.categories) {
    truth.category_ids.push_back(category.id);
    truth.names.push_back(category.name);
  }
  for (const auto& a : file.annotations) {
    truth.boxes.push_back({a.image_id, a.category_id, a.x, a.y, a.width, a.height, a.area, a.crowd, a.id});
  }
  return truth;
}

GroundTruth ToGroundTruth(const data::CocoSet& set) {
  GroundTruth truth;
  truth.category_ids = set.category_ids;
  truth.names = set.classes;
  int64_t id = 0;
  for (const auto& image : set.images) {
    truth.image_ids.push_back(image.id);
    for (const data::Box& box : image.boxes) {
      const double x = box.x1, y = box.y1;
      truth.boxes.push_back(
          {image.id, set.category_ids.at(box.label), x, y, box.x2 - x, box.y2 - y, box.area, box.crowd, ++id});
    }
  }
  return truth;
}

std::vector<ScoredBox> ToScoredBoxes(const std::vector<Detection>& detections,
                                     const std::vector<int64_t>& category_ids) {
  std::vector<ScoredBox> boxes;
  for (const Detection& d : detections) {
    // A network may have more outputs than there are categories; what they say is about nothing.
    if (d.label < 0 || d.label >= static_cast<int64_t>(category_ids.size())) continue;
    const double x = d.x1, y = d.y1;
    boxes.push_back({d.image_id, category_ids[d.label], x, y, d.x2 - x, d.y2 - y, d.score});
  }
  return boxes;
}

std::vector<ScoredBox> ReadDetections(const std::string& json_path) {
  const std::string text = ReadFile(json_path, "detections file");
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    const std::string message = e.what();
    const size_t begin = message.find("line ");
    OCTET_FAIL("detections file '{}': malformed JSON: {}", json_path,
               begin == std::string::npos ? message : message.substr(begin));
  }
  OCTET_REQUIRE(json.is_array(), "detections file '{}': is a JSON {}, expected a list of detections (COCO results)",
                json_path, json.type_name());
  std::vector<ScoredBox> boxes;
  for (size_t i = 0; i < json.size(); ++i) {
    const auto& d = json[i];
    const auto number = [](const nlohmann::json& v) { return v.is_number() && std::isfinite(v.get<double>()); };
    // A double beyond has no value as an integer.
    const auto id = [&](const nlohmann::json& v) { return number(v) && std::fabs(v.get<double>()) < 0x1p63; };
    const bool good = d.is_object() && d.contains("image_id") && id(d["image_id"]) && d.contains("category_id") &&
                      id(d["category_id"]) && d.contains("score") && number(d["score"]) && d.contains("bbox") &&
                      d["bbox"].is_array() && d["bbox"].size() == 4 &&
                      std::all_of(d["bbox"].begin(), d["bbox"].end(), number);
    OCTET_REQUIRE(good, "detections file '{}': [{}] needs image_id, category_id, bbox [x, y, width, height] and score",
                  json_path, i);
    boxes.push_back(
        {d["image_id"], d["category_id"], d["bbox"][0], d["bbox"][1], d["bbox"][2], d["bbox"][3], d["score"]});
  }
  return boxes;
}

void WriteDetections(const std::string& json_path, const std::vector<ScoredBox>& detections) {
  // By hand: a line each, and a float's digits only. 9 digits give a float back exactly.
  std::string text = "[";
  for (size_t i = 0; i < detections.size(); ++i) {
    const ScoredBox& d = detections[i];
    text += fmt::format(
        "{}\n{{\"image_id\": {}, \"category_id\": {}, \"bbox\": [{:.9g}, {:.9g}, {:.9g}, {:.9g}], \"score\": {:.9g}}}",
        i == 0 ? "" : ",", d.image_id, d.category_id, d.x, d.y, d.width, d.height, d.score);
  }
  WriteFileAtomic(json_path, text + "\n]\n");
}

}  // namespace octet::detection
