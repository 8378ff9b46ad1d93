#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <opencv2/imgcodecs.hpp>

#include "base/error.h"
#include "base/files.h"
#include "report/confusion_picture.h"

namespace octet::report {
namespace {

class ConfusionPicture : public testing::Test {
 protected:
  void SetUp() override { MakeDirectories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  cv::Mat Draw(int classes, const std::vector<std::vector<int64_t>>& confusion, const std::string& name = "class ") {
    std::vector<std::string> names;
    for (int i = 0; i < classes; ++i) names.push_back(name + std::to_string(i));
    WriteConfusionPicture(folder_ + "/c.png", "title", names, confusion);
    return cv::imread(folder_ + "/c.png");
  }

  std::string folder_ = std::string(testing::TempDir()) + "/octet_confusion_" + std::to_string(::getpid());
};

// Pixels of the darkest shade outside of the color scale's end: cells with all of their row.
int DarkPixels(const cv::Mat& picture) {
  int dark = 0;
  for (int y = 0; y < picture.rows; ++y) {
    for (int x = 0; x < picture.cols; ++x) {
      const auto& p = picture.at<cv::Vec3b>(y, x);
      dark += p[0] == 107 && p[1] == 48 && p[2] == 8 ? 1 : 0;
    }
  }
  return dark;
}

TEST_F(ConfusionPicture, CellsAreAsDarkAsTheirShare) {
  const cv::Mat right = Draw(3, {{7, 0, 0}, {0, 5, 0}, {0, 0, 9}});
  const cv::Mat one = Draw(3, {{7, 0, 0}, {3, 2, 4}, {5, 0, 4}});
  const cv::Mat none = Draw(3, {{1, 3, 3}, {3, 2, 4}, {0, 0, 0}});
  ASSERT_FALSE(right.empty());
  const int cell = 50 * 50;  // a cell without its count and borders, roughly
  EXPECT_GT(DarkPixels(right), 3 * cell);
  EXPECT_GT(DarkPixels(one), cell);
  EXPECT_LT(DarkPixels(one), 2 * cell);
  EXPECT_LT(DarkPixels(none), 100);  // the color scale's end
}

TEST_F(ConfusionPicture, EverySizeAndName) {
  for (const int n : {1, 12, 13, 31, 101, 1500}) {
    std::vector<std::vector<int64_t>> confusion(n, std::vector<int64_t>(n, 0));
    for (int i = 0; i < n; ++i) confusion[i][i] = 123456;
    const cv::Mat picture = Draw(n, confusion, "a very long name, with \xc3\xa9, of class ");
    ASSERT_FALSE(picture.empty()) << n;
    EXPECT_LE(picture.cols, 2200) << n;
    EXPECT_GE(picture.cols, n) << n;
  }
}

TEST_F(ConfusionPicture, UnwritablePathIsTheUsersFault) {
  EXPECT_THROW(WriteConfusionPicture("/proc/no/such/c.png", "t", {"a"}, {{1}}), Error);
}

}  // namespace
}  // namespace octet::report
