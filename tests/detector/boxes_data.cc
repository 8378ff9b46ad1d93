#include "boxes_data.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "data/image.h"

namespace octet {
namespace {

// std::uniform_int_distribution differs between libraries; this does not.
int Draw(std::mt19937& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

}  // namespace

void WriteBoxesData(const std::string& dir, const BoxesDataOptions& o) {
  std::mt19937 random(11);
  MakeDirectories(dir + "/images");
  int number = 0;
  for (const std::string part : {"train", "val"}) {
    nlohmann::json images = nlohmann::json::array(), boxes = nlohmann::json::array();
    for (int i = 0; i < (part == "train" ? o.train : o.val); ++i, ++number) {
      data::Image image;
      image.width = o.width;
      image.height = o.height;
      image.pixels.resize(static_cast<size_t>(o.width * o.height * 3));
      for (uint8_t& p : image.pixels) p = static_cast<uint8_t>(Draw(random, 90, 150));
      const std::string name = fmt::format("{:03}.png", number);
      images.push_back({{"id", 100 + number}, {"file_name", name}, {"width", o.width}, {"height", o.height}});
      const int count = i == 1 ? 0 : Draw(random, 1, 2);
      for (int k = 0; k < count; ++k) {
        const bool red = Draw(random, 0, 1) == 0;
        const int w = Draw(random, 28, 48), h = Draw(random, 28, 48);
        const int half = o.width / 2;  // the second shape keeps to the other half
        const int x = k * half + Draw(random, 0, half - w), y = Draw(random, 0, o.height - h);
        for (int row = y; row < y + h; ++row) {
          for (int column = x; column < x + w; ++column) {
            uint8_t* p = image.pixels.data() + 3 * (row * o.width + column);
            p[0] = red ? 230 : 20;
            p[1] = 30;
            p[2] = red ? 20 : 230;
          }
        }
        boxes.push_back({{"id", static_cast<int>(boxes.size()) + 1},
                         {"image_id", 100 + number},
                         {"category_id", red ? 3 : 7},
                         {"bbox", {x, y, w, h}},
                         {"area", w * h},
                         {"iscrowd", 0}});
      }
      WriteFileAtomic(dir + "/images/" + name, data::EncodePng(image));
    }
    const nlohmann::json file = {{"images", images},
                                 {"annotations", boxes},
                                 {"categories", {{{"id", 3}, {"name", "red"}}, {{"id", 7}, {"name", "blue"}}}}};
    WriteFileAtomic(dir + "/" + part + ".json", file.dump(1));
  }
}

}  // namespace octet
