#include "data/preprocess.h"

#include <gmock/gmock.h>

#include <set>

#include "base/strings.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

using ::testing::FloatEq;

TEST(Resize, EqualsPillow) {
  // Checksums of the same image resized by Pillow 13.
  struct Case {
    int width;
    int height;
    Interpolation interpolation;
    uint64_t checksum;
  };
  const Case cases[] = {
      {11, 9, Interpolation::kBilinear, 0xa801bc1c80267944ULL},
      {11, 9, Interpolation::kBicubic, 0x46e951b01be825d7ULL},
      {40, 31, Interpolation::kBilinear, 0x4fffe1a176274f8cULL},
      {40, 31, Interpolation::kBicubic, 0x3cde8d8b22e0aa7bULL},
      {23, 9, Interpolation::kBilinear, 0x9e60abb2ab12590cULL},
      {23, 9, Interpolation::kBicubic, 0xe50429e1c86fe8a9ULL},
      {11, 17, Interpolation::kBilinear, 0x31bd42da2f6f7328ULL},
      {11, 17, Interpolation::kBicubic, 0x4ebfb9514e79f584ULL},
      {5, 40, Interpolation::kBilinear, 0x76edbe90688925dfULL},
      {5, 40, Interpolation::kBicubic, 0x6e2f75f11e161612ULL},
  };
  const Image image = PatternImage(23, 17);
  for (const Case& c : cases) {
    const Image out = Resize(image, c.width, c.height, c.interpolation);
    EXPECT_EQ(Fnv1a64(out.pixels.data(), out.pixels.size()), c.checksum) << c.width << "x" << c.height;
  }
}

TEST(Resize, WindowEqualsResizeThenCrop) {
  const Image image = PatternImage(50, 41);
  for (const auto& [width, height] : {std::pair(31, 70), std::pair(50, 20), std::pair(77, 41), std::pair(13, 9)}) {
    const Image full = Resize(image, width, height, Interpolation::kBicubic);
    const Window window = {width / 3, height / 4, width / 2, height / 2};
    const Image part = ResizeWindow(image, width, height, window, Interpolation::kBicubic);
    for (int y = 0; y < window.height; ++y) {
      for (size_t i = 0; i < part.RowBytes(); ++i) {
        ASSERT_EQ(part.pixels[part.RowBytes() * y + i],
                  full.pixels[full.RowBytes() * (y + window.y) + 3 * window.x + i]);
      }
    }
  }
}

TEST(Resize, SixteenBitFollowsTheSameFilter) {
  const Image gray = PatternImage(23, 17, 1);
  Image deep = gray;
  deep.depth = 16;
  deep.pixels.resize(gray.pixels.size() * 2);
  for (size_t i = 0; i < gray.pixels.size(); ++i)
    reinterpret_cast<uint16_t*>(deep.pixels.data())[i] = gray.pixels[i] * 257;
  const Image a = Resize(gray, 10, 30, Interpolation::kBilinear);
  const Image b = Resize(deep, 10, 30, Interpolation::kBilinear);
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    EXPECT_NEAR(reinterpret_cast<const uint16_t*>(b.pixels.data())[i] / 257.0, a.pixels[i], 1.01);
  }
}

std::vector<float> Evaluate(const PreprocessOptions& options, const Image& image) {
  const Preprocessor preprocessor(options);
  std::vector<float> out(preprocessor.output_size());
  preprocessor.ForEvaluation(image, out.data());
  return out;
}

