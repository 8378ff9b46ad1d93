#include "detection/anchors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace octet::detection {
namespace {

constexpr float kSmallest = 1e-8f;  // of a side, so that logarithms stay finite

}  // namespace

std::vector<AspectRatio> ParseAspectRatios(const std::string& text, const std::string& where) {
  // Brackets, parentheses and commas part the numbers; what counts is that they come in pairs.
  std::vector<double> numbers;
  const char* p = text.c_str();
  bool good = true;
  while (*p != '\0' && good) {
    if (std::string("[](), \t").find(*p) != std::string::npos) {
      ++p;
      continue;
    }
    char* end = nullptr;
    numbers.push_back(std::strtod(p, &end));
    good = end != p && numbers.back() > 0 && std::isfinite(numbers.back());
    p = end;
  }
  OCTET_REQUIRE(good && !numbers.empty() && numbers.size() % 2 == 0,
                "{}: aspect_ratios is '{}'; expected pairs of positive factors of width and height, such as "
                "[(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]",
                where, text);
  std::vector<AspectRatio> ratios;
  for (size_t i = 0; i < numbers.size(); i += 2) ratios.push_back({numbers[i], numbers[i + 1]});
  return ratios;
}

std::string ToString(const std::vector<AspectRatio>& ratios) {
  std::string text;
  for (const AspectRatio& r : ratios) text += fmt::format("{}({}, {})", text.empty() ? "" : ", ", r.width, r.height);
  return "[" + text + "]";
}

Tensor MakeAnchors(const AnchorOptions& o) {
  OCTET_REQUIRE(o.num_scales >= 1 && !o.aspect_ratios.empty() && o.anchor_scale > 0,
                "anchors: num_scales {}, {} aspect ratios, anchor_scale {}; expected at least one of each, and a "
                "positive scale",
                o.num_scales, o.aspect_ratios.size(), o.anchor_scale);
  std::vector<float> values;
  for (int64_t level = o.min_level; level <= o.max_level; ++level) {
    const int64_t stride = int64_t{1} << level;
    for (int64_t row = 0; row < o.height / stride; ++row) {
      for (int64_t column = 0; column < o.width / stride; ++column) {
        for (int64_t scale = 0; scale < o.num_scales; ++scale) {
          const double size = o.anchor_scale * static_cast<double>(stride) *
                              std::pow(2.0, static_cast<double>(scale) / static_cast<double>(o.num_scales));
          for (const AspectRatio& aspect : o.aspect_ratios) {
            values.push_back((static_cast<float>(row) + 0.5f) * static_cast<float>(stride));
            values.push_back((static_cast<float>(column) + 0.5f) * static_cast<float>(stride));
            values.push_back(static_cast<float>(size * aspect.height));
            values.push_back(static_cast<float>(size * aspect.width));
          }
        }
      }
    }
  }
  return Tensor::From<float>({static_cast<int64_t>(values.size() / 4), 4}, values);
}

BoxCode EncodeBox(const float* box, const float* anchor) {
  BoxCode code;
  for (int i = 0; i < 2; ++i) {
    const float size = std::max(box[i + 2] - box[i], kSmallest);
    const float anchor_size = std::max(anchor[i + 2], kSmallest);
    code[i] = ((box[i] + box[i + 2]) / 2 - anchor[i]) / anchor_size;
    code[i + 2] = std::log(size / anchor_size);
  }
  return code;
}

BoxCode DecodeBox(const float* code, const float* anchor) {
  BoxCode box;
  for (int i = 0; i < 2; ++i) {
    const float centre = code[i] * anchor[i + 2] + anchor[i];
    const float half = std::exp(code[i + 2]) * anchor[i + 2] / 2;
    box[i] = centre - half;
    box[i + 2] = centre + half;
  }
  return box;
}

}  // namespace octet::detection
