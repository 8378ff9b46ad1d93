// One decoded image, and decoding that tells a damaged file from a good one. No OpenCV types here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::data {

// Interleaved rows, top to bottom; RGB or gray. 16-bit samples are native uint16_t.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;  // 1, 3
  int depth = 8;     // 8, 16
  std::vector<uint8_t> pixels;

  size_t RowBytes() const { return static_cast<size_t>(width) * channels * (depth / 8); }
};

struct DecodeOptions {
  int channels = 3;
  int depth = 8;  // 16 with one channel only
};

// "" when the bytes are a whole JPEG/PNG (every marker or chunk up to the end mark is there) or another format, else
// what is wrong: "truncated JPEG (no end of image after 1234 bytes)". Decoders fill the missing part of a JPEG with
// gray and say nothing, hence this check.
std::string FindTruncation(const std::string& bytes);

// Decodes to the wanted channels and depth; EXIF orientation is not applied, as in TAO. On failure returns
// false and says in `problem` what is wrong, without a file's name.
bool DecodeImageBytes(const std::string& bytes, const DecodeOptions& options, Image* image, std::string* problem);
bool DecodeImageFile(const std::string& path, const DecodeOptions& options, Image* image, std::string* problem);

std::string EncodePng(const Image& image);
// In the format that the name's ending asks for (.jpg, .png, .bmp, ...), PNG where it says nothing.
std::string EncodeImage(const Image& image, const std::string& file_name);

}  // namespace octet::data