TEST(Preprocess, ModesAndChannelOrder) {
  PreprocessOptions options;
  options.width = options.height = 2;
  const Image color = FlatImage(2, 2, {200, 100, 50});  // red, green, blue
  std::vector<float> out = Evaluate(options, color);
  EXPECT_THAT(out[0], FloatEq(50 - 103.939f));
  EXPECT_THAT(out[4], FloatEq(100 - 116.779f));
  EXPECT_THAT(out[8], FloatEq(200 - 123.68f));
  options.mode = PreprocessMode::kTorch;
  out = Evaluate(options, color);
  EXPECT_THAT(out[0], FloatEq((200 / 255.0f - 0.485f) / 0.229f));
  EXPECT_THAT(out[4], FloatEq((100 / 255.0f - 0.456f) / 0.224f));
  EXPECT_THAT(out[8], FloatEq((50 / 255.0f - 0.406f) / 0.225f));
  options.mode = PreprocessMode::kTf;
  out = Evaluate(options, color);
  EXPECT_THAT(out[0], FloatEq(200 / 127.5f - 1));
  EXPECT_THAT(out[11], FloatEq(50 / 127.5f - 1));

  options.channels = 1;
  const Image gray = FlatImage(2, 2, {200});
  options.mode = PreprocessMode::kCaffe;
  EXPECT_THAT(Evaluate(options, gray)[3], FloatEq(200 - 117.3786f));
  options.image_mean = {10.5};
  EXPECT_THAT(Evaluate(options, gray)[3], FloatEq(189.5f));
  options.mode = PreprocessMode::kTorch;
  EXPECT_THAT(Evaluate(options, gray)[3], FloatEq((200 / 255.0f - 0.449f) / 0.224f));

  Image deep = FlatImage(2, 2, {0, 0});
  deep.channels = 1;
  deep.depth = 16;
  for (int i = 0; i < 4; ++i) reinterpret_cast<uint16_t*>(deep.pixels.data())[i] = 40000;
  options.depth = 16;
  EXPECT_THAT(Evaluate(options, deep)[3], FloatEq((40000 / 65535.0f - 0.449f) / 0.224f));
  options.mode = PreprocessMode::kTf;
  EXPECT_THAT(Evaluate(options, deep)[3], FloatEq(40000 / 32767.5f - 1));
  options.mode = PreprocessMode::kCaffe;
  options.image_mean = {1, 2, 3};
  EXPECT_THAT(Evaluate(options, deep)[3], FloatEq(40000 - 30048.9216f));
  options.channels = 3;
  EXPECT_EQ(MessageOf([&] { Preprocessor p(options); }),
            "model.input_image_depth 16 is for gray images (model.input_channels 1)");
}

TEST(Preprocess, CenterCropCoversTheSizePlus32) {
  PreprocessOptions options;
  options.width = 20;
  options.height = 10;
  // 104 x 84 covers 52 x 42 at half size; the middle 20 x 10 begins at (26 - 10, 21 - 5).
  const Image image = PatternImage(104, 84);
  const Image expected = ResizeWindow(image, 52, 42, {16, 16, 20, 10}, Interpolation::kBilinear);
  EXPECT_EQ(Preprocessor(options).CropForEvaluation(image).pixels, expected.pixels);
  options.center_crop = false;
  EXPECT_EQ(Preprocessor(options).CropForEvaluation(image).pixels,
            Resize(image, 20, 10, Interpolation::kBilinear).pixels);
  options.center_crop = true;
  const Image fits = PatternImage(20, 10);
  EXPECT_EQ(Preprocessor(options).CropForEvaluation(fits).pixels, fits.pixels);
}

TEST(Preprocess, AugmentationStaysInsideAndDependsOnTheKey) {
  PreprocessOptions options;
  options.width = 24;
  options.height = 16;
  options.color = true;
  const Preprocessor preprocessor(options);
  const Image images[] = {PatternImage(100, 20), PatternImage(17, 90), PatternImage(24, 17), PatternImage(5, 5)};
  int different = 0;
  for (const Image& image : images) {
    for (uint64_t sample = 0; sample < 50; ++sample) {
      KeyedRng first(1, 2, sample);
      KeyedRng again(1, 2, sample);
      KeyedRng other(1, 3, sample);
      const Image a = preprocessor.AugmentForTraining(image, &first);
      EXPECT_EQ(a.width, 24);
      EXPECT_EQ(a.height, 16);
      EXPECT_EQ(a.pixels, preprocessor.AugmentForTraining(image, &again).pixels);
      different += a.pixels != preprocessor.AugmentForTraining(image, &other).pixels ? 1 : 0;
    }
  }
  EXPECT_GT(different, 195);
}

