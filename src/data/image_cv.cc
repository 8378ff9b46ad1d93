#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "data/image.h"

namespace octet::data {
namespace {

uint8_t Byte(const std::string& bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

// Walks the segments; inside a scan, 0xFF is followed by 0 (stuffing) or a restart marker, else a new segment begins.
std::string JpegTruncation(const std::string& bytes) {
  const std::string truncated = fmt::format("truncated JPEG (no end-of-image marker in {} bytes)", bytes.size());
  size_t at = 2;
  while (at + 1 < bytes.size()) {
    if (Byte(bytes, at) != 0xff) {
      ++at;  // entropy-coded data, or garbage that decoders skip
      continue;
    }
    const uint8_t marker = Byte(bytes, at + 1);
    if (marker == 0xd9) return "";
    if (marker == 0xff) {
      ++at;  // fill byte
    } else if (marker == 0x00 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
    } else {
      if (at + 3 >= bytes.size()) return truncated;
      at += 2 + (static_cast<size_t>(Byte(bytes, at + 2)) << 8 | Byte(bytes, at + 3));
    }
  }
  return truncated;
}

std::string PngTruncation(const std::string& bytes) {
  size_t at = 8;
  while (at + 12 <= bytes.size()) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | Byte(bytes, at + i);
    if (at + 12 + length > bytes.size()) break;
    if (bytes.compare(at + 4, 4, "IEND") == 0) return "";
    at += 12 + length;
  }
  return fmt::format("truncated PNG (no end chunk in {} bytes)", bytes.size());
}

bool LooksLikeText(const std::string& bytes) {
  const size_t count = std::min<size_t>(bytes.size(), 256);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t c = Byte(bytes, i);
    if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') return false;
  }
  return true;
}

cv::Mat Decode(const std::string& bytes, int flags) {
  const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
  try {
    return cv::imdecode(raw, flags | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception&) {
    return {};
  }
}

}  // namespace

std::string FindTruncation(const std::string& bytes) {
  if (StartsWith(bytes, "\xff\xd8")) return JpegTruncation(bytes);
  if (StartsWith(bytes, "\x89PNG\r\n\x1a\n")) return PngTruncation(bytes);
  return "";
}

bool DecodeImageFile(const std::string& path, const DecodeOptions& options, Image* image, std::string* problem) {
  std::string bytes;
  try {
    bytes = ReadFile(path, "image");
  } catch (const Error& e) {
    *problem = "cannot be read";
    return false;
  }
  return DecodeImageBytes(bytes, options, image, problem);
}

bool DecodeImageBytes(const std::string& bytes, const DecodeOptions& options, Image* image, std::string* problem) {
  if (bytes.empty()) {
    *problem = "empty file";
    return false;
  }
  *problem = FindTruncation(bytes);
  if (!problem->empty()) return false;
  const bool wide = options.depth == 16;
  int flags = options.channels == 3 ? cv::IMREAD_COLOR : cv::IMREAD_GRAYSCALE;
  if (wide) flags |= cv::IMREAD_ANYDEPTH;
  cv::Mat mat = Decode(bytes, flags);
  if (mat.empty()) {
    *problem = LooksLikeText(bytes) ? "not an image (a text file)" : "cannot be decoded (damaged, or not an image)";
    return false;
  }
  if (wide && mat.depth() != CV_16U) {
    *problem = "8 bits per channel, expected 16";
    return false;
  }
  if (options.channels == 3) cv::cvtColor(mat, mat, cv::COLOR_BGR2RGB);
  image->width = mat.cols;
  image->height = mat.rows;
  image->channels = options.channels;
  image->depth = options.depth;
  image->pixels.resize(image->RowBytes() * mat.rows);
  for (int y = 0; y < mat.rows; ++y) {
    std::memcpy(image->pixels.data() + image->RowBytes() * y, mat.ptr(y), image->RowBytes());
  }
  return true;
}

std::string EncodePng(const Image& image) {
  return EncodeImage(image, ".png");
}

std::string EncodeImage(const Image& image, const std::string& file_name) {
  const int type = CV_MAKETYPE(image.depth == 16 ? CV_16U : CV_8U, image.channels);
  cv::Mat mat(image.height, image.width, type, const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat swapped;
  if (image.channels == 3) {
    cv::cvtColor(mat, swapped, cv::COLOR_RGB2BGR);
  } else {
    swapped = mat;
  }
  std::vector<uint8_t> bytes;
  const size_t dot = file_name.find_last_of("./");
  std::string ending = dot != std::string::npos && file_name[dot] == '.' ? file_name.substr(dot) : ".png";
  if (!cv::haveImageWriter("x" + ending)) ending = ".png";
  const std::vector<int> options = {cv::IMWRITE_PNG_COMPRESSION, 3, cv::IMWRITE_JPEG_QUALITY, 92};
  OCTET_CHECK(cv::imencode(ending, swapped, bytes, options), "the encoder of {} failed", ending);
  return {bytes.begin(), bytes.end()};
}

}  // namespace octet::data
