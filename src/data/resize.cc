#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace octet::data {
namespace {

constexpr int kFixedBits = 22;  // 32 bits less 8 of the sample less 2 of overshoot

// Output i reads input [first, first + count) with weights at weight[i * stride].
struct Taps {
  int stride = 0;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<double> weight;
  std::vector<int32_t> fixed;
};

double Triangle(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

Taps MakeTaps(int in, int out, int begin, int end, Interpolation interpolation) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(1.0, scale);
  const double support = (interpolation == Interpolation::kBilinear ? 1.0 : 2.0) * stretch;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weight.resize(static_cast<size_t>(end - begin) * taps.stride);
  for (int i = begin; i < end; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int last = std::min(in, static_cast<int>(center + support + 0.5));
    double* weight = taps.weight.data() + static_cast<size_t>(i - begin) * taps.stride;
    double sum = 0;
    for (int k = first; k < last; ++k) {
      const double x = (k - center + 0.5) / stretch;
      weight[k - first] = interpolation == Interpolation::kBilinear ? Triangle(x) : Cubic(x);
      sum += weight[k - first];
    }
    for (int k = first; k < last; ++k) weight[k - first] /= sum;
    taps.first.push_back(first);
    taps.count.push_back(last - first);
  }
  for (const double w : taps.weight) {
    taps.fixed.push_back(static_cast<int32_t>(w * (1 << kFixedBits) + (w < 0 ? -0.5 : 0.5)));
  }
  return taps;
}

uint8_t FromFixed(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFixedBits, 0, 255));
}
uint16_t FromDouble(double sum) {
  return static_cast<uint16_t>(std::clamp(std::floor(sum + 0.5), 0.0, 65535.0));
}

template <int kChannels>
void HorizontalRow(const uint8_t* in, const Taps& taps, uint8_t* out) {
  const int width = static_cast<int>(taps.first.size());
  for (int x = 0; x < width; ++x) {
    const int32_t* weight = taps.fixed.data() + static_cast<size_t>(x) * taps.stride;
    const uint8_t* pixel = in + static_cast<size_t>(taps.first[x]) * kChannels;
    int32_t sum[kChannels];
    for (int c = 0; c < kChannels; ++c) sum[c] = 1 << (kFixedBits - 1);
    for (int k = 0; k < taps.count[x]; ++k, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) sum[c] += pixel[c] * weight[k];
    }
    for (int c = 0; c < kChannels; ++c) *out++ = FromFixed(sum[c]);
  }
}

void HorizontalRow16(const uint16_t* in, const Taps& taps, uint16_t* out) {
  for (size_t x = 0; x < taps.first.size(); ++x) {
    double sum = 0;
    for (int k = 0; k < taps.count[x]; ++k) sum += in[taps.first[x] + k] * taps.weight[x * taps.stride + k];
    out[x] = FromDouble(sum);
  }
}

Image Blank(const Image& like, int width, int height) {
  Image out;
  out.width = width;
  out.height = height;
  out.channels = like.channels;
  out.depth = like.depth;
  out.pixels.resize(out.RowBytes() * height);
  return out;
}

Image CopyColumns(const Image& image, int row_begin, int row_end, int x, int width) {
  Image out = Blank(image, width, row_end - row_begin);
  const size_t pixel = static_cast<size_t>(image.channels) * (image.depth / 8);
  for (int y = row_begin; y < row_end; ++y) {
    std::memcpy(out.pixels.data() + out.RowBytes() * (y - row_begin),
                image.pixels.data() + image.RowBytes() * y + pixel * x, out.RowBytes());
  }
  return out;
}

// Rows [row_begin, row_end) of the image, columns resized.
Image Horizontal(const Image& image, const Taps& taps, int row_begin, int row_end) {
  Image out = Blank(image, static_cast<int>(taps.first.size()), row_end - row_begin);
  for (int y = row_begin; y < row_end; ++y) {
    const uint8_t* from = image.pixels.data() + image.RowBytes() * y;
    uint8_t* to = out.pixels.data() + out.RowBytes() * (y - row_begin);
    if (image.depth == 16) {
      HorizontalRow16(reinterpret_cast<const uint16_t*>(from), taps, reinterpret_cast<uint16_t*>(to));
    } else if (image.channels == 3) {
      HorizontalRow<3>(from, taps, to);
    } else {
      HorizontalRow<1>(from, taps, to);
    }
  }
  return out;
}

// `image` starts at row `row_begin` of the picture that the taps speak of.
Image Vertical(const Image& image, const Taps& taps, int row_begin) {
  const int height = static_cast<int>(taps.first.size());
  Image out = Blank(image, image.width, height);
  const int samples = image.width * image.channels;
  std::vector<int32_t> sum(samples);
  std::vector<double> sum16(image.depth == 16 ? samples : 0);
  for (int y = 0; y < height; ++y) {
    const uint8_t* from = image.pixels.data() + image.RowBytes() * (taps.first[y] - row_begin);
    uint8_t* to = out.pixels.data() + out.RowBytes() * y;
    if (image.depth == 16) {
      std::fill(sum16.begin(), sum16.end(), 0.0);
      for (int k = 0; k < taps.count[y]; ++k, from += image.RowBytes()) {
        const double weight = taps.weight[static_cast<size_t>(y) * taps.stride + k];
        for (int i = 0; i < samples; ++i) sum16[i] += reinterpret_cast<const uint16_t*>(from)[i] * weight;
      }
      for (int i = 0; i < samples; ++i) reinterpret_cast<uint16_t*>(to)[i] = FromDouble(sum16[i]);
      continue;
    }
    std::fill(sum.begin(), sum.end(), 1 << (kFixedBits - 1));
    for (int k = 0; k < taps.count[y]; ++k, from += image.RowBytes()) {
      const int32_t weight = taps.fixed[static_cast<size_t>(y) * taps.stride + k];
      int32_t* __restrict s = sum.data();
      for (int i = 0; i < samples; ++i) s[i] += from[i] * weight;
    }
    for (int i = 0; i < samples; ++i) to[i] = FromFixed(sum[i]);
  }
  return out;
}

}  // namespace

Image ResizeWindow(const Image& image, int full_width, int full_height, const Window& window,
                   Interpolation interpolation) {
  OCTET_CHECK(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
                  window.x + window.width <= full_width && window.y + window.height <= full_height,
              "window {},{} {}x{} is not inside {}x{}", window.x, window.y, window.width, window.height, full_width,
              full_height);
  const bool keep_rows = full_height == image.height;
  Taps rows;
  int row_begin = window.y;
  int row_end = window.y + window.height;
  if (!keep_rows) {
    rows = MakeTaps(image.height, full_height, window.y, window.y + window.height, interpolation);
    row_begin = rows.first.front();
    row_end = rows.first.back() + rows.count.back();
  }
  const Image narrow =
      full_width == image.width
          ? CopyColumns(image, row_begin, row_end, window.x, window.width)
          : Horizontal(image, MakeTaps(image.width, full_width, window.x, window.x + window.width, interpolation),
                       row_begin, row_end);
  return keep_rows ? narrow : Vertical(narrow, rows, row_begin);
}

Image Resize(const Image& image, int width, int height, Interpolation interpolation) {
  return ResizeWindow(image, width, height, {0, 0, width, height}, interpolation);
}

}  // namespace octet::data
