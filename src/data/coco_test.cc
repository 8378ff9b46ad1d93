// What bad annotation files say, and what is left of boxes that cannot be used.
#include "data/coco.h"

#include <gmock/gmock.h>

#include "data/coco_file.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kImages[] = R"({"id": 7, "file_name": "a.png", "width": 100, "height": 50},
  {"id": 3, "file_name": "sub/b.png", "width": 20, "height": 20})";
constexpr char kCategories[] = R"({"id": 90, "name": "dog"}, {"id": 2, "name": "cat"})";
constexpr char kBox[] =
    R"({"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 5, 30, 20], "area": 400, "iscrowd": 0})";

class Coco : public testing::Test {
 protected:
  Coco() {
    WriteFileAtomic(folder_ / "a.png", "x");
    WriteFileAtomic(folder_ / "sub/b.png", "x");
  }
  void Write(const std::string& images, const std::string& annotations, const std::string& categories) {
    WriteFileAtomic(
        folder_ / "x.json",
        fmt::format("{{\"info\": {{\"year\": 1}}, \"images\": [{}],\n\"annotations\": [{}],\n\"categories\": [{}]}}",
                    images, annotations, categories));
  }
  CocoSet Read(const CocoOptions& options = {}) { return ReadCoco(folder_ / "x.json", folder_.path(), options); }
  std::string ErrorOf(const std::string& images, const std::string& annotations, const std::string& categories,
                      const CocoOptions& options = {}) {
    Write(images, annotations, categories);
    return MessageOf([&] { Read(options); });
  }
  TestFolder folder_;
};

TEST_F(Coco, ReadsASetWithGapsInIdsAndAnImageWithoutBoxes) {
  Write(kImages, kBox, kCategories);
  const CocoSet set = Read();
  EXPECT_THAT(set.classes, ElementsAre("cat", "dog"));
  EXPECT_THAT(set.category_ids, ElementsAre(2, 90));
  ASSERT_EQ(set.images.size(), 2u);
  EXPECT_EQ(set.images[1].id, 3);
  EXPECT_EQ(set.images[1].path, folder_ / "sub/b.png");
  EXPECT_TRUE(set.images[1].boxes.empty());
  ASSERT_EQ(set.images[0].boxes.size(), 1u);
  const Box& box = set.images[0].boxes[0];
  EXPECT_EQ(box.label, 1);
  EXPECT_EQ(box.x1, 10);
  EXPECT_EQ(box.y1, 5);
  EXPECT_EQ(box.x2, 40);
  EXPECT_EQ(box.y2, 25);
  EXPECT_EQ(box.area, 400);
  EXPECT_FALSE(box.crowd);
}

TEST_F(Coco, BadBoxesAreClippedOrDroppedCountedAndListed) {
  const char* entry = R"({{"id": {}, "image_id": {}, "category_id": 2, "bbox": [{}], "iscrowd": {}}})";
  std::string annotations = fmt::format(entry, 1, 7, "-10, -10, 30, 20", 1);   // clipped
  annotations += "," + fmt::format(entry, 2, 7, "90.0, 40.0, 10.005, 10", 0);  // rounding: not counted
  annotations += "," + fmt::format(entry, 3, 7, "5, 5, 0, 10", 0);             // zero size
  annotations += "," + fmt::format(entry, 4, 7, "5, 5, 10, -1", 0);            // negative
  annotations += "," + fmt::format(entry, 5, 3, "25, 5, 10, 10", 0);           // outside
  annotations += "," + fmt::format(entry, 6, 3, "19.5, 5, 10, 10", 0);         // half a pixel is left
  Write(kImages, annotations, kCategories);
  CocoOptions options;
  options.warnings_path = folder_ / "out/warnings.json";
  const CocoSet set = Read(options);
  EXPECT_EQ(set.clipped, 1);
  ASSERT_EQ(set.images[0].boxes.size(), 2u);
  const Box& box = set.images[0].boxes[0];
  EXPECT_THAT((std::vector<float>{box.x1, box.y1, box.x2, box.y2}), ElementsAre(0, 0, 20, 10));
  EXPECT_TRUE(box.crowd);
  EXPECT_EQ(box.area, 600) << "width * height where the file has no area";
  EXPECT_EQ(set.images[0].boxes[1].x2, 100);
  ASSERT_EQ(set.dropped.size(), 4u);
  EXPECT_EQ(set.dropped[0].problem, "zero size");
  EXPECT_EQ(set.dropped[1].problem, "zero size");
  EXPECT_EQ(set.dropped[2].problem, "outside the image");
  EXPECT_EQ(set.dropped[3].problem, "less than one pixel inside the image");
  EXPECT_EQ(set.dropped[3].annotation_id, 6);
  std::string listed = ReadFile(options.warnings_path);
  listed.erase(std::remove_if(listed.begin(), listed.end(), [](char c) { return c == ' ' || c == '\n'; }),
               listed.end());
  EXPECT_EQ(listed, R"({"3":{"box":[5,6],"mask":[]},"7":{"box":[3,4],"mask":[]}})");
}

