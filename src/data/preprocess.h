// From a decoded image to the network's input: crop, resize, augmentation and normalization as TAO's classification
// does them (crops, modes and constants: TAO Toolkit 6, classification_tf2).
#pragma once

#include <string>
#include <vector>

#include "data/image.h"
#include "data/keyed_rng.h"
#include "data/resize.h"

namespace octet::data {

enum class PreprocessMode {
  kCaffe,   // BGR, minus image_mean
  kTorch,   // RGB / 255, minus the ImageNet mean, divided by its deviation
  kTf,      // RGB / 127.5 - 1
  kAffine,  // octet: (value - image_mean) / image_std, RGB or (bgr) BGR
};

PreprocessMode PreprocessModeFromName(const std::string& name);  // "caffe", "torch", "tf", "affine"
Interpolation InterpolationFromName(const std::string& name);    // "bilinear", "bicubic"
const char* NameOf(PreprocessMode mode);
const char* NameOf(Interpolation interpolation);

struct PreprocessOptions {
  int width = 224;
  int height = 224;
  int channels = 3;  // 1, 3
  int depth = 8;     // 8, 16 (gray only)
  PreprocessMode mode = PreprocessMode::kCaffe;
  std::vector<double> image_mean = {103.939, 116.779, 123.68};  // BGR; with gray images, one value or TAO's constant
  std::vector<double> image_std = {
      1};            // kAffine; of pixel values 0..255 (0..65535), as image_mean: one or one a channel
  bool bgr = false;  // kAffine: blue is channel 0, also of image_mean and image_std
  Interpolation interpolation = Interpolation::kBilinear;
  bool center_crop = true;  // evaluation: scale to cover the size + 32, keep the middle
  // Training only:
  bool random_crop = true;  // scale to cover size / U(0.45, 1), keep a random part
  bool color = false;       // hue, saturation, contrast; after a random crop only
  bool flip = true;         // mirror with probability 1/2
  int random_shift = 0;     // octet: shift by up to so many pixels, edges mirrored; for images of the network's size
};

// As in TAO, an image that has the network's size already is not cropped, in training neither (nor recolored).
class Preprocessor {
 public:
  // Throws Error(kUser) on 16-bit color or a wrong number of means.
  explicit Preprocessor(PreprocessOptions options);

  const PreprocessOptions& options() const { return options_; }
  size_t output_size() const { return static_cast<size_t>(options_.channels) * options_.height * options_.width; }

  // Write channels x height x width floats to `out`. The image must have the channels and depth of the options.
  void ForEvaluation(const Image& image, float* out) const;
  void ForTraining(const Image& image, KeyedRng* rng, float* out) const;

  // The picture before normalization; to look at augmentation.
  Image CropForEvaluation(const Image& image) const;
  Image AugmentForTraining(const Image& image, KeyedRng* rng) const;

 private:
  void Normalize(const Image& image, float* out) const;
  float NormalizeValue(double value, int output_channel) const;

  PreprocessOptions options_;
  std::vector<float> table_;  // [channel][256], 8-bit images
};

}  // namespace octet::data
