// Detection batches: boxes stay on what they mark, whatever happens to the image; the same batches with any number of
// threads; resuming.
#include "data/detection_loader.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "data/color_ops.h"
#include "data/detection_transform.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

using testing::HasSubstr;

// Black, with white boxes.
Image WithBoxes(int width, int height, const std::vector<Box>& boxes) {
  Image image = FlatImage(width, height, {0, 0, 0});
  for (const Box& box : boxes) {
    for (int y = static_cast<int>(box.y1); y < static_cast<int>(box.y2); ++y) {
      for (int x = static_cast<int>(box.x1); x < static_cast<int>(box.x2); ++x) {
        for (int c = 0; c < 3; ++c) image.pixels[(y * width + x) * 3 + c] = 255;
      }
    }
  }
  return image;
}

// Mean of the first channel inside the box, from 0 (black) to 1 (white).
double Whiteness(const float* image, int width, int height, float y1, float x1, float y2, float x2) {
  double sum = 0;
  int count = 0;
  for (int y = static_cast<int>(std::ceil(y1)); y < std::min<float>(y2, height); ++y) {
    for (int x = static_cast<int>(std::ceil(x1)); x < std::min<float>(x2, width); ++x, ++count) {
      sum += image[y * width + x] * 0.229 + 0.485;
    }
  }
  return count == 0 ? -1 : sum / count;
}

class DetectionLoading : public testing::Test {
 protected:
  DetectionLoading() {
    CocoSet set;
    set.classes = {"a", "b"};
    set.category_ids = {1, 2};
    for (int i = 0; i < 11; ++i) {
      const int width = 60 + 7 * i, height = 90 - 5 * i;
      CocoSet::Image image;
      image.id = 100 + i;
      image.path = folder_ / fmt::format("{}.png", i);
      image.width = width;
      image.height = height;
      if (i != 4) {
        const float x = 3.0f + i, y = 2.0f + 2 * i;
        image.boxes.push_back({x, y, x + 20, y + 15, i % 2, false, 300});
        image.boxes.push_back({40, 1, 50, 11, 1, i == 6, 100});
      }
      WriteFileAtomic(image.path, EncodePng(WithBoxes(width, height, image.boxes)));
      set.images.push_back(image);
    }
    set_ = std::make_shared<CocoSet>(set);
  }
  static DetectionLoaderOptions Options(bool training, int workers = 2) {
    DetectionLoaderOptions options;
    options.width = 128;
    options.height = 64;
    options.batch_size = 4;
    options.training = training;
    options.max_boxes = 5;
    options.workers = workers;
    options.show_progress = false;
    return options;
  }
  TestFolder folder_;
  std::shared_ptr<const CocoSet> set_;
};

struct Copy {
  Tensor images, boxes, labels, scales;
  std::vector<int64_t> ids;
  bool operator==(const Copy& o) const {
    return images == o.images && boxes == o.boxes && labels == o.labels && scales == o.scales && ids == o.ids;
  }
};

std::vector<Copy> ReadEpoch(DetectionLoader* loader, int64_t epoch, int64_t first = 0) {
  std::vector<Copy> batches;
  loader->StartEpoch(epoch, first);
  DetectionBatch batch;
  while (loader->Next(&batch))
    batches.push_back({batch.images, batch.boxes, batch.labels, batch.scales, batch.image_ids});
  return batches;
}

TEST_F(DetectionLoading, EvaluationKeepsOrderAspectAndScale) {
  DetectionLoader loader(set_, Options(false));
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  const std::vector<Copy> batches = ReadEpoch(&loader, 0);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].images.shape(), (Shape{3, 3, 64, 128}));
  size_t at = 0;
  for (const Copy& batch : batches) {
    for (size_t i = 0; i < batch.ids.size(); ++i, ++at) {
      const CocoSet::Image& listed = set_->images[at];
      EXPECT_EQ(batch.ids[i], listed.id);
      const float scale = batch.scales.data<float>()[i];
      EXPECT_NEAR(scale, std::max(listed.width / 128.0, listed.height / 64.0), 1e-6);
      size_t found = 0;
      for (int b = 0; b < 5; ++b) {
        if (batch.labels.data<int64_t>()[i * 5 + b] < 0) continue;
        const float* box = batch.boxes.data<float>() + (i * 5 + b) * 4;
        const Box& expected = listed.boxes[found++];
        EXPECT_NEAR(box[0] * scale, expected.y1, 1e-4);
        EXPECT_NEAR(box[3] * scale, expected.x2, 1e-4);
        EXPECT_GT(Whiteness(batch.images.data<float>() + i * 3 * 64 * 128, 128, 64, box[0] + 1, box[1] + 1, box[2] - 1,
                            box[3] - 1),
                  0.9);
      }
      EXPECT_EQ(found, listed.id == 104 ? 0u : listed.id == 106 ? 1u : 2u) << "crowds are left out";
    }
  }
  EXPECT_EQ(at, 11u);
}

