#include "data/preprocess.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace octet::data {
namespace {

constexpr int kCropPadding = 32;
constexpr double kMinCropFraction = 0.45;
constexpr double kMaxHueDegrees = 25.0;
constexpr double kMaxSaturationShift = 0.2;
constexpr double kMaxContrastShift = 0.1;

struct Size {
  int width;
  int height;
};

// Smallest size of the image's aspect ratio that covers width x height.
Size Covering(const Image& image, double width, double height, const PreprocessOptions& target) {
  const double ratio = std::max(width / image.width, height / image.height);
  // The product may fall short of a whole number by a rounding error.
  return {std::max(target.width, static_cast<int>(image.width * ratio)),
          std::max(target.height, static_cast<int>(image.height * ratio))};
}

int RoundHalfToEven(double value) {
  return static_cast<int>(std::nearbyint(value));
}

void FlipHorizontally(Image* image) {
  const size_t pixel = static_cast<size_t>(image->channels) * (image->depth / 8);
  for (int y = 0; y < image->height; ++y) {
    uint8_t* row = image->pixels.data() + image->RowBytes() * y;
    for (int a = 0, b = image->width - 1; a < b; ++a, --b) {
      std::swap_ranges(row + a * pixel, row + (a + 1) * pixel, row + b * pixel);
    }
  }
}

int Mirrored(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  i = std::abs(i) % period;
  return i < size ? i : period - i;
}

Image Shifted(const Image& image, int dx, int dy) {
  Image out = image;
  const size_t pixel = static_cast<size_t>(image.channels) * (image.depth / 8);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* from = image.pixels.data() + image.RowBytes() * Mirrored(y + dy, image.height);
    uint8_t* to = out.pixels.data() + out.RowBytes() * y;
    for (int x = 0; x < image.width; ++x) {
      std::copy_n(from + pixel * Mirrored(x + dx, image.width), pixel, to + pixel * x);
    }
  }
  return out;
}

// Rotation about the gray axis by `hue` radians and a stretch of the distance from it, then contrast around 1/2.
void Recolor(Image* image, double hue, double saturation, double contrast) {
  const double c = std::cos(hue) * saturation;
  const double s = std::sin(hue) * saturation / std::sqrt(3.0);
  const double same = (1.0 - c) / 3.0 + c;
  const double next = (1.0 - c) / 3.0 - s;
  const double last = (1.0 - c) / 3.0 + s;
  const double offset = 127.5 * (1.0 - contrast);
  const auto clamp = [&](double v) {
    return static_cast<uint8_t>(std::clamp(std::floor(v * contrast + offset + 0.5), 0.0, 255.0));
  };
  for (size_t i = 0; i + 2 < image->pixels.size(); i += 3) {
    uint8_t* p = image->pixels.data() + i;
    const double r = p[0];
    const double g = p[1];
    const double b = p[2];
    p[0] = clamp(same * r + next * g + last * b);
    p[1] = clamp(last * r + same * g + next * b);
    p[2] = clamp(next * r + last * g + same * b);
  }
}

}  // namespace

PreprocessMode PreprocessModeFromName(const std::string& name) {
  if (name == "caffe") return PreprocessMode::kCaffe;
  if (name == "torch") return PreprocessMode::kTorch;
  if (name == "tf") return PreprocessMode::kTf;
  if (name == "affine") return PreprocessMode::kAffine;
  OCTET_FAIL("unknown preprocess mode '{}'; expected caffe, torch, tf or affine", name);
}

Interpolation InterpolationFromName(const std::string& name) {
  if (name == "bilinear") return Interpolation::kBilinear;
  if (name == "bicubic") return Interpolation::kBicubic;
  OCTET_FAIL("unknown interpolation '{}'; expected bilinear or bicubic", name);
}

const char* NameOf(PreprocessMode mode) {
  switch (mode) {
    case PreprocessMode::kCaffe: return "caffe";
    case PreprocessMode::kTorch: return "torch";
    case PreprocessMode::kTf: return "tf";
    case PreprocessMode::kAffine: return "affine";
  }
  return "caffe";
}

const char* NameOf(Interpolation interpolation) {
  return interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear";
}

Preprocessor::Preprocessor(PreprocessOptions options) : options_(std::move(options)) {
  const PreprocessOptions& o = options_;
  OCTET_REQUIRE(o.channels == 1 || o.channels == 3, "images have 1 or 3 channels, not {}", o.channels);
  OCTET_REQUIRE(o.depth == 8 || (o.depth == 16 && o.channels == 1),
                "model.input_image_depth 16 is for gray images (model.input_channels 1)");
  OCTET_REQUIRE(o.channels == 1 || o.mode != PreprocessMode::kCaffe || o.image_mean.size() == 3,
                "dataset.image_mean needs 3 values (blue, green, red) for color images, got {}", o.image_mean.size());
  if (o.mode == PreprocessMode::kAffine) {
    for (const std::vector<double>* list : {&o.image_mean, &o.image_std}) {
      OCTET_REQUIRE(list->size() == 1 || list->size() == static_cast<size_t>(o.channels),
                    "mean and std of images with {} channels: expected one value or one a channel, got {}", o.channels,
                    list->size());
    }
    for (const double v : o.image_std) OCTET_REQUIRE(v > 0, "std of images is {}; expected a positive number", v);
  }
  if (o.depth == 16) return;
  table_.resize(static_cast<size_t>(o.channels) * 256);
  for (int c = 0; c < o.channels; ++c) {
    for (int v = 0; v < 256; ++v) table_[c * 256 + v] = NormalizeValue(v, c);
  }
}

