#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/files.h"

namespace octet {
namespace {

std::string PathOf(const std::string& name) {
  return testing::TempDir() + "/mapped_file_test_" + name + std::to_string(::getpid());
}

std::string BytesOf(const MappedFile& file) {
  return std::string(file.data(), file.size());
}

TEST(MappedFile, IsTheFileAlsoWhenItIsReplacedOrForgotten) {
  const std::string path = PathOf("replaced"), text(100000, 'x');
  WriteFileAtomic(path, text);
  const auto file = MappedFile::Open(path);
  EXPECT_EQ(BytesOf(*file), text);
  file->Forget();
  EXPECT_EQ(BytesOf(*file), text);
  WriteFileAtomic(path, "new");
  EXPECT_EQ(BytesOf(*file), text);
  EXPECT_EQ(BytesOf(*MappedFile::Open(path)), "new");
  ::unlink(path.c_str());
  EXPECT_EQ(BytesOf(*file), text);
}

TEST(MappedFile, EmptyFilesAndPipes) {
  const std::string path = PathOf("empty"), pipe = PathOf("pipe");
  WriteFileAtomic(path, "");
  EXPECT_EQ(MappedFile::Open(path)->size(), 0U);
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << "through a pipe"; });
  EXPECT_EQ(BytesOf(*MappedFile::Open(pipe)), "through a pipe");
  writer.join();
  ::unlink(pipe.c_str());
}

TEST(MappedFile, ErrorsNameTheFile) {
  try {
    MappedFile::Open("/nowhere/x.plan", "plan");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "plan '/nowhere/x.plan' does not exist");
  }
  EXPECT_THROW(MappedFile::Open(testing::TempDir(), "plan"), Error);
}

}  // namespace
}  // namespace octet
