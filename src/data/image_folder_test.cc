#include "data/image_folder.h"

#include <gmock/gmock.h>

#include "data/image_set.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

using ::testing::ElementsAre;

void WritePattern(const std::string& path, int seed = 0) {
  WriteFileAtomic(path, EncodePng(PatternImage(20, 16, 3, seed)));
}

TEST(ImageFolder, ClassesAreSortedAndFilesListed) {
  const TestFolder dir;
  WritePattern(dir / "zebra/b.png");
  WritePattern(dir / "zebra/deeper/a.PNG");
  WritePattern(dir / "Ant/x.png");
  WritePattern(dir / ".hidden/x.png");
  WriteFileAtomic(dir / "Ant/notes.txt", "hello");
  const ImageFolder folder = ScanImageFolder(dir.path());
  EXPECT_THAT(folder.classes, ElementsAre("Ant", "zebra"));
  ASSERT_EQ(folder.files.size(), 3u);
  EXPECT_EQ(folder.files[0].label, 0);
  EXPECT_EQ(folder.files[1].path, dir / "zebra/b.png");
  EXPECT_EQ(folder.files[2].label, 1);
  EXPECT_THAT(folder.other_files, ElementsAre(dir / "Ant/notes.txt"));
  EXPECT_EQ(ListImages(dir.path()).size(), 3u);
  EXPECT_EQ(ListImages(dir / "Ant/x.png").size(), 1u);
  EXPECT_EQ(ListImages(dir / "*/x.png").at(0).path, dir / "Ant/x.png");
  EXPECT_EQ(MessageOf([&] { ListImages(dir / "*.webp"); }), "no file fits '" + dir / "*.webp'");
}

TEST(ImageFolder, WrongFoldersAreNamed) {
  const TestFolder dir;
  const std::string no = dir / "no";
  EXPECT_EQ(MessageOf([&] { ScanImageFolder(no); }), "image folder '" + no + "' does not exist");
  EXPECT_EQ(MessageOf([&] { ListImages(no); }), "image folder '" + no + "' does not exist");
  EXPECT_EQ(MessageOf([&] { ListImages(dir.path()); }),
            "no images in '" + dir.path() + "'; expected jpg, jpeg, png, bmp, ppm, tif, tiff files");
  WritePattern(dir / "loose.png");
  EXPECT_EQ(MessageOf([&] { ScanImageFolder(dir / "loose.png"); }),
            "'" + (dir / "loose.png") + "' is a file; expected a folder with one folder per class");
  EXPECT_EQ(MessageOf([&] { ScanImageFolder(dir.path()); }), "'" + dir.path() +
                                                                 "' has no class folders (1 images lie in the folder "
                                                                 "itself); expected " +
                                                                 dir.path() + "/CLASS/image.jpg");
  WritePattern(dir / "cat/1.png");
  EXPECT_EQ(MessageOf([&] { ScanImageFolder(dir.path()); }),
            "'" + dir.path() + "' has one class only ('cat'); a classifier needs two or more class folders");
  MakeDirectories(dir / "dog");
  EXPECT_EQ(MessageOf([&] { ScanImageFolder(dir.path()); }),
            "'" + dir.path() +
                "': class folder 'dog' without images; add images (jpg, jpeg, png, bmp, ppm, tif, tiff) or remove the "
                "folder");
}

TEST(ImageFolder, DifferentClassesAreNamedBothWays) {
  const TestFolder dir;
  for (const char* name : {"train/cat", "train/dog", "train/emu", "val/cat", "val/dogs", "val/emu"}) {
    WritePattern(dir / (std::string(name) + "/1.png"));
  }
  const ImageFolder train = ScanImageFolder(dir / "train");
  const ImageFolder val = ScanImageFolder(dir / "val");
  RequireSameClasses(train, train);
  const std::string t = dir / "train";
  const std::string v = dir / "val";
  EXPECT_EQ(MessageOf([&] { RequireSameClasses(train, val); }), "the classes of '" + t + "' and '" + v +
                                                                    "' differ: only in '" + t + "': 'dog'; only in '" +
                                                                    v + "': 'dogs'; make the class folders equal");
}

TEST(ImageFolder, ClassmapIsReadBack) {
  const TestFolder dir;
  const std::vector<std::string> classes = {"b", "a \"q\"", "c"};
  WriteClassmap(dir / "classmap.json", classes);
  EXPECT_EQ(ReadClassmap(dir / "classmap.json"), classes);
  WriteFileAtomic(dir / "names.txt", "cat\ndog\n\n");
  EXPECT_THAT(ReadClassmap(dir / "names.txt"), ElementsAre("cat", "dog"));
  WriteFileAtomic(dir / "bad.json", "{\"a\": 0, \"b\": 2}");
  EXPECT_EQ(MessageOf([&] { ReadClassmap(dir / "bad.json"); }),
            "class map '" + (dir / "bad.json") + "': class 'b' has index 2; expected each of 0 to 1 once");
}

