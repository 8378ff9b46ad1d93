#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/strings.h"

namespace octet {
namespace {

using testing::HasSubstr;

// While it lives, no file can grow past `bytes`: what a full disk looks like to a writer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &old_); }

 private:
  rlimit old_{};
};

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Error, KindsAndExitCodes) {
  EXPECT_EQ(Error(ErrorKind::kUser, "").exit_code(), 1);
  EXPECT_EQ(Error(ErrorKind::kInternal, "").exit_code(), 70);
  EXPECT_EQ(MessageOf([] { OCTET_REQUIRE(1 > 2, "{} is not {}", 1, 2); }), "1 is not 2");
  EXPECT_THAT(MessageOf([] { OCTET_CHECK(1 > 2, "why {}", 3); }),
              testing::MatchesRegex("internal error at src/base/base_test.cc:[0-9]+: 1 > 2: why 3"));
}

TEST(Files, WritesWholeAndMakesFolders) {
  const std::string root = testing::TempDir() + "octet_files_test" + std::to_string(::getpid());
  const std::string path = root + "/a/b/file";
  WriteFileAtomic(path, "one");
  WriteFileAtomic(path, "two");
  EXPECT_EQ(ReadFile(path), "two");
  AppendLine(path, "+");
  EXPECT_EQ(ReadFile(path), "two+\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root + "/a/b"), {}), 1);
  std::filesystem::remove_all(root);
}

TEST(Files, FullDiskKeepsTheOldFile) {
  const std::string root = testing::TempDir() + "octet_full_disk" + std::to_string(::getpid());
  const std::string path = root + "/file";
  WriteFileAtomic(path, "old");
  std::string message;
  {
    const FileSizeLimit limit(1 << 16);
    message = MessageOf([&] { WriteFileAtomic(path, std::string(1 << 20, 'x')); });
  }
  EXPECT_THAT(message, HasSubstr("cannot write '" + path + "': File too large; the old file, if any, is kept"));
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root), {}), 1) << "a temporary file was left behind";
  std::filesystem::remove_all(root);
}

TEST(Files, ReadErrorsNameThePath) {
  EXPECT_EQ(MessageOf([] { ReadFile("/no/such/spec.yaml", "spec file"); }),
            "spec file '/no/such/spec.yaml' does not exist");
  EXPECT_EQ(MessageOf([] { ReadFile("/", "plan"); }), "plan '/' is a folder; expected a file");
}

TEST(Strings, SplitJoinTrim) {
  EXPECT_THAT(Split("a,,b", ','), testing::ElementsAre("a", "", "b"));
  EXPECT_EQ(Join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(Trim(" \ta b\n"), "a b");
}

TEST(Strings, NearestName) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3U);
  EXPECT_EQ(NearestName("num_epoch", {"num_epochs", "num_gpus"}), "num_epochs");
  EXPECT_EQ(NearestName("zzz", {"num_epochs", "num_gpus"}), "");
}

TEST(ThreadPool, RunsEveryIndexOnceAndRethrows) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> seen(37);
    pool.ParallelFor(37, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
    for (const auto& s : seen) ASSERT_EQ(s, 1);
  }
  EXPECT_EQ(MessageOf([&] { pool.ParallelFor(10, [](int64_t i) { OCTET_REQUIRE(i != 5, "five"); }); }), "five");
  int calls = 0;
  pool.ParallelFor(1, [&](int64_t) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Progress, FormatsTime) {
  EXPECT_EQ(FormatSeconds(12.34), "12.3s");
  EXPECT_EQ(FormatSeconds(185), "3m05s");
  EXPECT_EQ(FormatSeconds(3720), "1h02m");
}

}  // namespace
}  // namespace octet
