#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "data/coco_mask.h"

namespace octet::data {

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
    return image;
  }
  cv::Mat picture(height, width, CV_8U, image.pixels.data());
  constexpr int kFraction = 4;  // bits behind the point
  for (const std::vector<double>& polygon : mask.polygons) {
    std::vector<cv::Point> points;
    for (size_t i = 0; i + 1 < polygon.size(); i += 2) {
      // COCO counts from the corner of the first pixel, OpenCV from its centre.
      const auto fixed = [](double v) {
        return static_cast<int>(std::lround((std::clamp(v, -1e6, 1e6) - 0.5) * (1 << kFraction)));
      };
      points.emplace_back(fixed(polygon[i]), fixed(polygon[i + 1]));
    }
    if (points.size() >= 3)
      cv::fillPoly(picture, std::vector<std::vector<cv::Point>>{points}, 1, cv::LINE_8, kFraction);
  }
  return image;
}

}  // namespace octet::data
