// The event file, byte for byte where it is fixed, and read back by an independent program.
#include "report/event_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"

namespace octet::report {
namespace {

struct Outcome {
  int exit_code = -1;
  std::string output;
};

Outcome ReadWithPython(const std::string& path) {
  Outcome o;
  FILE* pipe = popen(("python3 " OCTET_SOURCE_DIR "/tests/witness/read_events.py '" + path + "' 2>&1").c_str(), "r");
  char buffer[4096];
  size_t n = 0;
  while ((n = fread(buffer, 1, sizeof buffer, pipe)) > 0) o.output.append(buffer, n);
  o.exit_code = pclose(pipe);
  return o;
}

class EventFileTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = std::string(testing::TempDir()) + "/octet_events_" + std::to_string(::getpid());
};

TEST_F(EventFileTest, ScalarsAndPicturesAreReadBack) {
  EventFile file(folder_ + "/deeper");
  file.Scalar("train/loss", 1, 2.25);
  file.Scalar("val/accuracy", 300, 0.5);
  file.Scalar("train/learning_rate", 1LL << 40, 1e-5);
  data::Image image;
  image.width = 3;
  image.height = 2;
  image.pixels.assign(18, 90);
  file.Picture("val/image_0", 7, image);
  EXPECT_NE(file.path().find("/deeper/events.out.tfevents."), std::string::npos);
  const std::string bytes = ReadFile(file.path());
  // The first record: 8 bytes of length, then wall_time (9 bytes), step (2), file_version (15).
  ASSERT_GT(bytes.size(), 42U);
  EXPECT_EQ(bytes[0], 26);
  EXPECT_EQ(bytes.substr(12 + 11, 15), std::string("\x1a\x0d") + "brain.Event:2");
  if (std::system("python3 --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no python3";
  const Outcome o = ReadWithPython(file.path());
  EXPECT_EQ(o.exit_code, 0) << o.output;
  EXPECT_EQ(o.output,
            "train/loss 1 2.25\nval/accuracy 300 0.5\ntrain/learning_rate 1099511627776 1e-05\nval/image_0 7 picture 3 "
            "2 3\n");
  // The witness sees a damaged file.
  std::string damaged = bytes;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
  WriteFileAtomic(folder_ + "/damaged", damaged);
  EXPECT_NE(ReadWithPython(folder_ + "/damaged").exit_code, 0);
}

TEST_F(EventFileTest, UnwritablePlacesAreTheUsersFault) {
  WriteFileAtomic(folder_ + "/file", "x");
  try {
    EventFile file(folder_ + "/file/below");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 1);
  }
}

}  // namespace
}  // namespace octet::report