// The layer writes no JPEG, so the test carries one.
std::string TinyJpeg() {
  static const unsigned char kBytes[] = {
#include "data/tiny_jpeg.inc"
  };
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

TEST(ImageSet, DamagedFilesAreFoundNamedAndLeftOut) {
  const TestFolder dir;
  const std::string jpeg = TinyJpeg();
  const std::string png = EncodePng(PatternImage(20, 16));
  WriteFileAtomic(dir / "cat/a_good.jpg", jpeg);
  WriteFileAtomic(dir / "cat/b_good_with_tail.jpg", jpeg + "trailing bytes");
  WriteFileAtomic(dir / "cat/c_truncated.jpg", jpeg.substr(0, jpeg.size() - 60));
  WriteFileAtomic(dir / "cat/d_text.jpg", "this is no image\n");
  WriteFileAtomic(dir / "cat/e_empty.jpg", "");
  WriteFileAtomic(dir / "cat/f_header_only.jpg", jpeg.substr(0, 30));
  WriteFileAtomic(dir / "dog/g_good.png", png);
  WriteFileAtomic(dir / "dog/h_truncated.png", png.substr(0, png.size() - 20));
  std::string damaged = png;
  damaged[png.size() / 2] ^= 0x55;
  WriteFileAtomic(dir / "dog/i_damaged.png", damaged);
  WriteFileAtomic(dir / "dog/j_binary.bmp", std::string("BM\x01\x02\x03\x04\x05", 7));
  ImageSetOptions options;
  options.show_progress = false;
  options.threads = 2;
  const ImageSet set(ScanImageFolder(dir.path()), options);
  EXPECT_EQ(set.size(), 3);
  std::vector<std::string> bad;
  for (const BadImage& image : set.bad())
    bad.push_back(image.path.substr(dir.path().size() + 1) + ": " + image.problem);
  EXPECT_THAT(bad,
              ElementsAre(fmt::format("cat/c_truncated.jpg: truncated JPEG (no end-of-image marker in {} bytes)",
                                      jpeg.size() - 60),
                          "cat/d_text.jpg: not an image (a text file)", "cat/e_empty.jpg: empty file",
                          "cat/f_header_only.jpg: truncated JPEG (no end-of-image marker in 30 bytes)",
                          fmt::format("dog/h_truncated.png: truncated PNG (no end chunk in {} bytes)", png.size() - 20),
                          "dog/i_damaged.png: cannot be decoded (damaged, or not an image)",
                          "dog/j_binary.bmp: cannot be decoded (damaged, or not an image)"));
  EXPECT_EQ(set.Get(2)->pixels, PatternImage(20, 16).pixels);
  EXPECT_EQ(set.Get(0)->width, 24);
}

TEST(ImageSet, AClassLostEntirelyIsAnError) {
  const TestFolder dir;
  WritePattern(dir / "cat/1.png");
  WriteFileAtomic(dir / "dog/1.png", "no image");
  ImageSetOptions options;
  options.show_progress = false;
  EXPECT_EQ(MessageOf([&] { ImageSet(ScanImageFolder(dir.path()), options); }),
            "'" + dir.path() + "': no image of class 'dog' can be decoded; see the messages above");
}

TEST(ImageSet, BudgetBoundsTheCache) {
  const TestFolder dir;
  for (int i = 0; i < 4; ++i) WritePattern(dir / fmt::format("{}/{}.png", i % 2 == 0 ? "cat" : "dog", i), i);
  ImageSetOptions options;
  options.show_progress = false;
  options.cache_bytes = 20 * 16 * 3 * 2;
  const ImageSet set(ScanImageFolder(dir.path()), options);
  EXPECT_EQ(set.cached_bytes(), options.cache_bytes);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(set.Get(i)->pixels.size(), 960u);
  std::filesystem::remove(set.file(3).path);
  EXPECT_EQ(MessageOf([&] { set.Get(3); }), "image '" + set.file(3).path +
                                                "' could be decoded when the data was checked, and no longer can: "
                                                "cannot be read");
}

TEST(ImageSet, SixteenBitGrayNeedsSixteenBitFiles) {
  const TestFolder dir;
  Image image;
  image.width = 4;
  image.height = 2;
  image.channels = 1;
  image.depth = 16;
  const std::vector<uint16_t> values = {0, 1, 255, 256, 1000, 30000, 65534, 65535};
  image.pixels.resize(16);
  std::copy_n(reinterpret_cast<const uint8_t*>(values.data()), 16, image.pixels.begin());
  WriteFileAtomic(dir / "deep.png", EncodePng(image));
  WriteFileAtomic(dir / "flat.png", EncodePng(PatternImage(4, 2, 1)));
  Image decoded;
  std::string problem;
  ASSERT_TRUE(DecodeImageFile(dir / "deep.png", {1, 16}, &decoded, &problem)) << problem;
  EXPECT_EQ(decoded.pixels, image.pixels);
  EXPECT_FALSE(DecodeImageFile(dir / "flat.png", {1, 16}, &decoded, &problem));
  EXPECT_EQ(problem, "8 bits per channel, expected 16");
  ASSERT_TRUE(DecodeImageFile(dir / "flat.png", {1, 8}, &decoded, &problem));
  EXPECT_EQ(decoded.pixels, PatternImage(4, 2, 1).pixels);
}

TEST(ImageSet, RealPhotos) {
  const std::string path = SharedData("clothing192/val");
  if (path.empty()) {
    std::printf("skipped: no shared data\n");
    GTEST_SKIP();
  }
  ImageSetOptions options;
  options.show_progress = false;
  options.threads = 2;
  const ImageSet set(ScanImageFolder(path), options);
  EXPECT_EQ(set.classes().size(), 10u);
  EXPECT_EQ(set.size(), 341);
  EXPECT_TRUE(set.bad().empty());
  EXPECT_EQ(std::min(set.Get(0)->width, set.Get(0)->height), 192);
}

}  // namespace
}  // namespace octet::data
