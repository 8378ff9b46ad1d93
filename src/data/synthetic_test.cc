#include "data/synthetic.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/coco.h"
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

TEST(SyntheticScenes, BoxesHoldTheirFigures) {
  const SyntheticScene a = MakeSyntheticScene(6, 0, 3, 96, 1);
  EXPECT_EQ(a.image.pixels, MakeSyntheticScene(6, 0, 3, 96, 1).image.pixels);
  EXPECT_NE(a.image.pixels, MakeSyntheticScene(6, 1, 3, 96, 1).image.pixels);
  std::vector<int> of_class(6);
  for (int i = 0; i < 60; ++i) {
    const SyntheticScene scene = MakeSyntheticScene(6, 0, i, 96, 1);
    EXPECT_GE(scene.objects.size(), 1U);
    EXPECT_LE(scene.objects.size(), 5U);
    for (const SyntheticObject& o : scene.objects) {
      ++of_class[static_cast<size_t>(o.class_index)];
      EXPECT_GE(o.x, 0);
      EXPECT_GE(o.y, 0);
      EXPECT_LE(o.x + o.width, 96);
      EXPECT_LE(o.y + o.height, 96);
      EXPECT_GE(o.width, 4);
      EXPECT_LE(o.width, 60);
    }
  }
  for (const int count : of_class) EXPECT_GT(count, 10);
}

TEST(SyntheticScenes, AreWrittenAsCoco) {
  const TestFolder dir;
  SyntheticScenesOptions options;
  options.classes = 3;
  options.train = 5;
  options.val = 2;
  options.size = 64;
  options.threads = 2;
  options.show_progress = false;
  GenerateSyntheticScenes(dir.path(), options);
  const CocoSet set = ReadCoco(dir / "train.json", dir / "images");
  EXPECT_EQ(set.images.size(), 5U);
  EXPECT_THAT(set.classes, ::testing::ElementsAre("arrow", "crescent", "cross"));
  size_t boxes = 0;
  for (int i = 0; i < 5; ++i) boxes += MakeSyntheticScene(3, 0, i, 64, 1).objects.size();
  size_t loaded = 0;
  for (const CocoSet::Image& image : set.images) loaded += image.boxes.size();
  EXPECT_EQ(loaded, boxes);
  options.size = 32;
  EXPECT_EQ(MessageOf([&] { GenerateSyntheticScenes(dir.path(), options); }),
            "size: expected 64 to 2048 pixels, got 32");
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
