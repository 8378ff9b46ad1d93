// Borders, and the two layouts of codes.
#include <cstring>

#include "engine/kernels/kernels.h"

namespace octet::engine {

void FillBorder(const Codes& t, int64_t batch, int64_t h, int64_t w, int64_t top, int64_t bottom, int64_t left,
                int64_t right) {
  const int64_t row_bytes = (left + w + right) * t.pixel;
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t y = -top; y < 0; ++y) std::memset(t.at(n, y, -left), 128, row_bytes);
    for (int64_t y = h; y < h + bottom; ++y) std::memset(t.at(n, y, -left), 128, row_bytes);
    if (left + right == 0) continue;
    for (int64_t y = 0; y < h; ++y) {
      if (left) std::memset(t.at(n, y, -left), 128, left * t.pixel);
      if (right) std::memset(t.at(n, y, w), 128, right * t.pixel);
    }
  }
}

void ToNchw(const Codes& from, int8_t* to, int64_t batch, int64_t channels, int64_t h, int64_t w) {
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = 0; y < h; ++y) {
        for (int64_t x = 0; x < w; ++x) *to++ = static_cast<int8_t>(from.at(n, y, x)[c] ^ 0x80);
      }
    }
  }
}

void FromNchw(const int8_t* from, const Codes& to, int64_t batch, int64_t channels, int64_t h, int64_t w) {
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = 0; y < h; ++y) {
        for (int64_t x = 0; x < w; ++x) to.at(n, y, x)[c] = static_cast<uint8_t>(*from++) ^ 0x80;
      }
    }
  }
}

}  // namespace octet::engine
