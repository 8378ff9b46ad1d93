// Color operations of AutoAugment on 8-bit RGB images; each keeps the size. `factor` 1 leaves the image as it is, 0
// gives the gray, black or blurred end, more than 1 goes beyond. As Pillow's ImageEnhance and ImageOps define them.
#pragma once

#include "data/image.h"

namespace octet::data {

void Equalize(Image* image);  // the histogram of each channel becomes flat
void AdjustColor(double factor, Image* image);
void AdjustContrast(double factor, Image* image);  // around the mean of the gray image
void AdjustBrightness(double factor, Image* image);
void AdjustSharpness(double factor, Image* image);  // against a 3 x 3 blur; the outermost pixels stay

}  // namespace octet::data
