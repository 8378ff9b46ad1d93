#include "ir/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/files.h"

namespace octet::ir {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;  // the format's own limit

struct Entry {
  std::string name, dtype;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

uint64_t BytesOf(const std::string& dtype) {
  static const std::map<std::string, uint64_t> kBytes = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"I32", 4},     {"I16", 2},    {"I8", 1},
      {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  const auto it = kBytes.find(dtype);
  return it == kBytes.end() ? 0 : it->second;
}

float FromHalf(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu;
  float magnitude;
  if (exponent == 0) {
    magnitude = static_cast<float>(fraction) * 0x1p-24f;  // subnormal: exact in f32
  } else {
    const uint32_t bits = exponent == 31 ? 0x7f800000u | (fraction << 13) : ((exponent + 112) << 23) | (fraction << 13);
    std::memcpy(&magnitude, &bits, sizeof(bits));
  }
  uint32_t bits;
  std::memcpy(&bits, &magnitude, sizeof(bits));
  bits |= sign;
  std::memcpy(&magnitude, &bits, sizeof(bits));
  return magnitude;
}

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

Tensor ToF32(const Entry& e, const char* data) {
  Tensor t(DType::kF32, e.shape);
  auto* to = t.mutable_data<float>();
  const int64_t n = t.size();
  for (int64_t i = 0; i < n; ++i) {
    if (e.dtype == "F32") to[i] = Load<float>(data + 4 * i);
    if (e.dtype == "F64") to[i] = static_cast<float>(Load<double>(data + 8 * i));
    if (e.dtype == "F16") to[i] = FromHalf(Load<uint16_t>(data + 2 * i));
    if (e.dtype == "BF16") {
      const uint32_t bits = static_cast<uint32_t>(Load<uint16_t>(data + 2 * i)) << 16;
      std::memcpy(&to[i], &bits, sizeof(bits));
    }
  }
  return t;
}

Entry ReadEntry(const std::string& name, const Json& j, const std::string& path) {
  const auto fail = [&](const std::string& what) {
    OCTET_FAIL("'{}': tensor '{}' {}; the file is damaged or no safetensors file", path, name, what);
  };
  Entry e;
  e.name = name;
  if (!j.is_object() || !j.contains("dtype") || !j.contains("shape") || !j.contains("data_offsets")) {
    fail("has no dtype, shape and data_offsets");
  }
  if (!j["dtype"].is_string() || BytesOf(j["dtype"].get<std::string>()) == 0) {
    fail("has the unknown dtype " + j["dtype"].dump());
  }
  e.dtype = j["dtype"].get<std::string>();
  const auto number = [&](const Json& v, const char* what) {
    if (!v.is_number_unsigned()) fail(std::string("has ") + what + " " + v.dump() + ", which is no whole number");
    return v.get<uint64_t>();
  };
  if (!j["shape"].is_array()) fail("has the shape " + j["shape"].dump());
  uint64_t elements = 1;
  for (const Json& d : j["shape"]) {
    const uint64_t size = number(d, "a size");
    if (size > 0 && elements > (uint64_t{1} << 40) / size) fail("has the impossible shape " + j["shape"].dump());
    elements *= size;
    e.shape.push_back(static_cast<int64_t>(size));
  }
  const Json& offsets = j["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) fail("has the data_offsets " + offsets.dump());
  e.begin = number(offsets[0], "an offset");
  e.end = number(offsets[1], "an offset");
  if (e.end < e.begin || e.end - e.begin != elements * BytesOf(e.dtype)) {
    fail(fmt::format("is {}{} and has {} bytes", e.dtype, ToString(e.shape), static_cast<int64_t>(e.end - e.begin)));
  }
  return e;
}

}  // namespace

std::map<std::string, Tensor> ParseSafetensors(const std::string& bytes, const std::string& path) {
  OCTET_REQUIRE(bytes.size() >= 8, "'{}' has {} bytes, too few for a safetensors file", path, bytes.size());
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<unsigned char>(bytes[static_cast<size_t>(i)]);
  OCTET_REQUIRE(header <= kLargestHeader && header <= bytes.size() - 8,
                "'{}': its header should have {} bytes, and the file has {}; it is truncated or no safetensors file",
                path, header, bytes.size());
  Json json;
  try {
    json = Json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<long>(header));
  } catch (const Json::exception& error) {
    OCTET_FAIL("'{}': its header is no JSON ({}); the file is damaged or no safetensors file", path, error.what());
  }
  OCTET_REQUIRE(json.is_object(), "'{}': its header is no JSON object; the file is no safetensors file", path);
  std::vector<Entry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") entries.push_back(ReadEntry(name, value, path));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
  const uint64_t data = bytes.size() - 8 - header;
  uint64_t at = 0;
  for (const Entry& e : entries) {
    OCTET_REQUIRE(e.begin == at,
                  "'{}': tensor '{}' begins at byte {} of the data, expected {}; tensors overlap or leave gaps", path,
                  e.name, e.begin, at);
    at = e.end;
  }
  OCTET_REQUIRE(at == data, "'{}': its tensors need {} bytes of data, the file has {}; it is truncated or damaged",
                path, at, data);
  std::map<std::string, Tensor> tensors;
  for (const Entry& e : entries) {
    if (e.dtype != "F32" && e.dtype != "F64" && e.dtype != "F16" && e.dtype != "BF16") continue;
    tensors.emplace(e.name, ToF32(e, bytes.data() + 8 + header + e.begin));
  }
  return tensors;
}

std::map<std::string, Tensor> ReadSafetensors(const std::string& path) {
  return ParseSafetensors(ReadFile(path, "safetensors file"), path);
}

}  // namespace octet::ir