float Preprocessor::NormalizeValue(double value, int output_channel) const {
  static constexpr double kMean[] = {0.485, 0.456, 0.406};
  static constexpr double kDeviation[] = {0.229, 0.224, 0.225};
  static constexpr double kGrayMean = 0.449;
  static constexpr double kGrayDeviation = 0.224;
  const PreprocessOptions& o = options_;
  const bool gray = o.channels == 1;
  const double full = o.depth == 16 ? 65535.0 : 255.0;
  switch (o.mode) {
    case PreprocessMode::kTorch: {
      const double mean = gray ? kGrayMean : kMean[output_channel];
      return static_cast<float>((value / full - mean) / (gray ? kGrayDeviation : kDeviation[output_channel]));
    }
    case PreprocessMode::kTf: return static_cast<float>(value / (full / 2) - 1.0);
    case PreprocessMode::kAffine: {
      const auto at = [&](const std::vector<double>& list) { return list[list.size() == 1 ? 0 : output_channel]; };
      return static_cast<float>((value - at(o.image_mean)) / at(o.image_std));
    }
    case PreprocessMode::kCaffe: break;
  }
  if (!gray) return static_cast<float>(value - o.image_mean[output_channel]);
  const double mean = o.image_mean.size() == 1 ? o.image_mean[0] : o.depth == 16 ? 30048.9216 : 117.3786;
  return static_cast<float>(value - mean);
}

void Preprocessor::Normalize(const Image& image, float* out) const {
  const size_t plane = static_cast<size_t>(options_.width) * options_.height;
  const int channels = options_.channels;
  if (options_.depth == 16) {
    const auto* in = reinterpret_cast<const uint16_t*>(image.pixels.data());
    for (size_t i = 0; i < plane; ++i) out[i] = NormalizeValue(in[i], 0);
    return;
  }
  const bool blue_first =
      options_.mode == PreprocessMode::kCaffe || (options_.mode == PreprocessMode::kAffine && options_.bgr);
  const bool swap = blue_first && channels == 3;
  for (int c = 0; c < channels; ++c) {
    const float* table = table_.data() + c * 256;
    const uint8_t* in = image.pixels.data() + (swap ? 2 - c : c);
    float* to = out + plane * c;
    for (size_t i = 0; i < plane; ++i) to[i] = table[in[i * channels]];
  }
}

Image Preprocessor::CropForEvaluation(const Image& image) const {
  const PreprocessOptions& o = options_;
  if (image.width == o.width && image.height == o.height) return image;
  if (!o.center_crop) return Resize(image, o.width, o.height, o.interpolation);
  const Size full = Covering(image, o.width + kCropPadding, o.height + kCropPadding, o);
  const int x = RoundHalfToEven(full.width / 2.0) - RoundHalfToEven(o.width / 2.0);
  const int y = RoundHalfToEven(full.height / 2.0) - RoundHalfToEven(o.height / 2.0);
  const Window window = {std::clamp(x, 0, full.width - o.width), std::clamp(y, 0, full.height - o.height), o.width,
                         o.height};
  return ResizeWindow(image, full.width, full.height, window, o.interpolation);
}

Image Preprocessor::AugmentForTraining(const Image& image, KeyedRng* rng) const {
  const PreprocessOptions& o = options_;
  const bool fits = image.width == o.width && image.height == o.height;
  Image out;
  if (fits) {
    out = image;
  } else if (!o.random_crop) {
    out = Resize(image, o.width, o.height, o.interpolation);
  } else {
    const double fraction = rng->Uniform(kMinCropFraction, 1.0);
    const Size full = Covering(image, o.width / fraction, o.height / fraction, o);
    const auto x = static_cast<int>(rng->Integer(0, full.width - o.width));
    const auto y = static_cast<int>(rng->Integer(0, full.height - o.height));
    out = ResizeWindow(image, full.width, full.height, {x, y, o.width, o.height}, o.interpolation);
    if (o.color && o.channels == 3) {
      const double hue = rng->Uniform(-kMaxHueDegrees, kMaxHueDegrees) * (3.14159265358979323846 / 180.0);
      const double saturation = 1.0 + rng->Uniform(-kMaxSaturationShift, kMaxSaturationShift);
      const double contrast = 1.0 + rng->Uniform(-kMaxContrastShift, kMaxContrastShift);
      Recolor(&out, hue, saturation, contrast);
    }
  }
  if (o.random_shift > 0) {
    const auto dx = static_cast<int>(rng->Integer(-o.random_shift, o.random_shift));
    const auto dy = static_cast<int>(rng->Integer(-o.random_shift, o.random_shift));
    if (dx != 0 || dy != 0) out = Shifted(out, dx, dy);
  }
  if (o.flip && rng->Coin()) FlipHorizontally(&out);
  return out;
}

void Preprocessor::ForEvaluation(const Image& image, float* out) const {
  OCTET_CHECK(image.channels == options_.channels && image.depth == options_.depth, "image has another format");
  Normalize(CropForEvaluation(image), out);
}

void Preprocessor::ForTraining(const Image& image, KeyedRng* rng, float* out) const {
  OCTET_CHECK(image.channels == options_.channels && image.depth == options_.depth, "image has another format");
  Normalize(AugmentForTraining(image, rng), out);
}

}  // namespace octet::data
