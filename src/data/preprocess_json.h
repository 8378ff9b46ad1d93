// Preprocessing settings as the JSON text that model files and plans carry under "preprocess" (docs/engine.md).
#pragma once

#include <string>

#include "data/preprocess.h"

namespace octet::data {

// What evaluation needs: size, mode, means, deviations, interpolation and crop; nothing of augmentation.
std::string PreprocessToJson(const PreprocessOptions& options);

// Sets those in `options`, the rest stays. Throws Error(kUser) where the text is damaged.
void ReadPreprocessJson(const std::string& text, PreprocessOptions* options);

}  // namespace octet::data
