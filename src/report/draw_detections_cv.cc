#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "report/draw_detections.h"

namespace octet::report {
namespace {

struct Style {
  int frame = 2;       // width of a frame's colored line
  double font = 0.4;   // OpenCV's scale
  int font_width = 1;  // of the strokes
  int margin = 2;      // around the text
};

// Grows with the picture, and stays legible on small ones.
Style StyleFor(const cv::Mat& picture) {
  const double side = std::max(picture.cols, picture.rows);
  Style style;
  style.frame = std::max(2, static_cast<int>(std::lround(side / 420)));
  style.font = std::clamp(side / 1400, 0.36, 2.0);
  style.font_width = std::max(1, static_cast<int>(std::lround(style.font * 1.6)));
  style.margin = std::max(2, static_cast<int>(std::lround(style.font * 6)));
  return style;
}

cv::Scalar Color(int label) {
  const std::vector<uint8_t> c = ClassColor(label);
  return {double(c[0]), double(c[1]), double(c[2])};
}

// Black on light grounds, white on dark ones.
cv::Scalar TextColor(const cv::Scalar& ground) {
  const double luma = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2];
  return luma > 140 ? cv::Scalar(0, 0, 0) : cv::Scalar(255, 255, 255);
}

// One ring of pixels, `out` pixels outside the box, or at the picture's edge.
void DrawRing(const cv::Rect& box, int out, const cv::Scalar& color, cv::Mat* picture) {
  const cv::Rect ring(box.x - out, box.y - out, box.width + 2 * out, box.height + 2 * out);
  const cv::Rect visible = ring & cv::Rect(0, 0, picture->cols, picture->rows);
  if (!visible.empty()) cv::rectangle(*picture, visible, color, 1);
}

// Around the object, between two dark lines.
void DrawFrame(const cv::Rect& box, const cv::Scalar& color, const Style& style, cv::Mat* picture) {
  DrawRing(box, -1, {0, 0, 0}, picture);
  DrawRing(box, style.frame, {0, 0, 0}, picture);
  for (int out = 0; out < style.frame; ++out) DrawRing(box, out, color, picture);
}

// The place near the box where the label is inside the picture and covers least of the labels that are there.
cv::Rect PlaceLabel(const cv::Rect& box, const cv::Size& size, const cv::Size& picture,
                    const std::vector<cv::Rect>& taken) {
  const cv::Point places[] = {{box.x, box.y - size.height},               // above
                              {box.x, box.y + box.height},                // below
                              {box.x, box.y},                             // inside, top
                              {box.x, box.y + box.height - size.height},  // inside, bottom
                              {box.x + box.width, box.y},                 // right
                              {box.x - size.width, box.y}};               // left
  cv::Rect best;
  double least = 1e18;
  for (const cv::Point& place : places) {
    cv::Rect at(place, size);
    at.x = std::clamp(at.x, 0, std::max(0, picture.width - size.width));
    at.y = std::clamp(at.y, 0, std::max(0, picture.height - size.height));
    double cost = std::abs(at.x - place.x) + 4.0 * std::abs(at.y - place.y);  // moved away from its box
    for (const cv::Rect& other : taken) cost += 10.0 * (at & other).area();
    if (cost < least) {
      least = cost;
      best = at;
    }
  }
  return best;
}

std::string Caption(const detection::Detection& d, const DrawOptions& options) {
  const std::string name = d.label >= 0 && d.label < static_cast<int>(options.classes.size())
                               ? options.classes[d.label]
                               : fmt::format("class {}", d.label);
  return fmt::format("{} {:.0f} %", name, 100 * d.score);
}

}  // namespace

std::vector<uint8_t> ClassColor(int label) {
  // Hues by the golden angle; every third round lighter, then darker.
  const double hue = std::fmod(200 + 137.50776 * label, 360) / 60;
  const double value = (label / 8) % 3 == 2 ? 0.62 : 0.95, saturation = (label / 8) % 3 == 1 ? 0.45 : 0.85;
  std::vector<uint8_t> color;
  for (const double shift : {5.0, 3.0, 1.0}) {
    const double k = std::fmod(shift + hue, 6);
    const double part = value * (1 - saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0));
    color.push_back(static_cast<uint8_t>(std::lround(255 * part)));
  }
  return color;
}

data::Image DrawDetections(const data::Image& image, const std::vector<detection::Detection>& detections,
                           const DrawOptions& options) {
  OCTET_CHECK(image.channels == 3 && image.depth == 8, "{} channels of {} bits", image.channels, image.depth);
  std::vector<detection::Detection> shown;
  for (const detection::Detection& d : detections) {
    if (d.score >= options.min_score) shown.push_back(d);
  }
  std::stable_sort(shown.begin(), shown.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  if (shown.size() > static_cast<size_t>(std::max(0, options.max_boxes))) shown.resize(options.max_boxes);

  data::Image drawn = image;
  cv::Mat picture(drawn.height, drawn.width, CV_8UC3, drawn.pixels.data());
  const Style style = StyleFor(picture);
  const cv::Rect whole(0, 0, drawn.width, drawn.height);
  std::vector<cv::Rect> boxes;
  for (const detection::Detection& d : shown) {
    const auto pixel = [](float v) { return static_cast<int>(std::lround(std::clamp(v, -1e6f, 1e6f))); };
    boxes.push_back(cv::Rect(cv::Point(pixel(d.x1), pixel(d.y1)), cv::Point(pixel(d.x2), pixel(d.y2))) & whole);
  }
  // The best on top, and labels above all frames.
  for (size_t i = shown.size(); i-- > 0;) DrawFrame(boxes[i], Color(shown[i].label), style, &picture);
  std::vector<cv::Rect> taken;
  for (size_t i = 0; i < shown.size(); ++i) {
    const std::string caption = Caption(shown[i], options);
    int below = 0;
    const cv::Size text = cv::getTextSize(caption, cv::FONT_HERSHEY_SIMPLEX, style.font, style.font_width, &below);
    const cv::Size size(text.width + 2 * style.margin, text.height + below + style.margin);
    const cv::Rect label = PlaceLabel(boxes[i], size, whole.size(), taken);
    taken.push_back(label);
    const cv::Scalar color = Color(shown[i].label);
    cv::rectangle(picture, label, color, cv::FILLED);
    cv::rectangle(picture, label, {0, 0, 0}, 1);
    cv::putText(picture, caption, {label.x + style.margin, label.y + style.margin / 2 + text.height + 1},
                cv::FONT_HERSHEY_SIMPLEX, style.font, TextColor(color), style.font_width, cv::LINE_AA);
  }
  return drawn;
}

}  // namespace octet::report
