// What synthetic pictures are drawn with (synthetic.h). Canvases are CV_32FC3, RGB.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/keyed_rng.h"

namespace octet::data {

// Pictures are drawn this many times as large as they become.
constexpr int kSyntheticOversampling = 2;

cv::Mat SyntheticTexture(int size, const cv::Vec3f& color, KeyedRng* rng);  // blotches and stripes around one color
cv::Vec3f SyntheticColor(KeyedRng* rng);
cv::Vec3f SyntheticColorFarFrom(const cv::Vec3f& other, KeyedRng* rng);

// Strokes and arcs: edges and corners that belong to no figure.
void DrawFragments(cv::Mat* canvas, int count, KeyedRng* rng);

// How a figure lies on a canvas: `scale` is its radius, about, and (x, y) its middle, in pixels.
struct SyntheticPlacement {
  double scale = 1, angle = 0, stretch = 1, shear = 0, x = 0, y = 0;
  bool mirrored = false;
};
SyntheticPlacement SyntheticTilt(double scale, KeyedRng* rng);  // all but the place and mirrored

cv::Mat SyntheticMask(int class_index, int canvas_size, const SyntheticPlacement& placement);  // 255 inside

// Made small, perhaps blurred, with light and noise of its own.
Image FinishPicture(const cv::Mat& canvas, int size, KeyedRng* rng);

// Without WriteFileAtomic's fsync, which takes longer than the drawing; whatever breaks here can be drawn again.
void WriteQuickly(const std::string& path, const std::string& bytes);

}  // namespace octet::data
