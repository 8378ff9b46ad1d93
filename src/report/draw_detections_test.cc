// Pictures with boxes: what is drawn, what is not, and that nothing is drawn outside. OCTET_DRAW_SAMPLES=folder writes
// real images with their ground truth drawn, to look at.
#include "report/draw_detections.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/files.h"
#include "data/coco.h"
#include "data/detection_loader.h"

namespace octet::report {
namespace {

data::Image Flat(int width, int height, uint8_t value) {
  data::Image image;
  image.width = width;
  image.height = height;
  image.pixels.assign(static_cast<size_t>(width) * height * 3, value);
  return image;
}

std::vector<uint8_t> Pixel(const data::Image& image, int x, int y) {
  const auto at = image.pixels.begin() + (static_cast<int64_t>(y) * image.width + x) * 3;
  return {at, at + 3};
}

TEST(DrawDetections, FramesHaveTheColorOfTheirClassAndADarkEdge) {
  for (const uint8_t ground : {0, 128, 255}) {
    const data::Image drawn = DrawDetections(Flat(200, 200, ground), {{0, 1, 0.9f, 50, 60, 120, 150}}, {{"a", "b"}});
    EXPECT_EQ(Pixel(drawn, 50, 100), ClassColor(1));
    EXPECT_EQ(Pixel(drawn, 49, 100), ClassColor(1));
    EXPECT_EQ(Pixel(drawn, 48, 100), (std::vector<uint8_t>{0, 0, 0}));
    EXPECT_EQ(Pixel(drawn, 51, 100), (std::vector<uint8_t>{0, 0, 0}));
    EXPECT_EQ(Pixel(drawn, 85, 105), (std::vector<uint8_t>{ground, ground, ground})) << "the object stays visible";
  }
}

TEST(DrawDetections, WeakOnesAndTooManyAreLeftOut) {
  const data::Image empty = Flat(100, 100, 50);
  EXPECT_EQ(DrawDetections(empty, {{0, 0, 0.29f, 10, 10, 50, 50}}, {}).pixels, empty.pixels);
  DrawOptions one;
  one.max_boxes = 1;
  const data::Image drawn = DrawDetections(empty, {{0, 0, 0.5f, 10, 60, 50, 90}, {0, 1, 0.9f, 60, 60, 95, 95}}, one);
  EXPECT_EQ(Pixel(drawn, 10, 80), (std::vector<uint8_t>{50, 50, 50}));
  EXPECT_EQ(Pixel(drawn, 60, 80), ClassColor(1));
}

TEST(DrawDetections, BoxesAtAndBeyondTheEdgeDoNotMatter) {
  const data::Image drawn = DrawDetections(
      Flat(40, 30, 90),
      {{0, 0, 0.9f, -50, -20, 500, 400}, {0, 1, 0.9f, 100, 100, 120, 130}, {0, 40, 1.0f, 38, 28, 40, 30}}, {});
  EXPECT_EQ(drawn.pixels.size(), 40u * 30 * 3);
}

TEST(ClassColor, NeighboursDiffer) {
  for (int i = 0; i < 80; ++i) {
    for (int j = std::max(0, i - 7); j < i; ++j) {
      const auto a = ClassColor(i), b = ClassColor(j);
      EXPECT_GT(std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]), 40) << i << " " << j;
    }
  }
}

TEST(KittiLabels, SixteenColumns) {
  DrawOptions options;
  options.classes = {"traffic light"};
  EXPECT_EQ(KittiLabels({{0, 0, 0.87654f, 1.25f, 2, 3, 4.0004f}, {0, 3, 0.5f, 0, 0, 1, 1}, {0, 0, 0.1f, 0, 0, 1, 1}},
                        options),
            "traffic_light 0.00 0 0.00 1.250 2.000 3.000 4.000 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.877\n"
            "class_3 0.00 0 0.00 0.000 0.000 1.000 1.000 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.500\n");
}

