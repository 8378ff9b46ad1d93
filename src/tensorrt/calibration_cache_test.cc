#include "tensorrt/calibration_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace octet::tensorrt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ErrorOf(const std::string& bytes) {
  try {
    ParseCalibrationCache(bytes, "calib.cache");
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 1);
    return e.what();
  }
  return "no error";
}

std::string FormatErrorOf(std::vector<CacheEntry> entries) {
  try {
    FormatCalibrationCache({8601, "EntropyCalibration2", std::move(entries), {}});
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// Scales seen in caches that TensorRT wrote, with the amax that they stand for.
TEST(CalibrationCache, RealScales) {
  const struct {
    const char* hex;
    double amax;
  } kVectors[] = {
      {"3c010204", 1.0},           {"3c010a14", 2048.5 / 2048},       {"3c00f9f4", 2047.5 / 2048},
      {"3c008912", 2040.5 / 2048}, {"4000890a", 255 * 2048.5 / 2048}, {"3d418306", 6.0},
      {"3cc18306", 3.0},
  };
  for (const auto& v : kVectors) {
    CalibrationCache cache{7000, "EntropyCalibration2", {{"x", ScaleOfAmax(static_cast<float>(v.amax))}}, {}};
    EXPECT_EQ(FormatCalibrationCache(cache), std::string("TRT-7000-EntropyCalibration2\nx: ") + v.hex + "\n");
    const CalibrationCache read =
        ParseCalibrationCache(std::string("TRT-7000-EntropyCalibration2\nx: ") + v.hex + "\n", "c");
    ASSERT_EQ(read.entries.size(), 1u);
    EXPECT_NEAR(read.entries[0].scale * 127.0, v.amax, v.amax * 1e-7);
  }
  EXPECT_NEAR(ParseCalibrationCache("TRT-7000-EntropyCalibration2\nconv1: 3c88edfc\n", "c").entries[0].scale,
              0.0167150f, 1e-7f);
}

const char kLeNet[] =
    "TRT-7000-EntropyCalibration2\ndata: 3c008912\nconv1: 3c88edfc\npool1: 3c88edfc\nconv2: 3ddc858b\n"
    "pool2: 3ddc858b\nip1: 3db6bd6e\nip2: 3e691968\nprob: 3c010a14\n";

TEST(CalibrationCache, WholeFileRoundTrip) {
  const CalibrationCache cache = ParseCalibrationCache(kLeNet, "lenet.cache");
  EXPECT_EQ(cache.version, 7000);
  EXPECT_EQ(cache.algorithm, "EntropyCalibration2");
  ASSERT_EQ(cache.entries.size(), 8u);
  EXPECT_EQ(cache.entries[0].name, "data");
  EXPECT_EQ(cache.entries[7].name, "prob");
  EXPECT_EQ(cache.Find("conv1")->scale, cache.Find("pool1")->scale);
  EXPECT_EQ(cache.Find("conv9"), nullptr);
  EXPECT_THAT(cache.warnings, IsEmpty());
  EXPECT_EQ(FormatCalibrationCache(cache), kLeNet);
}

TEST(CalibrationCache, VersionNumbers) {
  const struct {
    const char* text;
    int number;
  } kVersions[] = {{"5.1.0", 5100}, {"7.0.0", 7000}, {"7.1.3", 7103},    {"7.1.3.4", 7103},
                   {"8.0.1", 8001}, {"8.2.3", 8203}, {"8.5.10", 8510},   {"8.6", 8600},
                   {"8.6.1", 8601}, {"8.6.2", 8602}, {"10.3.0", 100300}, {"10.12.1", 101201}};
  for (const auto& v : kVersions) EXPECT_EQ(VersionInteger(v.text), v.number) << v.text;
  EXPECT_EQ(VersionText(8601), "8.6.1");
  EXPECT_EQ(VersionText(100300), "10.3.0");
  EXPECT_EQ(VersionText(10300), "");  // what tao_deploy writes for 10.3
  for (const char* bad : {"", "8", "8.6.x", "4.0.0", "8.6.1.2.3", "8..1", "-8.6.1", "8.12.0"}) {
    EXPECT_THROW(VersionInteger(bad), Error) << bad;
  }
  try {
    VersionInteger("11.0.0");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("Q/DQ"));
  }
}

TEST(CalibrationCache, NamesWithColonsAndBlanks) {
  const std::string text =
      "TRT-100300-MinMaxCalibration\nfoo:0: 3c010204\na: b: 3c010204\n(Unnamed Layer* 8) [Constant]_output: 3c010204\n";
  const CalibrationCache cache = ParseCalibrationCache(text, "c");
  EXPECT_EQ(cache.version, 100300);
  EXPECT_EQ(cache.entries[0].name, "foo:0");
  EXPECT_EQ(cache.entries[1].name, "a: b");
  EXPECT_EQ(cache.entries[2].name, "(Unnamed Layer* 8) [Constant]_output");
  EXPECT_EQ(FormatCalibrationCache(cache), text);
  EXPECT_THAT(LintCalibrationCache(cache), ElementsAre(HasSubstr("'foo:0' contains ':'"), HasSubstr("'a: b'")));
}

TEST(CalibrationCache, ErrorsNameFileAndLine) {
  const std::string head = "TRT-8601-EntropyCalibration2\n";
  EXPECT_THAT(ErrorOf(""), HasSubstr("calib.cache:1: the calibration cache is empty"));
  EXPECT_THAT(ErrorOf("conv1: 3c010204\n"), HasSubstr("calib.cache:1: this is no calibration cache"));
  EXPECT_THAT(ErrorOf("TRT-x-Entropy\n"), HasSubstr("calib.cache:1: this is no calibration cache"));
  EXPECT_THAT(ErrorOf("TRT-8601-EntropyCalib"), HasSubstr("calib.cache:1: the calibration cache is cut off"));
  EXPECT_THAT(ErrorOf(head + "a: 3c010204\nb: 3c01"), HasSubstr("calib.cache:3: the calibration cache is cut off"));
  EXPECT_THAT(ErrorOf(head + "a: 3c010204\nb_lon"), HasSubstr("calib.cache:3: the calibration cache is cut off"));
  EXPECT_THAT(ErrorOf(head + "a: 3c01020g\n"), HasSubstr("calib.cache:2: '3c01020g' of tensor 'a' is no scale"));
  EXPECT_THAT(ErrorOf(head + "a: 3c01020411\n"), HasSubstr("is no scale"));
  EXPECT_THAT(ErrorOf(head + "a 3c010204\n"), HasSubstr("calib.cache:2: expected '<tensor name>: <8 hex digits>'"));
  EXPECT_THAT(ErrorOf(head + "a: 3c010204\na: 3c010204\n"),
              HasSubstr("calib.cache:3: tensor 'a' stands twice; first in line 2"));
  EXPECT_THAT(ErrorOf(head + "a: 7f800000\n"), HasSubstr("calib.cache:2: the scale of 'a' is inf"));
  EXPECT_THAT(ErrorOf(head + "a: bc010204\n"), HasSubstr("expected a finite number >= 0"));
  EXPECT_THAT(ErrorOf(head + ": 3c010204\n"), HasSubstr("calib.cache:2: the tensor name '' is empty"));
  EXPECT_THROW(ReadCalibrationCache("no/such/file.cache"), Error);
}

// Every cut of a file is an error, or loses only whole lines, or only the last line end.
TEST(CalibrationCache, EveryTruncation) {
  const std::string text = kLeNet;
  for (size_t n = 0; n < text.size(); ++n) {
    const std::string cut = text.substr(0, n);
    const bool after_line = n > 0 && text[n - 1] == '\n';
    const bool before_newline = text[n] == '\n' && n > 30;
    const std::string error = ErrorOf(cut);
    if (after_line || before_newline) {
      EXPECT_EQ(error, "no error") << cut;
      if (before_newline) {
        EXPECT_THAT(ParseCalibrationCache(cut, "c").warnings, ElementsAre(HasSubstr("cut off")));
      }
    } else {
      EXPECT_NE(error, "no error") << cut;
    }
  }
}

TEST(CalibrationCache, Warnings) {
  const CalibrationCache cache = ParseCalibrationCache("TRT-10300-EntropyCalibration2\r\na: 0\r\nb: 3c010204\r\n", "c");
  EXPECT_EQ(cache.entries[0].scale, 0.0f);
  EXPECT_THAT(cache.warnings, ElementsAre("c:1: lines end with CR LF; TensorRT writes LF",
                                          HasSubstr("c:1: no TensorRT"), HasSubstr("c:2: tensor 'a' has the scale 0")));
  EXPECT_THAT(ParseCalibrationCache("TRT-8601-EntropyCalibration3\n", "c").warnings,
              ElementsAre(HasSubstr("nearest: 'EntropyCalibration")));
  EXPECT_EQ(FormatCalibrationCache({8601, "MinMaxCalibration", {{"a", 0.0f}}, {}}),
            "TRT-8601-MinMaxCalibration\na: 00000000\n");
}

TEST(CalibrationCache, WriterRefuses) {
  EXPECT_THAT(FormatErrorOf({{"a\nb", 1}}), HasSubstr("contains a line break"));
  EXPECT_THAT(FormatErrorOf({{" a", 1}}), HasSubstr("starts or ends with a blank"));
  EXPECT_THAT(FormatErrorOf({{"", 1}}), HasSubstr("is empty"));
  EXPECT_THAT(FormatErrorOf({{"a", 1}, {"a", 1}}), HasSubstr("stands twice"));
  EXPECT_THAT(FormatErrorOf({{"a", -1}}), HasSubstr("finite number"));
  EXPECT_THAT(FormatErrorOf({{"a", std::nanf("")}}), HasSubstr("finite number"));
}

TEST(CalibrationCache, WritingIsAtomic) {
  const std::string dir = ::testing::TempDir() + "octet_cache_" + std::to_string(::getpid());
  const std::string path = dir + "/calib.cache";
  const CalibrationCache cache = ParseCalibrationCache(kLeNet, "c");
  WriteCalibrationCache(path, cache);
  CalibrationCache bad = cache;
  bad.entries[7].name = "data";
  EXPECT_THROW(WriteCalibrationCache(path, bad), Error);
  EXPECT_EQ(ReadFile(path), kLeNet);
}

}  // namespace
}  // namespace octet::tensorrt
