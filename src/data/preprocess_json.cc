#include "data/preprocess_json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace octet::data {

std::string PreprocessToJson(const PreprocessOptions& o) {
  return nlohmann::json{{"width", o.width},
                        {"height", o.height},
                        {"channels", o.channels},
                        {"depth", o.depth},
                        {"mode", NameOf(o.mode)},
                        {"image_mean", o.image_mean},
                        {"image_std", o.image_std},
                        {"bgr", o.bgr},
                        {"interpolation", NameOf(o.interpolation)},
                        {"center_crop", o.center_crop}}
      .dump();
}

void ReadPreprocessJson(const std::string& text, PreprocessOptions* o) {
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    o->width = j.at("width");
    o->height = j.at("height");
    o->channels = j.at("channels");
    o->depth = j.at("depth");
    o->mode = PreprocessModeFromName(j.at("mode"));
    o->image_mean = j.at("image_mean").get<std::vector<double>>();
    o->image_std = j.value("image_std", std::vector<double>{1});
    o->bgr = j.value("bgr", false);
    o->interpolation = InterpolationFromName(j.at("interpolation"));
    o->center_crop = j.at("center_crop");
  } catch (const nlohmann::json::exception& e) {
    OCTET_FAIL("the preprocessing settings inside the network file are damaged: {}", e.what());
  }
}

}  // namespace octet::data
