#include "tensorrt/calibration_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace octet::tensorrt {
namespace {

constexpr const char* kAlgorithms[] = {"EntropyCalibration2", "MinMaxCalibration", "EntropyCalibration",
                                       "LegacyCalibration"};

bool KnownAlgorithm(std::string_view name) {
  return std::any_of(std::begin(kAlgorithms), std::end(kAlgorithms), [&](const char* a) { return name == a; });
}

bool IsWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

// The number, or -1 when `text` is not a plain decimal number of at most 6 digits.
int Number(std::string_view text) {
  if (text.empty() || text.size() > 6) return -1;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// 1 to 8 hex digits; TensorRT prints no leading zeros.
bool ParseHex(std::string_view text, uint32_t* bits) {
  if (text.empty() || text.size() > 8) return false;
  *bits = 0;
  for (const char c : text) {
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return false;
    }
    *bits = (*bits << 4) | static_cast<uint32_t>(digit);
  }
  return true;
}

// What is wrong with a name, "" when nothing is.
std::string NameFault(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.find_first_of("\r\n") != std::string::npos) return "contains a line break";
  if (Trim(name) != name) return "starts or ends with a blank";
  return "";
}

void ParseHeader(std::string_view line, const std::string& path, CalibrationCache* cache) {
  const auto fail = [&] {
    OCTET_FAIL(
        "{}:1: this is no calibration cache: the first line is '{}'; expected 'TRT-<version>-<algorithm>', for example "
        "'TRT-8601-EntropyCalibration2'",
        path, line.substr(0, 80));
  };
  if (!StartsWith(line, "TRT-")) fail();
  const std::string_view rest = line.substr(4);
  const size_t dash = rest.find('-');
  if (dash == std::string_view::npos) fail();
  cache->version = Number(rest.substr(0, dash));
  cache->algorithm = std::string(rest.substr(dash + 1));
  if (cache->version < 0 || !IsWord(cache->algorithm)) fail();
}

}  // namespace

