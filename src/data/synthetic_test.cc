#include "data/synthetic.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/image_folder.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

TEST(Synthetic, DependsOnItsArgumentsOnly) {
  const Image a = MakeSyntheticImage(2, 0, 5, 48, 1);
  EXPECT_EQ(a.width, 48);
  EXPECT_EQ(a.pixels, MakeSyntheticImage(2, 0, 5, 48, 1).pixels);
  EXPECT_NE(a.pixels, MakeSyntheticImage(2, 0, 6, 48, 1).pixels);
  EXPECT_NE(a.pixels, MakeSyntheticImage(3, 0, 5, 48, 1).pixels);
  EXPECT_NE(a.pixels, MakeSyntheticImage(2, 1, 5, 48, 1).pixels);
  EXPECT_NE(a.pixels, MakeSyntheticImage(2, 0, 5, 48, 2).pixels);
}

TEST(Synthetic, WritesAnImageFolder) {
  const TestFolder dir;
  SyntheticOptions options;
  options.classes = 4;
  options.train_per_class = 3;
  options.val_per_class = 2;
  options.size = 24;
  options.threads = 2;
  options.show_progress = false;
  GenerateSynthetic(dir.path(), options);
  const ImageFolder train = ScanImageFolder(dir / "train");
  EXPECT_THAT(train.classes, ::testing::ElementsAre("arrow", "crescent", "cross", "heart"));
  EXPECT_EQ(train.files.size(), 12u);
  const ImageFolder val = ScanImageFolder(dir / "val");
  RequireSameClasses(train, val);
  EXPECT_EQ(val.files.size(), 8u);
  Image image;
  std::string problem;
  ASSERT_TRUE(DecodeImageFile(train.files[4].path, {}, &image, &problem));
  EXPECT_EQ(image.pixels, MakeSyntheticImage(1, 0, 1, 24, 1).pixels);
  GenerateSynthetic(dir.path(), options);  // again into the same folder
  options.val_per_class = 1;
  EXPECT_EQ(MessageOf([&] { GenerateSynthetic(dir.path(), options); }),
            "'" + (dir / "val") + "' holds 8 images, 4 of them from elsewhere; choose an empty folder");
  options.classes = 1;
  EXPECT_EQ(MessageOf([&] { GenerateSynthetic(dir.path(), options); }), "classes: expected 2 to 16, got 1");
}

// The mean image and the mean color of each class are alike: what a linear classifier could use is nearly nothing.
TEST(Synthetic, MeanColorSaysNothing) {
  double low = 1e9;
  double high = 0;
  for (int k = 0; k < 10; ++k) {
    double sum = 0;
    double count = 0;
    for (int i = 0; i < 100; ++i) {
      for (const uint8_t v : MakeSyntheticImage(k, 0, i, 24, 7).pixels) {
        sum += v;
        ++count;
      }
    }
    low = std::min(low, sum / count);
    high = std::max(high, sum / count);
  }
  // The deviation of one image's mean is about 35; of the mean of 100, 3.5.
  EXPECT_LT(high - low, 20);
}

}  // namespace
}  // namespace octet::data
