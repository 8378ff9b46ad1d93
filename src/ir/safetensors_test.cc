// The safetensors reader: every element type, and one clear error for each way a file can be broken.
#include "ir/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace octet::ir {
namespace {

using testing::HasSubstr;

std::string File(const std::string& header, const std::string& data, int64_t length = -1) {
  std::string bytes(8, '\0');
  const auto n = static_cast<uint64_t>(length < 0 ? static_cast<int64_t>(header.size()) : length);
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(n >> (8 * i) & 0xff);
  return bytes + header + data;
}

template <typename T>
std::string Raw(std::vector<T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string ErrorOf(const std::string& bytes) {
  try {
    ParseSafetensors(bytes, "w.safetensors");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser);
    EXPECT_THAT(e.what(), HasSubstr("'w.safetensors'"));
    return e.what();
  }
  return "no error";
}

std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a": {"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}}";
}

TEST(Safetensors, ReadsEveryFloatType) {
  const std::string header = R"({"__metadata__": {"format": "pt"},
    "f32": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "f64": {"dtype": "F64", "shape": [1, 1], "data_offsets": [8, 16]},
    "f16": {"dtype": "F16", "shape": [6], "data_offsets": [16, 28]},
    "bf16": {"dtype": "BF16", "shape": [2], "data_offsets": [28, 32]},
    "steps": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]}})";
  const auto found = ParseSafetensors(File(header, Raw<float>({1.5f, -2.25f}) + Raw<double>({0.125}) +
                                                       // 1, -2, largest, smallest normal, smallest subnormal, infinity
                                                       Raw<uint16_t>({0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x7c00}) +
                                                       Raw<uint16_t>({0x3f80, 0xc040}) + Raw<int64_t>({7})),
                                      "w.safetensors");
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found.at("f32"), Tensor::From<float>({2}, {1.5f, -2.25f}));
  EXPECT_EQ(found.at("f64"), Tensor::From<float>({1, 1}, {0.125f}));
  EXPECT_EQ(found.at("f16"), Tensor::From<float>({6}, {1, -2, 65504, 0x1p-14f, 0x1p-24f, HUGE_VALF}));
  EXPECT_EQ(found.at("bf16"), Tensor::From<float>({2}, {1, -3}));
}

TEST(Safetensors, ErrorsSayWhatIsWrong) {
  const std::string four = Raw<float>({1});
  EXPECT_EQ(ErrorOf(File(One("F32", "[1]", "[0, 4]"), four)), "no error");
  EXPECT_THAT(ErrorOf("short"), HasSubstr("has 5 bytes"));
  EXPECT_THAT(ErrorOf(File("{}", "", 1000)), HasSubstr("its header should have 1000 bytes"));
  EXPECT_THAT(ErrorOf(std::string(16, '\xff')), HasSubstr("truncated or no safetensors"));
  EXPECT_THAT(ErrorOf(File("{\"a\": ", "")), HasSubstr("no JSON"));
  EXPECT_THAT(ErrorOf(File("[1, 2]", "")), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(File(R"({"a": 3})", "")), HasSubstr("tensor 'a' has no dtype"));
  EXPECT_THAT(ErrorOf(File(One("F33", "[1]", "[0, 4]"), four)), HasSubstr("unknown dtype \"F33\""));
  EXPECT_THAT(ErrorOf(File(One("F32", "[-1]", "[0, 4]"), four)), HasSubstr("a size -1"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1.5]", "[0, 4]"), four)), HasSubstr("a size 1.5"));
  EXPECT_THAT(ErrorOf(File(One("F32", "7", "[0, 4]"), four)), HasSubstr("the shape 7"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[4294967296,4294967296]", "[0, 4]"), four)), HasSubstr("impossible shape"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1]", "[0]"), four)), HasSubstr("data_offsets [0]"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1]", "[4, 0]"), four)), HasSubstr("is F32[1] and has -4 bytes"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[2]", "[0, 4]"), four)), HasSubstr("is F32[2] and has 4 bytes"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1]", "[4, 8]"), four + four)),
              HasSubstr("begins at byte 4 of the data, expected 0"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1]", "[0, 4]"), "abc")), HasSubstr("need 4 bytes of data, the file has 3"));
  EXPECT_THAT(ErrorOf(File(One("F32", "[1]", "[0, 4]"), four + "x")), HasSubstr("the file has 5"));
}

}  // namespace
}  // namespace octet::ir
