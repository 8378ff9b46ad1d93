// How an image and its boxes come into the network's input, as TAO's efficientdet_tf2 does it: resized with the aspect
// kept, at the top left; the rest is 0, which is the mean color. Training flips, scales and cuts at random before.
#pragma once

#include <vector>

#include "data/coco.h"
#include "data/image.h"
#include "data/keyed_rng.h"

namespace octet::data {

// Where the image lies in the input: the image resized to scaled_width x scaled_height, then shifted by -offset.
struct Placement {
  double scale = 1;  // original pixels times this are input pixels
  int scaled_width = 0;
  int scaled_height = 0;
  int offset_x = 0;
  int offset_y = 0;
  bool flip = false;  // the image is mirrored first
};

Placement FitPlacement(int image_width, int image_height, int width, int height);
// The image fits into a frame U(min_scale, max_scale) times the input's size; what is larger than the input is cut at
// random.
Placement RandomPlacement(int image_width, int image_height, int width, int height, double min_scale, double max_scale,
                          bool may_flip, KeyedRng* rng);

// Bilinear between pixel centres without widening (tf.image.resize), RGB / 255, minus the ImageNet mean (0.485, 0.456,
// 0.406), divided by (0.229, 0.224, 0.225). Writes 3 x height x width floats. The image is 8-bit RGB.
void PlaceImage(const Image& image, const Placement& placement, int width, int height, float* out);

// The boxes in input pixels, cut off at the input's edges ([0, size - 1], as in TAO); those without area are left out.
std::vector<Box> PlaceBoxes(const std::vector<Box>& boxes, const Placement& placement, int image_width, int width,
                            int height);

// One of Equalize, Color, Contrast, Brightness, Sharpness; the strength of the last four is U(0, 15) / 10 * 1.8 + 0.1.
void DistortColor(KeyedRng* rng, Image* image);
// Moves image and boxes along x or y by U(0, 15) / 10 * 50 pixels in either direction; what becomes free is gray 128.
// Boxes of which less than a pixel is left are left out.
void TranslateXY(KeyedRng* rng, Image* image, std::vector<Box>* boxes);

}  // namespace octet::data
