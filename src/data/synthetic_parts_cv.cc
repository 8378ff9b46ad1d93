#include "data/synthetic_parts_cv.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "base/error.h"
#include "data/synthetic.h"

namespace octet::data {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kMinColorDistance = 130;  // between shape and background, RGB

using Points = std::vector<cv::Point2d>;

// A figure in the square [-1, 1]^2, y down: the outline minus the hole.
struct Figure {
  Points outline;
  Points hole;
};

Points Arc(double cx, double cy, double radius, double from, double to, int steps = 40) {
  Points points;
  for (int i = 0; i <= steps; ++i) {
    const double a = from + (to - from) * i / steps;
    points.emplace_back(cx + radius * std::cos(a), cy + radius * std::sin(a));
  }
  return points;
}

Points Star(int tips, double inner) {
  Points points;
  for (int i = 0; i < 2 * tips; ++i) {
    const double r = i % 2 == 0 ? 1.0 : inner;
    points.emplace_back(r * std::sin(kPi * i / tips), -r * std::cos(kPi * i / tips));
  }
  return points;
}

Points Heart() {
  Points points;
  for (int i = 0; i < 60; ++i) {
    const double t = 2 * kPi * i / 60;
    const double s = std::sin(t);
    points.emplace_back(s * s * s,
                        -(13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t)) / 16);
  }
  return points;
}

Points Crescent() {
  Points points = Arc(0, 0, 1, 0.25 * kPi, 1.75 * kPi);
  const Points inner = Arc(0.55, 0, 0.72, 1.7 * kPi, 0.3 * kPi);
  points.insert(points.end(), inner.begin(), inner.end());
  return points;
}

const std::vector<std::pair<std::string, Figure>>& Figures() {
  static const std::vector<std::pair<std::string, Figure>> figures = {
      {"arrow", {{{0, -1}, {0.8, -0.1}, {0.3, -0.1}, {0.3, 1}, {-0.3, 1}, {-0.3, -0.1}, {-0.8, -0.1}}, {}}},
      {"crescent", {Crescent(), {}}},
      {"cross",
       {{{-0.3, -1},
         {0.3, -1},
         {0.3, -0.3},
         {1, -0.3},
         {1, 0.3},
         {0.3, 0.3},
         {0.3, 1},
         {-0.3, 1},
         {-0.3, 0.3},
         {-1, 0.3},
         {-1, -0.3},
         {-0.3, -0.3}},
        {}}},
      {"heart", {Heart(), {}}},
      {"hourglass", {{{-0.8, -1}, {0.8, -1}, {0.12, 0}, {0.8, 1}, {-0.8, 1}, {-0.12, 0}}, {}}},
      {"lshape", {{{-0.75, -1}, {-0.15, -1}, {-0.15, 0.45}, {0.75, 0.45}, {0.75, 1}, {-0.75, 1}}, {}}},
      {"ring", {Arc(0, 0, 1, 0, 2 * kPi, 60), Arc(0, 0, 0.55, 0, 2 * kPi, 60)}},
      {"square", {{{-0.8, -0.8}, {0.8, -0.8}, {0.8, 0.8}, {-0.8, 0.8}}, {}}},
      {"star", {Star(5, 0.42), {}}},
      {"triangle", {{{0, -1}, {0.9, 0.7}, {-0.9, 0.7}}, {}}},
      {"disc", {Arc(0, 0, 0.9, 0, 2 * kPi, 60), {}}},
      {"frame",
       {{{-0.85, -0.85}, {0.85, -0.85}, {0.85, 0.85}, {-0.85, 0.85}},
        {{-0.45, -0.45}, {0.45, -0.45}, {0.45, 0.45}, {-0.45, 0.45}}}},
      {"gear", {Star(9, 0.72), {}}},
      {"halfdisc", {Arc(0, -0.35, 1, 0, kPi), {}}},
      {"trident", {Star(3, 0.22), {}}},
      {"ushape",
       {{{-0.85, -0.9},
         {-0.35, -0.9},
         {-0.35, 0.4},
         {0.35, 0.4},
         {0.35, -0.9},
         {0.85, -0.9},
         {0.85, 0.9},
         {-0.85, 0.9}},
        {}}},
  };
  return figures;
}

cv::Scalar ToScalar(const cv::Vec3f& color) {
  return {color[0], color[1], color[2]};
}

std::vector<cv::Point> Place(const Points& points, const cv::Matx23d& transform) {
  constexpr int kShift = 4;  // sub-pixel bits of fillPoly
  std::vector<cv::Point> out;
  for (const cv::Point2d& p : points) {
    const double x = transform(0, 0) * p.x + transform(0, 1) * p.y + transform(0, 2);
    const double y = transform(1, 0) * p.x + transform(1, 1) * p.y + transform(1, 2);
    out.emplace_back(static_cast<int>(std::lround(x * (1 << kShift))),
                     static_cast<int>(std::lround(y * (1 << kShift))));
  }
  return out;
}

cv::Matx23d TransformOf(const SyntheticPlacement& p) {
  const double c = std::cos(p.angle) * p.scale;
  const double s = std::sin(p.angle) * p.scale;
  const double mirror = p.mirrored ? 1 : -1;
  return {c * p.stretch * mirror, -s + c * p.shear, p.x, s * p.stretch * mirror, c + s * p.shear, p.y};
}

}  // namespace

const std::vector<std::string>& SyntheticClassNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& figure : Figures()) out.push_back(figure.first);
    return out;
  }();
  return names;
}