TEST_F(DetectionLoading, PaddingIsTheMeanColor) {
  DetectionLoader loader(set_, Options(false));
  const std::vector<Copy> batches = ReadEpoch(&loader, 0);
  // Image 0 is 60 x 90: 42 x 64 of 128 x 64.
  const float* image = batches[0].images.data<float>();
  EXPECT_NE(image[41], 0);
  for (int x = 42; x < 128; ++x) EXPECT_EQ(image[x], 0);
}

TEST_F(DetectionLoading, AugmentedBoxesLieInsideAndOnTheirObjects) {
  DetectionLoaderOptions options = Options(true);
  options.augmentation.random_crop_min_scale = 0.5;
  options.augmentation.auto_translate_xy = true;
  DetectionLoader loader(set_, options);
  int boxes = 0, seen = 0;
  for (int epoch = 0; epoch < 20; ++epoch) {
    for (const Copy& batch : ReadEpoch(&loader, epoch)) {
      for (size_t i = 0; i < batch.ids.size(); ++i) {
        bool padding = false;
        for (int b = 0; b < 5; ++b) {
          const float* box = batch.boxes.data<float>() + (i * 5 + b) * 4;
          if (batch.labels.data<int64_t>()[i * 5 + b] < 0) {
            padding = true;
            EXPECT_EQ(box[0] + box[1] + box[2] + box[3], 0);
            continue;
          }
          EXPECT_FALSE(padding) << "boxes first, padding behind";
          EXPECT_GE(box[0], 0);
          EXPECT_GE(box[1], 0);
          EXPECT_LT(box[0], box[2]);
          EXPECT_LT(box[1], box[3]);
          EXPECT_LE(box[2], 63);
          EXPECT_LE(box[3], 127);
          ++boxes;
          // Two pixels in, away from the blur of scaling.
          const double white = Whiteness(batch.images.data<float>() + i * 3 * 64 * 128, 128, 64, box[0] + 2, box[1] + 2,
                                         box[2] - 2, box[3] - 2);
          if (white >= 0) {
            ++seen;
            EXPECT_GT(white, 0.95) << "image " << batch.ids[i] << " epoch " << epoch;
          }
        }
      }
    }
  }
  EXPECT_GT(boxes, 150);
  EXPECT_GT(seen, 100);
}

TEST_F(DetectionLoading, TheSameWithAnyNumberOfThreadsAndAfterAResume) {
  DetectionLoaderOptions options = Options(true, 1);
  options.augmentation.auto_color_distortion = true;
  DetectionLoader one(set_, options);
  options.workers = 4;
  options.prefetch = 2;
  options.cache_bytes = 0;
  DetectionLoader four(set_, options);
  const std::vector<Copy> first = ReadEpoch(&one, 3);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_TRUE(first == ReadEpoch(&four, 3));
  EXPECT_FALSE(first == ReadEpoch(&one, 4));
  const std::vector<Copy> rest = ReadEpoch(&four, 3, 1);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_TRUE(rest[0] == first[1] && rest[1] == first[2]);
}

TEST_F(DetectionLoading, BadInputIsNamed) {
  DetectionLoaderOptions options = Options(true);
  options.max_boxes = 1;
  EXPECT_THAT(MessageOf([&] { DetectionLoader(set_, options); }),
              HasSubstr("0.png' (id 100) has 2 boxes, but max_instances_per_image is 1; set it to 2 or more"));
  options = Options(true);
  options.augmentation.random_crop_min_scale = 3;
  EXPECT_THAT(MessageOf([&] { DetectionLoader(set_, options); }), HasSubstr("random_crop_min_scale is 3"));
  options = Options(false);
  CocoSet other = *set_;
  other.images[2].width = 10;
  DetectionLoader loader(std::make_shared<CocoSet>(other), options);
  EXPECT_THAT(MessageOf([&] { ReadEpoch(&loader, 0); }),
              HasSubstr("2.png' (id 102) has 74 x 80 pixels, but 10 x 80 by its annotations"));
  WriteFileAtomic(folder_ / "3.png", "not a picture");
  DetectionLoader rest(set_, options);
  size_t count = 0;
  for (const Copy& batch : ReadEpoch(&rest, 0)) {
    count += batch.ids.size();
    EXPECT_EQ(std::count(batch.ids.begin(), batch.ids.end(), 103), 0) << "left out";
  }
  EXPECT_EQ(count, 10u);
}