TEST(Preprocess, ColorRotatesHueAroundGrayAfterARandomCropOnly) {
  PreprocessOptions o;
  o.width = o.height = 16;
  o.flip = false;
  const auto augmented = [&](const std::vector<uint8_t>& color, int size, uint64_t sample) {
    KeyedRng rng(1, 0, sample);
    return Preprocessor(o).AugmentForTraining(FlatImage(size, size, color), &rng).pixels;
  };
  const std::vector<uint8_t> orange = {200, 120, 40}, gray = {150, 150, 150};
  EXPECT_EQ(augmented(orange, 40, 1), FlatImage(16, 16, orange).pixels);  // off
  o.color = true;
  EXPECT_EQ(augmented(orange, 16, 1), FlatImage(16, 16, orange).pixels);  // the image is not cropped
  std::set<std::vector<uint8_t>> seen;
  for (uint64_t sample = 0; sample < 200; ++sample) {
    const std::vector<uint8_t> p = augmented(orange, 40, sample);
    const std::vector<uint8_t> pixel(p.begin(), p.begin() + 3);
    seen.insert(pixel);
    // Rotation by up to 25 degrees keeps the mean of the channels, contrast moves it by up to a tenth around 127.5.
    const double mean = (pixel[0] + pixel[1] + pixel[2]) / 3.0;
    EXPECT_NEAR(mean, 120, 0.1 * 7.5 + 1);
    EXPECT_GT(pixel[0], pixel[2]);  // orange stays on its side of the circle
    const std::vector<uint8_t> g = augmented(gray, 40, sample);
    EXPECT_TRUE(g[0] == g[1] && g[1] == g[2]);
    EXPECT_NEAR(g[0], 150, 0.1 * 22.5 + 1);
  }
  EXPECT_GT(seen.size(), 150U);
  o.random_crop = false;
  EXPECT_EQ(augmented(orange, 40, 1), FlatImage(16, 16, orange).pixels);
}

TEST(Preprocess, FlipMirrorsHalfOfTheImages) {
  PreprocessOptions options;
  options.width = options.height = 8;
  const Image image = PatternImage(8, 8);
  Image mirrored = image;
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      for (int c = 0; c < 3; ++c) mirrored.pixels[(y * 8 + x) * 3 + c] = image.pixels[(y * 8 + 7 - x) * 3 + c];
    }
  }
  int flips = 0;
  for (uint64_t sample = 0; sample < 400; ++sample) {
    KeyedRng rng(5, 0, sample);
    const Image out = Preprocessor(options).AugmentForTraining(image, &rng);
    const bool flipped = out.pixels == mirrored.pixels;
    EXPECT_TRUE(flipped || out.pixels == image.pixels);
    flips += flipped ? 1 : 0;
  }
  EXPECT_NEAR(flips, 200, 40);
  options.flip = false;
  options.random_shift = 2;
  int shifted = 0;
  for (uint64_t sample = 0; sample < 100; ++sample) {
    KeyedRng rng(5, 0, sample);
    shifted += Preprocessor(options).AugmentForTraining(image, &rng).pixels != image.pixels ? 1 : 0;
  }
  EXPECT_GT(shifted, 85);
}

TEST(KeyedRng, Moments) {
  KeyedRng rng(3, 1);
  double uniform = 0;
  double normal = 0;
  double square = 0;
  double beta = 0;
  double beta_square = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    uniform += rng.Uniform();
    const double n = rng.Normal();
    normal += n;
    square += n * n;
    const double b = rng.Beta(0.4, 0.4);
    beta += b;
    beta_square += b * b;
  }
  EXPECT_NEAR(uniform / kCount, 0.5, 0.01);
  EXPECT_NEAR(normal / kCount, 0, 0.03);
  EXPECT_NEAR(square / kCount, 1, 0.04);
  EXPECT_NEAR(beta / kCount, 0.5, 0.015);
  // Variance of Beta(a, a): 1 / (4 (2 a + 1))
  EXPECT_NEAR(beta_square / kCount - 0.25, 1 / (4 * 1.8), 0.02);
}

}  // namespace
}  // namespace octet::data