TEST_F(Coco, BadFilesAreNamedWithTheirPlace) {
  EXPECT_THAT(MessageOf([&] { Read(); }), HasSubstr("x.json"));
  WriteFileAtomic(folder_ / "x.json", "{\"images\": [],\n  \"annotations\": [1,\n}");
  EXPECT_THAT(MessageOf([&] { Read(); }), HasSubstr("x.json': malformed JSON: line 3, column 1"));
  WriteFileAtomic(folder_ / "x.json", "[1, 2]");
  EXPECT_THAT(MessageOf([&] { Read(); }), HasSubstr("holds no COCO annotations, but a JSON array"));
  WriteFileAtomic(folder_ / "x.json", R"({"images": [], "categories": []})");
  EXPECT_THAT(MessageOf([&] { Read(); }), HasSubstr("no list \"annotations\""));
  EXPECT_THAT(ErrorOf("", "", kCategories), HasSubstr("lists no images"));
  EXPECT_THAT(ErrorOf(kImages, "", ""), HasSubstr("lists no categories"));
  EXPECT_THAT(ErrorOf(kImages, "", kCategories), HasSubstr("has no usable box (0 left out)"));
  EXPECT_THAT(ErrorOf(R"({"id": 1, "file_name": "a.png", "height": 5})", kBox, kCategories),
              HasSubstr("images[0].width is missing"));
  EXPECT_THAT(ErrorOf(R"({"id": 1, "file_name": "a.png", "width": 0, "height": 5})", kBox, kCategories),
              HasSubstr("images[0].width and height are 0 and 5"));
  EXPECT_THAT(ErrorOf(R"({"id": "1", "file_name": "a.png", "width": 5, "height": 5})", kBox, kCategories),
              HasSubstr("images[0].id is \"1\", expected a whole number"));
  EXPECT_THAT(ErrorOf(kImages, R"({"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3]})", kCategories),
              HasSubstr("annotations[0].bbox is [1,2,3], expected [x, y, width, height]"));
}

// Numbers that no integer of the program can hold, and nesting that recursion could not follow.
TEST_F(Coco, ImpossibleNumbersAreErrors) {
  for (const char* id : {"1e300", "18446744073709551615", "2.5"}) {
    const std::string image = fmt::format(R"({{"id": {}, "file_name": "a.png", "width": 5, "height": 5}})", id);
    EXPECT_THAT(ErrorOf(image, kBox, kCategories), HasSubstr("expected a whole number")) << id;
  }
  EXPECT_THAT(ErrorOf(R"({"id": 1e999, "file_name": "a.png", "width": 5, "height": 5})", kBox, kCategories),
              HasSubstr("number overflow parsing '1e999'"));
  const std::string deep = std::string(300000, '[') + std::string(300000, ']');
  EXPECT_THAT(ErrorOf(kImages, R"({"id": 1, "image_id": 7, "category_id": 2, "bbox": )" + deep + "}", kCategories),
              HasSubstr("annotations[0].bbox is a nested array, expected [x, y, width, height]"));
  for (const char* mask : {R"({"counts": [1e300], "size": [4, 4]})", R"({"counts": [-1, 17], "size": [4, 4]})",
                           R"({"counts": [16], "size": [1e300, 4]})", R"({"counts": [16], "size": [-4, -4]})",
                           R"({"counts": [1], "size": [0.5, 2]})", R"({"counts": "oooooooooo", "size": [4, 4]})"}) {
    Write(kImages,
          fmt::format(R"({{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4],
                                    "segmentation": {}}})",
                      mask),
          kCategories);
    EXPECT_THAT(MessageOf([&] { ReadCocoFile(folder_ / "x.json", "x", /*with_masks=*/true); }),
                HasSubstr("annotations[0].segmentation is neither"))
        << mask;
  }
}

TEST_F(Coco, IdsMustBeUniqueAndKnown) {
  const std::string image = R"({"id": 7, "file_name": "a.png", "width": 100, "height": 50})";
  EXPECT_THAT(ErrorOf(image + "," + image, kBox, kCategories),
              HasSubstr("images[0] and images[1] have the same id 7; ids must be unique"));
  EXPECT_THAT(ErrorOf(kImages, std::string(kBox) + "," + kBox, kCategories),
              HasSubstr("annotations[0] and annotations[1] have the same id 1"));
  EXPECT_THAT(ErrorOf(kImages, kBox, R"({"id": 90, "name": "dog"}, {"id": 90, "name": "cat"})"),
              HasSubstr("categories[0] and categories[1] have the same id 90"));
  EXPECT_THAT(ErrorOf(kImages, R"({"id": 1, "image_id": 8, "category_id": 2, "bbox": [1, 2, 3, 4]})", kCategories),
              HasSubstr("annotations[0] (id 1) is of image 8, which is not listed"));
  EXPECT_THAT(ErrorOf(kImages, R"({"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]})", kCategories),
              HasSubstr("annotations[0] (id 1) is of category 5, which is not listed"));
}