TEST(DetectionTransform, FitFillsOneSideExactly) {
  for (int w = 1; w < 700; w += 13) {
    for (int h = 1; h < 700; h += 17) {
      const Placement p = FitPlacement(w, h, 512, 384);
      EXPECT_TRUE(p.scaled_width == 512 || p.scaled_height == 384) << w << " x " << h;
      EXPECT_LE(p.scaled_width, 512);
      EXPECT_LE(p.scaled_height, 384);
    }
  }
}

TEST(DetectionTransform, AFlippedImageIsTheMirror) {
  const Image image = PatternImage(10, 6);
  std::vector<float> straight(3 * 60), mirrored(3 * 60);
  Placement p = FitPlacement(10, 6, 10, 6);
  PlaceImage(image, p, 10, 6, straight.data());
  p.flip = true;
  PlaceImage(image, p, 10, 6, mirrored.data());
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 10; ++x) EXPECT_FLOAT_EQ(straight[y * 10 + x], mirrored[y * 10 + 9 - x]);
  }
  EXPECT_NEAR(straight[0], (image.pixels[0] / 255.0 - 0.485) / 0.229, 1e-5);
  const std::vector<Box> boxes = PlaceBoxes({{1, 2, 4, 5, 0, false, 9}}, p, 10, 10, 6);
  ASSERT_EQ(boxes.size(), 1u);
  EXPECT_FLOAT_EQ(boxes[0].x1, 6);
  EXPECT_FLOAT_EQ(boxes[0].x2, 9);
}

TEST(DetectionTransform, TranslationMovesImageAndBoxesTogetherAndDropsWhatLeaves) {
  int dropped = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::vector<Box> boxes = {{10, 10, 30, 30, 0, false, 400}, {85, 85, 95, 95, 1, false, 100}};
    Image image = WithBoxes(100, 100, boxes);
    KeyedRng rng(seed, 1);
    TranslateXY(&rng, &image, &boxes);
    dropped += 2 - static_cast<int>(boxes.size());
    for (const Box& box : boxes) {
      EXPECT_GE(box.x1, 0);
      EXPECT_LE(box.y2, 100);
      for (int y = static_cast<int>(box.y1); y < box.y2; ++y) {
        for (int x = static_cast<int>(box.x1); x < box.x2; ++x) ASSERT_EQ(image.pixels[(y * 100 + x) * 3], 255);
      }
    }
  }
  EXPECT_GT(dropped, 5);
}

TEST(ColorOps, OnSmallImagesByHand) {
  Image image = FlatImage(1, 1, {10, 100, 200});
  AdjustBrightness(1.5, &image);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{15, 150, 255}));
  image = FlatImage(2, 1, {10, 100, 200});
  const Image before = image;
  AdjustColor(1, &image);
  AdjustContrast(1, &image);
  AdjustSharpness(1, &image);
  EXPECT_EQ(image.pixels, before.pixels) << "factor 1 changes nothing";
  AdjustColor(0, &image);  // (10 * 19595 + 100 * 38470 + 200 * 7471 + 32768) >> 16
  EXPECT_EQ(image.pixels[0], 84);
  EXPECT_EQ(image.pixels[2], 84);
  image = FlatImage(2, 1, {0, 0, 0});
  image.pixels[3] = image.pixels[4] = image.pixels[5] = 100;
  AdjustContrast(2, &image);  // around 50
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{0, 0, 0, 150, 150, 150}));
  image = FlatImage(3, 3, {0, 0, 0});
  image.pixels[12] = 130;
  AdjustSharpness(0, &image);  // 5 * 130 / 13
  EXPECT_EQ(image.pixels[12], 50);
  EXPECT_EQ(image.pixels[0], 0);
}

TEST(ColorOps, EqualizeFlattensTheHistogram) {
  Image image = FlatImage(64, 64, {0, 0, 0});
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(100 + (i / 3) % 16);
  Equalize(&image);
  const auto [low, high] = std::minmax_element(image.pixels.begin(), image.pixels.end());
  EXPECT_LE(*low, 1);
  EXPECT_EQ(*high, 255);
  Image flat = FlatImage(4, 4, {7, 7, 7});
  Equalize(&flat);
  EXPECT_EQ(flat.pixels[0], 7) << "one color stays";
}

}  // namespace
}  // namespace octet::data