const CacheEntry* CalibrationCache::Find(std::string_view name) const {
  for (const CacheEntry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

float ScaleOfAmax(float amax) {
  return amax / 127.0f;
}

int VersionInteger(const std::string& version) {
  const std::vector<std::string> parts = Split(version, '.');
  int numbers[3] = {0, 0, 0};
  bool ok = parts.size() >= 2 && parts.size() <= 4;
  for (size_t i = 0; ok && i < parts.size(); ++i) {
    const int n = Number(parts[i]);
    ok = n >= 0 && n < 100;
    if (ok && i < 3) numbers[i] = n;
  }
  const int major = numbers[0];
  if (major <= 9) ok = ok && numbers[1] <= 9;  // 8.10 would read as 9.0
  OCTET_REQUIRE(ok && major >= 5, "'{}' is not a TensorRT version; expected major.minor.patch such as 8.6.1 or 10.3.0",
                version);
  OCTET_REQUIRE(
      major <= 10,
      "TensorRT {} reads no calibration cache (caches ended with TensorRT 10); deploy the ONNX file with Q/DQ "
      "nodes, or choose a target version up to 10",
      version);
  return numbers[0] * (major >= 10 ? 10000 : 1000) + numbers[1] * 100 + numbers[2];
}

std::string VersionText(int version) {
  const int unit = version >= 100000 ? 10000 : 1000;
  const int major = version / unit;
  const int minor = version % unit / 100;
  if (unit == 1000 ? major < 5 || major > 9 : major != 10) return "";
  return fmt::format("{}.{}.{}", major, minor, version % 100);
}

std::string FormatCalibrationCache(const CalibrationCache& cache) {
  OCTET_REQUIRE(cache.version > 0 && IsWord(cache.algorithm),
                "a calibration cache needs a TensorRT version and an algorithm; got {} and '{}'", cache.version,
                cache.algorithm);
  std::string text = fmt::format("TRT-{}-{}\n", cache.version, cache.algorithm);
  std::unordered_map<std::string, size_t> seen;
  for (size_t i = 0; i < cache.entries.size(); ++i) {
    const CacheEntry& entry = cache.entries[i];
    const std::string fault = NameFault(entry.name);
    OCTET_REQUIRE(fault.empty(), "calibration cache: the name of entry {} ('{}') {}; rename the tensor", i + 1,
                  entry.name, fault);
    OCTET_REQUIRE(seen.emplace(entry.name, i).second, "calibration cache: tensor '{}' stands twice", entry.name);
    OCTET_REQUIRE(std::isfinite(entry.scale) && !std::signbit(entry.scale),
                  "calibration cache: the scale of '{}' is {}; expected a finite number >= 0", entry.name, entry.scale);
    text += fmt::format("{}: {:08x}\n", entry.name, BitsOf(entry.scale));
  }
  return text;
}

std::vector<std::string> LintCalibrationCache(const CalibrationCache& cache) {
  std::vector<std::string> warnings;
  if (VersionText(cache.version).empty()) {
    warnings.push_back(
        fmt::format("no TensorRT from 5 to 10 has the version number {}; it will refuse this cache", cache.version));
  }
  if (!KnownAlgorithm(cache.algorithm)) {
    warnings.push_back(fmt::format("unknown calibration algorithm '{}'; nearest: '{}'", cache.algorithm,
                                   NearestName(cache.algorithm, {std::begin(kAlgorithms), std::end(kAlgorithms)})));
  }
  for (const CacheEntry& entry : cache.entries) {
    if (entry.scale < std::numeric_limits<float>::min()) {
      warnings.push_back(
          fmt::format("tensor '{}' has the scale {}, which can break a TensorRT build: its values were all "
                      "zero when it was calibrated",
                      entry.name, entry.scale));
    }
    if (entry.name.find(':') != std::string::npos) {
      warnings.push_back(
          fmt::format("tensor name '{}' contains ':', which ONNX Runtime's reader cannot take", entry.name));
    }
  }
  return warnings;
}

CalibrationCache ParseCalibrationCache(std::string_view bytes, const std::string& path) {
  OCTET_REQUIRE(!bytes.empty(), "{}:1: the calibration cache is empty; expected a line 'TRT-<version>-<algorithm>'",
                path);
  CalibrationCache cache;
  std::unordered_map<std::string, int> line_of;
  std::vector<std::pair<int, std::string>> found;
  bool carriage_return = false;
  int number = 0;
  for (size_t begin = 0; begin < bytes.size();) {
    ++number;
    const size_t end = bytes.find('\n', begin);
    const bool complete = end != std::string_view::npos;
    std::string_view line = bytes.substr(begin, complete ? end - begin : std::string_view::npos);
    begin = complete ? end + 1 : bytes.size();
    if (EndsWith(line, "\r")) {
      line.remove_suffix(1);
      carriage_return = true;
    }
    if (number == 1) {
      ParseHeader(line, path, &cache);
      OCTET_REQUIRE(complete, "{}:1: the calibration cache is cut off after its first line", path);
      continue;
    }
    if (Trim(line).empty()) continue;
    // The last ": ": names may hold colons.
    const size_t split = line.rfind(": ");
    if (split == std::string_view::npos) {
      OCTET_REQUIRE(complete, "{}:{}: the calibration cache is cut off in '{}'; export it again", path, number, line);
      OCTET_FAIL("{}:{}: expected '<tensor name>: <8 hex digits>', got '{}'", path, number, line.substr(0, 120));
    }
    const std::string name(line.substr(0, split));
    const std::string_view hex = line.substr(split + 2);
    OCTET_REQUIRE(complete || hex.size() >= 8,
                  "{}:{}: the calibration cache is cut off in the scale of '{}' ('{}'); export it again", path, number,
                  name, hex);
    uint32_t bits = 0;
    OCTET_REQUIRE(ParseHex(hex, &bits),
                  "{}:{}: '{}' of tensor '{}' is no scale; expected the 8 hex digits of a float32, such as 3c010204",
                  path, number, hex.substr(0, 40), name);
    const std::string fault = NameFault(name);
    OCTET_REQUIRE(fault.empty(), "{}:{}: the tensor name '{}' {}", path, number, name, fault);
    const auto [it, fresh] = line_of.emplace(name, number);
    OCTET_REQUIRE(fresh, "{}:{}: tensor '{}' stands twice; first in line {}", path, number, name, it->second);
    const float scale = FloatOf(bits);
    OCTET_REQUIRE(std::isfinite(scale) && !std::signbit(scale),
                  "{}:{}: the scale of '{}' is {} ({}); expected a finite number >= 0", path, number, name, scale, hex);
    if (!complete) found.emplace_back(number, "the last line has no line end; the file may be cut off");
    cache.entries.push_back({name, scale});
  }
  if (carriage_return) found.emplace_back(1, "lines end with CR LF; TensorRT writes LF");
  for (const auto& [line, text] : found) cache.warnings.push_back(fmt::format("{}:{}: {}", path, line, text));
  if (VersionText(cache.version).empty() || !KnownAlgorithm(cache.algorithm)) {
    CalibrationCache header = cache;
    header.entries.clear();
    for (const std::string& text : LintCalibrationCache(header))
      cache.warnings.push_back(fmt::format("{}:1: {}", path, text));
  }
  for (const CacheEntry& entry : cache.entries) {
    if (entry.scale >= std::numeric_limits<float>::min()) continue;
    cache.warnings.push_back(fmt::format("{}:{}: tensor '{}' has the scale {}; it was all zero when it was calibrated",
                                         path, line_of.at(entry.name), entry.name, entry.scale));
  }
  return cache;
}

CalibrationCache ReadCalibrationCache(const std::string& path) {
  return ParseCalibrationCache(ReadFile(path, "calibration cache"), path);
}

void WriteCalibrationCache(const std::string& path, const CalibrationCache& cache) {
  WriteFileAtomic(path, FormatCalibrationCache(cache));
}

}  // namespace octet::tensorrt