TEST_F(Coco, MissingImagesAreCountedAndNamed) {
  std::filesystem::remove(folder_ / "sub/b.png");
  EXPECT_THAT(ErrorOf(kImages, kBox, kCategories),
              HasSubstr("1 of 2 listed images are missing: '" + folder_ / "sub/b.png" + "' (id 3)"));
  CocoOptions options;
  options.require_images = false;
  EXPECT_EQ(Read(options).images.size(), 2u);
  EXPECT_THAT(MessageOf([&] { ReadCoco(folder_ / "x.json", folder_ / "nowhere"); }),
              HasSubstr("nowhere', does not exist"));
}

TEST_F(Coco, ClassesMustFitTheNetworkAndTheTrainingData) {
  CocoOptions options;
  options.num_classes = 1;
  options.what = "dataset.val_json_file";
  EXPECT_THAT(ErrorOf(kImages, kBox, kCategories, options),
              HasSubstr("dataset.num_classes is 1, but dataset.val_json_file '" + folder_ / "x.json" +
                        "' has 2 categories (cat, dog); set dataset.num_classes: 2"));
  options.num_classes = 91;
  EXPECT_EQ(Read(options).classes.size(), 2u);
  options.classes = {"bird", "cat", "dog"};
  options.category_ids = {1, 2, 90};
  EXPECT_EQ(Read(options).images[0].boxes[0].label, 2);
  EXPECT_THAT(Read(options).classes, ElementsAre("bird", "cat", "dog"));
  options.category_ids = {1, 2, 91};
  EXPECT_THAT(MessageOf([&] { Read(options); }),
              HasSubstr("category 90 ('dog') is not among the 3 categories of the training data"));
  options.classes = {"bird", "cow", "dog"};
  options.category_ids = {1, 2, 90};
  EXPECT_THAT(MessageOf([&] { Read(options); }),
              HasSubstr("category 2 is named 'cat', but 'cow' in the training data"));
}

TEST_F(Coco, MasksComeAsPolygonsOrRuns) {
  const char* entry = R"({{"id": {}, "image_id": 7, "category_id": 2, "bbox": [0, 0, 2, 2], "segmentation": {}}})";
  Write(kImages,
        fmt::format(entry, 1, "[[0, 0, 2, 0, 2, 2]]") + "," +
            fmt::format(entry, 2, R"({"size": [2, 3], "counts": [1, 2, 3]})") + "," +
            fmt::format(entry, 3, R"({"size": [10, 12], "counts": "05k02XO00KN223000000008"})"),
        kCategories);
  EXPECT_TRUE(ReadCocoFile(folder_ / "x.json", "file").annotations[0].mask.polygons.empty()) << "not asked for";
  const CocoFile file = ReadCocoFile(folder_ / "x.json", "file", true);
  EXPECT_THAT(file.annotations[0].mask.polygons, ElementsAre(ElementsAre(0, 0, 2, 0, 2, 2)));
  EXPECT_THAT(file.annotations[1].mask.runs, ElementsAre(1, 2, 3));
  EXPECT_THAT(file.annotations[2].mask.runs,
              ElementsAre(0, 5, 27, 7, 3, 7, 3, 2, 1, 4, 3, 7, 3, 7, 3, 7, 3, 7, 3, 7, 11));
  Write(kImages, fmt::format(entry, 2, R"({"size": [2, 3], "counts": [1, 2]})"), kCategories);
  EXPECT_THAT(MessageOf([&] { ReadCocoFile(folder_ / "x.json", "file", true); }),
              HasSubstr("annotations[0].segmentation is neither a list of polygons nor a run-length code"));
}

TEST_F(Coco, RealDataIsReadWhole) {
  const std::string data = SharedData("bccd");
  if (data.empty()) GTEST_SKIP() << "skipped: no shared data";
  const CocoSet set = ReadCoco(data + "/train.json", data + "/images");
  EXPECT_EQ(set.images.size(), 205u);
  EXPECT_THAT(set.classes, ElementsAre("Platelets", "RBC", "WBC"));
  size_t boxes = 0;
  for (const auto& image : set.images) boxes += image.boxes.size();
  EXPECT_EQ(boxes, 2804u);
  EXPECT_TRUE(set.dropped.empty());
}

}  // namespace
}  // namespace octet::data
