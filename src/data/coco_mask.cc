#include "data/coco_mask.h"

#include <algorithm>
#include <cmath>

namespace octet::data {
namespace {

void FillPolygon(const std::vector<double>& polygon, Image* image) {
  const size_t corners = polygon.size() / 2;
  std::vector<double> crossings;
  for (int y = 0; y < image->height; ++y) {
    const double at = y + 0.5;
    crossings.clear();
    for (size_t i = 0; i < corners; ++i) {
      const size_t j = (i + 1) % corners;
      const double x0 = polygon[2 * i], y0 = polygon[2 * i + 1], x1 = polygon[2 * j], y1 = polygon[2 * j + 1];
      if ((y0 <= at) != (y1 <= at)) crossings.push_back(x0 + (at - y0) / (y1 - y0) * (x1 - x0));
    }
    std::sort(crossings.begin(), crossings.end());
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const double width = image->width;
      const int begin = static_cast<int>(std::ceil(std::clamp(crossings[i] - 0.5, 0.0, width)));
      const int end = static_cast<int>(std::ceil(std::clamp(crossings[i + 1] - 0.5, 0.0, width)));
      for (int x = begin; x < end; ++x) image->pixels[static_cast<size_t>(y) * image->width + x] = 1;
    }
  }
}

}  // namespace

Image DrawMask(const CocoMask& mask, int width, int height) {
  Image image;
  image.width = width;
  image.height = height;
  image.channels = 1;
  image.pixels.assign(static_cast<size_t>(width) * height, 0);
  if (!mask.runs.empty() && mask.runs_width == width && mask.runs_height == height) {
    int64_t at = 0;  // columns first
    for (size_t i = 0; i < mask.runs.size(); ++i) {
      for (uint32_t k = 0; k < mask.runs[i]; ++k, ++at) {
        if (i % 2 == 1) image.pixels[(at % height) * width + at / height] = 1;
      }
    }
  }
  for (const std::vector<double>& polygon : mask.polygons) FillPolygon(polygon, &image);
  return image;
}

}  // namespace octet::data
