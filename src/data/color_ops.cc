#include "data/color_ops.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace octet::data {
namespace {

void CheckRgb(const Image& image) {
  OCTET_CHECK(image.channels == 3 && image.depth == 8, "{} channels of {} bits", image.channels, image.depth);
}

// ITU-R 601, in Pillow's fixed point.
int Luma(const uint8_t* p) {
  return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

uint8_t Blend(double from, double to, double factor) {
  return static_cast<uint8_t>(std::clamp(from + factor * (to - from), 0.0, 255.0));
}

}  // namespace

void Equalize(Image* image) {
  CheckRgb(*image);
  const size_t pixels = image->pixels.size() / 3;
  for (int c = 0; c < 3; ++c) {
    std::array<int64_t, 256> count{};
    for (size_t i = 0; i < pixels; ++i) ++count[image->pixels[i * 3 + c]];
    int last = 255;
    while (last > 0 && count[last] == 0) --last;
    const int64_t step = (static_cast<int64_t>(pixels) - count[last]) / 255;
    if (step == 0) continue;
    std::array<uint8_t, 256> table;
    int64_t sum = step / 2;
    for (int v = 0; v < 256; ++v) {
      table[v] = static_cast<uint8_t>(std::min<int64_t>(255, sum / step));
      sum += count[v];
    }
    for (size_t i = 0; i < pixels; ++i) image->pixels[i * 3 + c] = table[image->pixels[i * 3 + c]];
  }
}

void AdjustColor(double factor, Image* image) {
  CheckRgb(*image);
  for (size_t i = 0; i < image->pixels.size(); i += 3) {
    uint8_t* p = &image->pixels[i];
    const int gray = Luma(p);
    for (int c = 0; c < 3; ++c) p[c] = Blend(gray, p[c], factor);
  }
}

void AdjustContrast(double factor, Image* image) {
  CheckRgb(*image);
  int64_t sum = 0;
  for (size_t i = 0; i < image->pixels.size(); i += 3) sum += Luma(&image->pixels[i]);
  const double count = static_cast<double>(std::max<size_t>(1, image->pixels.size() / 3));
  const double mean = std::floor(static_cast<double>(sum) / count + 0.5);
  for (uint8_t& v : image->pixels) v = Blend(mean, v, factor);
}

void AdjustBrightness(double factor, Image* image) {
  CheckRgb(*image);
  for (uint8_t& v : image->pixels) v = Blend(0, v, factor);
}

void AdjustSharpness(double factor, Image* image) {
  CheckRgb(*image);
  const Image from = *image;
  const auto row = static_cast<int64_t>(from.RowBytes());
  for (int y = 1; y + 1 < from.height; ++y) {
    for (int64_t x = 3; x + 3 < row; ++x) {
      const uint8_t* p = &from.pixels[y * row + x];
      int sum = 4 * p[0];
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -3; dx <= 3; dx += 3) sum += p[dy * row + dx];
      }
      const int smooth = (sum * 2 + 13) / 26;  // rounded sum / 13
      image->pixels[y * row + x] = Blend(smooth, p[0], factor);
    }
  }
}

}  // namespace octet::data
