// TensorRT's calibration cache: one INT8 scale per tensor, as text (docs/formats.md has the page). Read by TensorRT 5
// to 10 and by DLA; TensorRT 11 has no caches any more.
//
//   TRT-8601-EntropyCalibration2
//   input_1: 3c010204              <- name, then the bits of the float32 scale = amax / 127, most significant nibble
//   first
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octet::tensorrt {

struct CacheEntry {
  std::string name;
  float scale = 0;  // amax / 127
};

struct CalibrationCache {
  int version = 0;  // the integer of the header: 8601, 100300
  std::string algorithm = "EntropyCalibration2";
  std::vector<CacheEntry> entries;    // in the file's order
  std::vector<std::string> warnings;  // what Parse found odd but could read; "path:line: ..."

  const CacheEntry* Find(std::string_view name) const;  // nullptr when absent
};

// scale = amax / 127 in float32, as TensorRT has it.
float ScaleOfAmax(float amax);

// "8.6.1" -> 8601 (TensorRT <= 9: major*1000 + minor*100 + patch), "10.3.0" -> 100300 (>= 10: major*10000 + ...). A
// missing patch is 0, a fourth number is ignored. Throws a user Error on other text and on 11 and later, which read no
// cache.
int VersionInteger(const std::string& version);

// The inverse, "" when no known TensorRT writes this integer.
std::string VersionText(int version);

// The exact bytes of the file. Throws a user Error on what a cache cannot hold: an empty or duplicate name, a newline
// in a name or a blank at its ends, a negative or non-finite scale, an unknown header.
std::string FormatCalibrationCache(const CalibrationCache& cache);

// What TensorRT would dislike in a well-formed cache: zero or denormal scales, unknown version or algorithm, names with
// ':'.
std::vector<std::string> LintCalibrationCache(const CalibrationCache& cache);

// Parses the bytes of a file; errors and warnings start with "path:line:".
CalibrationCache ParseCalibrationCache(std::string_view bytes, const std::string& path);

CalibrationCache ReadCalibrationCache(const std::string& path);
// Atomic: an existing file stays whole when writing fails.
void WriteCalibrationCache(const std::string& path, const CalibrationCache& cache);

}  // namespace octet::tensorrt
