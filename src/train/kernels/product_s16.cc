// The parts of product_s16.h that need no instruction set.
#include "train/kernels/product_s16.h"

#include <algorithm>
#include <string>

#include "base/huge_pages.h"

namespace octet::train {

bool HasS16Products() {
#if defined(__x86_64__)
  const char* isa = std::getenv("OCTET_TRAIN_ISA");
  return (isa == nullptr || std::string(isa) != "portable") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

GradientLayout LayoutOfGradient(const ConvShape& s) {
  GradientLayout g;
  int64_t before[2] = {0, 0}, after[2] = {0, 0};
  for (size_t d = 0; d < 2; ++d) {
    for (int64_t phase = 0; phase < std::min(s.strides[d], s.in[d]); ++phase) {
      const int64_t last = (s.in[d] - phase - 1) / s.strides[d];
      for (int64_t tap = 0; tap < s.kernel[d]; ++tap) {
        const int64_t at = phase + s.pad_begin[d] - tap * s.dilations[d];
        if (at % s.strides[d] != 0) continue;
        before[d] = std::max(before[d], -(at / s.strides[d]));
        after[d] = std::max(after[d], last + at / s.strides[d] - (s.out[d] - 1));
      }
    }
  }
  g.top = before[0];
  g.bottom = after[0];
  g.left = before[1];
  g.right = after[1];
  g.channels = s.out_channels + s.out_channels % 2;
  g.row = (g.left + s.out[1] + g.right) * g.channels;
  g.image = (g.top + s.out[0] + g.bottom) * g.row;
  g.first = g.top * g.row + g.left * g.channels;
  g.size = s.batch * g.image;
  // One scale for about a thousand pixels: fewer would add up the weight gradient in f32 too often.
  const int64_t pixels = s.out[0] * s.out[1];
  g.images_per_scale = std::min(s.batch, std::max<int64_t>(1, 1024 / pixels));
  g.groups = (s.batch + g.images_per_scale - 1) / g.images_per_scale;
  // 128 * most_code * (products in a sum) < 2^31, for the sums over taps and channels and for those over 4096 pixels.
  const int64_t products = std::max({int64_t{4096}, s.out[1], g.channels * s.kernel[0] * s.kernel[1]});
  g.most_code = static_cast<float>(((int64_t{1} << 31) - 1) / (128 * products));
  return g;
}

void* Scratch::Bytes(size_t bytes) {
  if (bytes > size_) {
    std::free(data_);
    size_ = (bytes + 4095) / 4096 * 4096;
    data_ = std::aligned_alloc(4096, size_);
    AdviseHugePages(data_, size_);
  }
  return data_;
}

}  // namespace octet::train