TEST(DrawDetections, Samples) {
  const char* folder = std::getenv("OCTET_DRAW_SAMPLES");
  if (folder == nullptr) GTEST_SKIP() << "OCTET_DRAW_SAMPLES is not set";
  std::mt19937 random(1);
  for (const std::string name : {"bccd", "foda12"}) {
    const std::string data = std::string(OCTET_SOURCE_DIR) + "/../shared/data/" + name;
    if (!IsDirectory(data)) GTEST_SKIP() << "skipped: no shared data";
    const data::CocoSet set = data::ReadCoco(data + "/val.json", data + "/images");
    for (size_t i = 0; i < set.images.size() && i < 400; i += set.images.size() / 4) {
      data::Image image;
      std::string problem;
      ASSERT_TRUE(data::DecodeImageFile(set.images[i].path, {}, &image, &problem)) << problem;
      std::vector<detection::Detection> detections;
      for (const data::Box& b : set.images[i].boxes) {
        detections.push_back({0, b.label, 0.5f + 0.5f * (random() % 1000) / 1000.0f, b.x1, b.y1, b.x2, b.y2});
      }
      WriteFileAtomic(fmt::format("{}/{}_{}.png", folder, name, i),
                      data::EncodePng(DrawDetections(image, detections, {set.classes})));
    }
  }
}

// What training sees: augmented batches with their boxes.
TEST(DrawDetections, AugmentedSamples) {
  const char* folder = std::getenv("OCTET_DRAW_SAMPLES");
  if (folder == nullptr) GTEST_SKIP() << "OCTET_DRAW_SAMPLES is not set";
  for (const std::string name : {"bccd", "foda12"}) {
    const std::string data = std::string(OCTET_SOURCE_DIR) + "/../shared/data/" + name;
    if (!IsDirectory(data)) GTEST_SKIP() << "skipped: no shared data";
    const auto set = std::make_shared<data::CocoSet>(data::ReadCoco(data + "/val.json", data + "/images"));
    data::DetectionLoaderOptions options;
    options.width = options.height = 256;
    options.training = true;
    options.show_progress = false;
    options.augmentation.auto_color_distortion = true;
    options.augmentation.auto_translate_xy = true;
    data::DetectionLoader loader(set, options);
    const auto begin = std::chrono::steady_clock::now();
    int64_t count = 0;
    for (int epoch = 0; epoch < 3; ++epoch) {
      loader.StartEpoch(epoch);
      for (data::DetectionBatch batch; loader.Next(&batch); ++count) {
        if (epoch > 0 || count > 0) continue;
        data::Image sheet = Flat(256 * 4, 512, 0);
        for (int i = 0; i < 8; ++i) {
          data::Image image = Flat(256, 256, 0);
          const float* from = batch.images.data<float>() + i * 3 * 256 * 256;
          const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
          for (int c = 0; c < 3; ++c) {
            for (int k = 0; k < 256 * 256; ++k) {
              const float v = 255 * (from[c * 256 * 256 + k] * deviation[c] + mean[c]);
              image.pixels[k * 3 + c] = static_cast<uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f));
            }
          }
          std::vector<detection::Detection> boxes;
          for (int b = 0; b < options.max_boxes; ++b) {
            const float* box = batch.boxes.data<float>() + (i * options.max_boxes + b) * 4;
            const auto label = static_cast<int32_t>(batch.labels.data<int64_t>()[i * options.max_boxes + b]);
            if (label >= 0) boxes.push_back({0, label, 1, box[1], box[0], box[3], box[2]});
          }
          image = DrawDetections(image, boxes, {set->classes});
          for (int y = 0; y < 256; ++y) {
            std::copy_n(image.pixels.begin() + y * 768, 768,
                        sheet.pixels.begin() + ((i / 4) * 256 + y) * 3072 + (i % 4) * 768);
          }
        }
        WriteFileAtomic(fmt::format("{}/{}_batch.png", folder, name), data::EncodePng(sheet));
      }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{}: {:.0f} images a second, one thread\n", name, 3.0 * set->images.size() / seconds);
  }
}

}  // namespace
}  // namespace octet::report
