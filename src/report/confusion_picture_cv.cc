#include <algorithm>
#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "base/files.h"
#include "report/confusion_picture.h"

namespace octet::report {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr int kMargin = 14;
constexpr size_t kLongestName = 24;
const cv::Scalar kBlack(30, 30, 30);
const cv::Scalar kWhite(255, 255, 255);
const cv::Scalar kGrid(205, 205, 205);

std::string Printable(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xc0) continue;  // the rest of a letter in UTF-8
    out += byte >= 0x20 && byte < 0x7f ? c : '?';
  }
  return out.size() <= kLongestName ? out : out.substr(0, kLongestName - 2) + "..";
}

// White to dark blue; share in [0, 1].
cv::Scalar Shade(double share) {
  const double t = std::sqrt(share);  // small errors must be seen
  return {255 - t * (255 - 107), 255 - t * (255 - 48), 255 - t * (255 - 8)};
}

struct Text {
  double scale;
  cv::Size SizeOf(const std::string& text) const {
    int baseline = 0;
    return cv::getTextSize(text, kFont, scale, 1, &baseline);
  }
  void Put(cv::Mat& picture, const std::string& text, cv::Point left_bottom, const cv::Scalar& color) const {
    cv::putText(picture, text, left_bottom, kFont, scale, color, 1, cv::LINE_AA);
  }
  // From bottom to top, its middle line at `x`, its end at `bottom`.
  void PutUpwards(cv::Mat& picture, const std::string& text, int x, int bottom) const {
    const cv::Size size = SizeOf(text);
    cv::Mat line(size.height + 8, size.width + 4, CV_8UC3, kWhite);
    Put(line, text, {2, size.height + 3}, kBlack);
    cv::rotate(line, line, cv::ROTATE_90_COUNTERCLOCKWISE);
    const cv::Rect wanted(x - line.cols / 2, bottom - line.rows, line.cols, line.rows);
    const cv::Rect inside = wanted & cv::Rect(0, 0, picture.cols, picture.rows);
    if (inside.area() > 0) line(inside - wanted.tl()).copyTo(picture(inside));
  }
};

struct Layout {
  int cell;
  bool counts;  // numbers in the cells
  bool names;
};

Layout LayoutFor(size_t classes) {
  if (classes <= 12) return {58, true, true};
  if (classes <= 30) return {40, true, true};
  if (classes <= 100) return {15, false, true};
  return {std::max(1, static_cast<int>(1400 / classes)), false, false};
}

}  // namespace

void WriteConfusionPicture(const std::string& path, const std::string& title, const std::vector<std::string>& classes,
                           const std::vector<std::vector<int64_t>>& confusion) {
  const auto n = static_cast<int>(classes.size());
  OCTET_CHECK(n > 0 && confusion.size() == classes.size(), "{} classes, {} rows", n, confusion.size());
  const Layout layout = LayoutFor(classes.size());
  const Text text{0.5};
  const Text small{layout.cell >= 40 ? 0.42 : 0.36};
  std::vector<std::string> names;
  int longest = 0;
  for (const std::string& name : classes) {
    names.push_back(layout.names ? Printable(name) : "");
    longest = std::max(longest, small.SizeOf(names.back()).width);
  }
  const int side = layout.cell * n;
  const int left = kMargin + 26 + longest + 10;  // "true class", names
  const int top = kMargin + 54 + longest + 10;   // title, "predicted class", names
  const int bar = left + side + 26;
  const int width = std::max(bar + 18 + 60, left + text.SizeOf(title).width + kMargin);
  const int height = top + std::max(side, 120) + kMargin + 6;
  cv::Mat picture(height, width, CV_8UC3, kWhite);
  text.Put(picture, title, {left, kMargin + 14}, kBlack);
  text.Put(picture, "predicted class", {left, kMargin + 40}, kBlack);
  text.PutUpwards(picture, "true class", kMargin + 8, top + std::min(side, 90));
  for (int row = 0; row < n; ++row) {
    int64_t images = 0;
    for (const int64_t count : confusion[row]) images += count;
    const int y = top + row * layout.cell;
    const cv::Size size = small.SizeOf(names[row]);
    small.Put(picture, names[row], {left - 8 - size.width, y + (layout.cell + size.height) / 2}, kBlack);
    small.PutUpwards(picture, names[row], left + row * layout.cell + layout.cell / 2, top - 6);
    for (int column = 0; column < n; ++column) {
      const int64_t count = confusion[row].at(column);
      const double share = images > 0 ? static_cast<double>(count) / static_cast<double>(images) : 0;
      const cv::Rect cell(left + column * layout.cell, y, layout.cell, layout.cell);
      cv::rectangle(picture, cell, Shade(share), cv::FILLED);
      if (layout.cell >= 8) cv::rectangle(picture, cell, kGrid, 1);
      if (!layout.counts || count == 0) continue;
      std::string number = std::to_string(count);
      if (small.SizeOf(number).width > layout.cell - 4) number = fmt::format("{:.0f}%", 100 * share);
      const cv::Size extent = small.SizeOf(number);
      small.Put(picture, number, {cell.x + (cell.width - extent.width) / 2, y + (cell.height + extent.height) / 2},
                share > 0.25 ? kWhite : kBlack);
    }
  }
  cv::rectangle(picture, {left, top, side, side}, kBlack, 1);
  const int bar_height = std::max(side, 120);
  for (int i = 0; i < bar_height; ++i) {
    cv::line(picture, {bar, top + i}, {bar + 17, top + i}, Shade(1.0 - static_cast<double>(i) / bar_height), 1);
  }
  cv::rectangle(picture, {bar, top, 18, bar_height}, kBlack, 1);
  for (const int percent : {0, 25, 50, 75, 100}) {
    const int y = top + bar_height - bar_height * percent / 100;
    small.Put(picture, fmt::format("{} %", percent), {bar + 24, y + 4}, kBlack);
  }
  std::vector<uint8_t> png;
  OCTET_CHECK(cv::imencode(".png", picture, png), "PNG encoder");
  WriteFileAtomic(path, std::string_view(reinterpret_cast<const char*>(png.data()), png.size()));
}

}  // namespace octet::report
