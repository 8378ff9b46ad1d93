#include "data/detection_transform.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "data/color_ops.h"
#include "data/detection_loader.h"

namespace octet::data {
namespace {

constexpr double kMaxLevel = 15;  // of AutoAugment's 0 to 10

// Two source pixels and the weight of the second, for each output pixel along one axis.
struct Tap {
  int low = 0;
  int high = 0;
  float weight = 0;
};

std::vector<Tap> Taps(int from, int scaled, int offset, int count, bool flip) {
  std::vector<Tap> taps(count);
  const double step = static_cast<double>(from) / scaled;
  for (int i = 0; i < count; ++i) {
    const double at = std::clamp((i + offset + 0.5) * step - 0.5, 0.0, from - 1.0);
    const int low = static_cast<int>(at);
    const int high = std::min(low + 1, from - 1);
    taps[i] = {flip ? from - 1 - low : low, flip ? from - 1 - high : high, static_cast<float>(at - low)};
  }
  return taps;
}

}  // namespace

Placement FitPlacement(int image_width, int image_height, int width, int height) {
  Placement p;
  p.scale = std::min(static_cast<double>(height) / image_height, static_cast<double>(width) / image_width);
  // The larger side fills the input exactly; a product a hair below a whole number must not lose a pixel.
  p.scaled_width = std::clamp(static_cast<int>(image_width * p.scale + 1e-6), 1, width);
  p.scaled_height = std::clamp(static_cast<int>(image_height * p.scale + 1e-6), 1, height);
  return p;
}

Placement RandomPlacement(int image_width, int image_height, int width, int height, double min_scale, double max_scale,
                          bool may_flip, KeyedRng* rng) {
  const double factor = rng->Uniform(min_scale, max_scale);
  Placement p = FitPlacement(image_width, image_height, std::max(1, static_cast<int>(factor * width)),
                             std::max(1, static_cast<int>(factor * height)));
  p.offset_x = static_cast<int>(std::max(0, p.scaled_width - width) * rng->Uniform());
  p.offset_y = static_cast<int>(std::max(0, p.scaled_height - height) * rng->Uniform());
  p.flip = may_flip && rng->Coin();
  return p;
}

void PlaceImage(const Image& image, const Placement& p, int width, int height, float* out) {
  OCTET_CHECK(image.channels == 3 && image.depth == 8, "{} channels of {} bits", image.channels, image.depth);
  const size_t plane = static_cast<size_t>(width) * height;
  std::fill(out, out + 3 * plane, 0.0f);
  const std::vector<Tap> columns =
      Taps(image.width, p.scaled_width, p.offset_x, std::min(width, p.scaled_width - p.offset_x), p.flip);
  const std::vector<Tap> rows =
      Taps(image.height, p.scaled_height, p.offset_y, std::min(height, p.scaled_height - p.offset_y), false);
  float scale[3], shift[3];
  for (int c = 0; c < 3; ++c) {
    scale[c] = 1.0f / (255.0f * kDetectionDeviation[c]);
    shift[c] = kDetectionMean[c] / kDetectionDeviation[c];
  }
  for (size_t y = 0; y < rows.size(); ++y) {
    const uint8_t* top = &image.pixels[rows[y].low * image.RowBytes()];
    const uint8_t* bottom = &image.pixels[rows[y].high * image.RowBytes()];
    const float v = rows[y].weight;
    for (size_t x = 0; x < columns.size(); ++x) {
      const Tap& tap = columns[x];
      for (int c = 0; c < 3; ++c) {
        const float tl = top[tap.low * 3 + c], tr = top[tap.high * 3 + c];
        const float bl = bottom[tap.low * 3 + c], br = bottom[tap.high * 3 + c];
        const float upper = tl + (tr - tl) * tap.weight, lower = bl + (br - bl) * tap.weight;
        out[c * plane + y * width + x] = (upper + (lower - upper) * v) * scale[c] - shift[c];
      }
    }
  }
}

std::vector<Box> PlaceBoxes(const std::vector<Box>& boxes, const Placement& p, int image_width, int width, int height) {
  std::vector<Box> placed;
  for (Box box : boxes) {
    if (p.flip) {
      const float x1 = static_cast<float>(image_width) - box.x2;
      box.x2 = static_cast<float>(image_width) - box.x1;
      box.x1 = x1;
    }
    const auto place = [&](float v, int offset, int size) {
      return static_cast<float>(std::clamp(v * p.scale - offset, 0.0, size - 1.0));
    };
    box.x1 = place(box.x1, p.offset_x, width);
    box.x2 = place(box.x2, p.offset_x, width);
    box.y1 = place(box.y1, p.offset_y, height);
    box.y2 = place(box.y2, p.offset_y, height);
    box.area = static_cast<float>(box.area * p.scale * p.scale);
    if (box.x2 > box.x1 && box.y2 > box.y1) placed.push_back(box);
  }
  return placed;
}

void DistortColor(KeyedRng* rng, Image* image) {
  const int64_t op = rng->Integer(0, 4);
  const double factor = rng->Uniform(0, kMaxLevel) / 10 * 1.8 + 0.1;
  switch (op) {
    case 0: Equalize(image); break;
    case 1: AdjustColor(factor, image); break;
    case 2: AdjustContrast(factor, image); break;
    case 3: AdjustBrightness(factor, image); break;
    default: AdjustSharpness(factor, image); break;
  }
}

void TranslateXY(KeyedRng* rng, Image* image, std::vector<Box>* boxes) {
  const bool along_x = rng->Coin();
  int shift = static_cast<int>(rng->Uniform(0, kMaxLevel) / 10 * 50);
  if (rng->Coin()) shift = -shift;
  const int dx = along_x ? shift : 0, dy = along_x ? 0 : shift;
  Image moved = *image;
  std::fill(moved.pixels.begin(), moved.pixels.end(), uint8_t{128});
  const int x0 = std::max(0, dx), x1 = std::min(image->width, image->width + dx);
  for (int y = std::max(0, dy); y < std::min(image->height, image->height + dy) && x0 < x1; ++y) {
    std::memcpy(&moved.pixels[y * image->RowBytes() + x0 * 3],
                &image->pixels[(y - dy) * image->RowBytes() + (x0 - dx) * 3], static_cast<size_t>(x1 - x0) * 3);
  }
  *image = std::move(moved);
  std::vector<Box> kept;
  for (Box box : *boxes) {
    const auto w = static_cast<float>(image->width), h = static_cast<float>(image->height);
    box.x1 = std::clamp(box.x1 + dx, 0.0f, w);
    box.x2 = std::clamp(box.x2 + dx, 0.0f, w);
    box.y1 = std::clamp(box.y1 + dy, 0.0f, h);
    box.y2 = std::clamp(box.y2 + dy, 0.0f, h);
    if (box.x2 - box.x1 >= 1 && box.y2 - box.y1 >= 1) kept.push_back(box);
  }
  *boxes = std::move(kept);
}

}  // namespace octet::data
