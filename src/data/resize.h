// Image resize with the arithmetic of Pillow (what TAO uses): the filter widens when the image shrinks, so that
// nothing is skipped; two passes with 8-bit results in fixed point. Bit-equal to Pillow for 8-bit images.
#pragma once

#include "data/image.h"

namespace octet::data {

enum class Interpolation { kBilinear, kBicubic };

struct Window {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// The part `window` of `image` resized to full_width x full_height: what a resize followed by a crop gives, without
// computing what the crop throws away.
Image ResizeWindow(const Image& image, int full_width, int full_height, const Window& window,
                   Interpolation interpolation);

Image Resize(const Image& image, int width, int height, Interpolation interpolation);

}  // namespace octet::data