cv::Vec3f SyntheticColor(KeyedRng* rng) {
  return {static_cast<float>(rng->Uniform(20, 235)), static_cast<float>(rng->Uniform(20, 235)),
          static_cast<float>(rng->Uniform(20, 235))};
}

cv::Vec3f SyntheticColorFarFrom(const cv::Vec3f& other, KeyedRng* rng) {
  cv::Vec3f color = SyntheticColor(rng);
  while (cv::norm(color - other) < kMinColorDistance) color = SyntheticColor(rng);
  return color;
}

cv::Mat SyntheticTexture(int size, const cv::Vec3f& color, KeyedRng* rng) {
  const auto cells = static_cast<int>(rng->Integer(3, 12));
  cv::Mat grid(cells, cells, CV_32FC3);
  const double blotch = rng->Uniform(3, 14);
  for (int y = 0; y < cells; ++y) {
    for (int x = 0; x < cells; ++x) {
      const double light = rng->Normal() * blotch;
      for (int c = 0; c < 3; ++c) {
        grid.at<cv::Vec3f>(y, x)[c] = static_cast<float>(color[c] + light + rng->Normal() * blotch / 3);
      }
    }
  }
  cv::Mat texture;
  cv::resize(grid, texture, cv::Size(size, size), 0, 0, cv::INTER_LINEAR);
  if (rng->Coin()) {
    const double angle = rng->Uniform(0, kPi);
    const double frequency = rng->Uniform(3, 12) * 2 * kPi / size;
    const double amplitude = rng->Uniform(5, 18);
    const double phase = rng->Uniform(0, 2 * kPi);
    const double fx = std::cos(angle) * frequency;
    const double fy = std::sin(angle) * frequency;
    for (int y = 0; y < size; ++y) {
      auto* row = texture.ptr<cv::Vec3f>(y);
      for (int x = 0; x < size; ++x) {
        const auto wave = static_cast<float>(amplitude * std::sin(fx * x + fy * y + phase));
        row[x] += cv::Vec3f(wave, wave, wave);
      }
    }
  }
  return texture;
}

void DrawFragments(cv::Mat* canvas, int count, KeyedRng* rng) {
  const int size = canvas->cols;
  for (int i = 0; i < count; ++i) {
    const cv::Scalar color = ToScalar(SyntheticColor(rng));
    const auto thickness = static_cast<int>(rng->Integer(1, std::max(2, size / 28)));
    const cv::Point from(static_cast<int>(rng->Integer(0, size - 1)), static_cast<int>(rng->Integer(0, size - 1)));
    const double angle = rng->Uniform(0, 2 * kPi);
    const double length = rng->Uniform(0.08, 0.3) * size;
    if (rng->Coin()) {
      const cv::Point to(from.x + static_cast<int>(length * std::cos(angle)),
                         from.y + static_cast<int>(length * std::sin(angle)));
      cv::line(*canvas, from, to, color, thickness);
    } else {
      const auto radius = static_cast<int>(std::max(2.0, length / 2));
      const double span = rng->Uniform(40, 130);
      cv::ellipse(*canvas, from, cv::Size(radius, radius), angle * 180 / kPi, 0, span, color, thickness);
    }
  }
}

SyntheticPlacement SyntheticTilt(double scale, KeyedRng* rng) {
  SyntheticPlacement p;
  p.scale = scale;
  p.angle = rng->Uniform(-0.3 * kPi, 0.3 * kPi);
  p.stretch = rng->Uniform(0.85, 1.15);
  p.shear = rng->Uniform(-0.15, 0.15);
  return p;
}

cv::Mat SyntheticMask(int class_index, int canvas_size, const SyntheticPlacement& placement) {
  const Figure& figure = Figures().at(static_cast<size_t>(class_index)).second;
  const cv::Matx23d transform = TransformOf(placement);
  cv::Mat mask = cv::Mat::zeros(canvas_size, canvas_size, CV_8U);
  std::vector<std::vector<cv::Point>> outline = {Place(figure.outline, transform)};
  cv::fillPoly(mask, outline, 255, cv::LINE_8, 4);
  if (!figure.hole.empty()) {
    std::vector<std::vector<cv::Point>> hole = {Place(figure.hole, transform)};
    cv::fillPoly(mask, hole, 0, cv::LINE_8, 4);
  }
  return mask;
}

Image FinishPicture(const cv::Mat& canvas, int size, KeyedRng* rng) {
  cv::Mat small;
  cv::resize(canvas, small, cv::Size(size, size), 0, 0, cv::INTER_AREA);
  if (rng->Coin()) cv::GaussianBlur(small, small, cv::Size(3, 3), rng->Uniform(0.3, 0.9));
  const double gain = rng->Uniform(0.75, 1.25);
  const double offset = rng->Uniform(-25, 25);
  const double noise = rng->Uniform(0, 10);
  Image image;
  image.width = image.height = size;
  image.pixels.resize(image.RowBytes() * size);
  for (int y = 0; y < size; ++y) {
    const auto* row = small.ptr<float>(y);
    for (int x = 0; x < size * 3; ++x) {
      const double value = (row[x] - 128) * gain + 128 + offset + (rng->Uniform() + rng->Uniform() - 1) * 2.45 * noise;
      image.pixels[image.RowBytes() * y + x] = static_cast<uint8_t>(std::clamp(value + 0.5, 0.0, 255.0));
    }
  }
  return image;
}

// Without WriteFileAtomic's fsync, which takes longer than the drawing; whatever breaks here can be drawn again.
void WriteQuickly(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  OCTET_REQUIRE(out.good(), "cannot write '{}': {}", path, std::strerror(errno));
}

}  // namespace octet::data
