// CRC32C against the published check values, and what a damaged file says.
#include "base/tfrecord_framing.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"

namespace octet {
namespace {

using testing::HasSubstr;

class TfRecordFraming : public testing::Test {
 protected:
  TfRecordFraming()
      : path_((std::filesystem::temp_directory_path() / ("octet_tfrecord_" + std::to_string(::getpid()))).string()) {}
  ~TfRecordFraming() override { std::filesystem::remove(path_); }

  void Write(const std::string& bytes) { WriteFileAtomic(path_, bytes); }
  std::string ErrorOfReading() {
    try {
      TfRecordReader reader(path_);
      std::string payload;
      while (reader.Next(&payload)) {
      }
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string path_;
};

TEST_F(TfRecordFraming, Crc32cHasTheCheckValues) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
  const std::string zeros(32, '\0'), ones(32, '\xff');
  EXPECT_EQ(Crc32c(zeros.data(), 32), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(Crc32c(ones.data(), 32), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("56789", 5, Crc32c("1234", 4)), 0xe3069283u);
}

TEST_F(TfRecordFraming, RecordsComeBack) {
  std::string file;
  const std::vector<std::string> records = {"", "a", std::string(1000, 'x'), std::string("\0\n\xff", 3)};
  for (const std::string& record : records) AppendTfRecord(record, &file);
  Write(file);
  TfRecordReader reader(path_);
  std::string payload;
  std::vector<uint64_t> offsets;
  for (const std::string& record : records) {
    offsets.push_back(reader.offset());
    ASSERT_TRUE(reader.Next(&payload));
    EXPECT_EQ(payload, record);
  }
  EXPECT_FALSE(reader.Next(&payload));
  reader.Seek(offsets[2]);
  ASSERT_TRUE(reader.Next(&payload));
  EXPECT_EQ(payload, records[2]);
}

TEST_F(TfRecordFraming, DamageIsNamedByFileAndOffset) {
  std::string file;
  AppendTfRecord("first", &file);  // 21 bytes
  AppendTfRecord("second", &file);
  std::string damaged = file;
  damaged[21 + 12] ^= 1;
  Write(damaged);
  EXPECT_THAT(ErrorOfReading(), HasSubstr(path_ + ": bad CRC of the record at offset 21"));
  damaged = file;
  damaged[21] ^= 1;
  Write(damaged);
  EXPECT_THAT(ErrorOfReading(), HasSubstr("bad CRC of the record length at offset 21"));
  Write(file.substr(0, file.size() - 1));
  EXPECT_THAT(ErrorOfReading(), HasSubstr("ends within the record at offset 21 (6 bytes long)"));
  Write(file.substr(0, 25));
  EXPECT_THAT(ErrorOfReading(), HasSubstr("ends within the head of the record at offset 21"));
  Write("");
  EXPECT_EQ(ErrorOfReading(), "");
  std::filesystem::remove(path_);
  EXPECT_THAT(ErrorOfReading(), HasSubstr("cannot be opened"));
}

}  // namespace
}  // namespace octet
