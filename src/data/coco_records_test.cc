// COCO to TFRecords and back; what damaged records say; the bytes of tf.train.Example.
#include "data/coco_records.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "base/sha256.h"
#include "base/tfrecord_framing.h"
#include "data/detection_loader.h"
#include "data/test_folder.h"
#include "data/tf_example.h"

namespace octet::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TfExample, HasTheBytesOfProtobuf) {
  TfExample example;
  example["a"] = Ints({1, 300});
  example["b"] = Bytes({"xy"});
  example["c"] = Floats({1.5f});
  example["d"] = {};
  const std::string bytes = EncodeExample(example);
  // features { feature { key: "a" value { int64_list { value: [1, 300] packed } } } ...
  const std::string expected(
      "\x0a\x31"
      "\x0a\x0c\x0a\x01"
      "a\x12\x07\x1a\x05\x0a\x03\x01\xac\x02"
      "\x0a\x0b\x0a\x01"
      "b\x12\x06\x0a\x04\x0a\x02xy"
      "\x0a\x0d\x0a\x01"
      "c\x12\x08\x12\x06\x0a\x04\x00\x00\xc0\x3f"
      "\x0a\x05\x0a\x01"
      "d\x12\x00",
      51);
  EXPECT_EQ(bytes, expected);
  const TfExample back = DecodeExample(bytes, "r");
  EXPECT_THAT(back.at("a").ints, ElementsAre(1, 300));
  EXPECT_THAT(back.at("b").bytes, ElementsAre("xy"));
  EXPECT_THAT(back.at("c").floats, ElementsAre(1.5f));
  // Unpacked lists and negative numbers, as other writers make them.
  const std::string unpacked(
      "\x0a\x18\x0a\x16\x0a\x01"
      "a\x12\x11\x1a\x0f\x08\x05\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x07",
      26);
  EXPECT_THAT(DecodeExample(unpacked, "r").at("a").ints, ElementsAre(5, -1, 7));
  EXPECT_THAT(MessageOf([&] { DecodeExample("\x0a\x40 too short", "record 5"); }),
              HasSubstr("record 5: its content is no tf.train.Example"));
}

// A training set with NaN in a box would train on NaN.
TEST(TfExample, RecordsWithImpossibleNumbers) {
  TestFolder folder;
  TfExample example;
  example["image/encoded"] = Bytes({"x"});
  example["image/width"] = example["image/height"] = Ints({40});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  example["image/object/bbox/xmin"] = Floats({0.1f, nan, 0.1f});
  example["image/object/bbox/ymin"] = Floats({0.1f, 0.1f, 0.1f});
  example["image/object/bbox/xmax"] = Floats({0.5f, nan, 0.5f});
  example["image/object/bbox/ymax"] = Floats({0.5f, 0.5f, nan});
  example["image/object/class/label"] = Ints({1, 1, 1});
  const auto write = [&] {
    std::string file;
    AppendTfRecord(EncodeExample(example), &file);
    WriteFileAtomic(folder / "a.tfrecord", file);
  };
  write();
  const CocoSet set = ReadCocoRecords({folder / "a.tfrecord"});
  EXPECT_EQ(set.images.at(0).boxes.size(), 1u);
  EXPECT_EQ(set.dropped.size(), 2u);
  example["image/width"] = Ints({int64_t{1} << 32});  // 0 as an int
  write();
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({folder / "a.tfrecord"}); }),
              HasSubstr("image/width and image/height are 4294967296 and 40"));
}

class CocoRecords : public testing::Test {
 protected:
  CocoRecords() {
    for (int i = 0; i < 5; ++i) {
      WriteFileAtomic(folder_ / fmt::format("{}.png", i), EncodePng(PatternImage(40, 30, 3, i)));
    }
    std::string images, boxes;
    for (int i = 0; i < 5; ++i) {
      images += fmt::format("{}{{\"id\": {}, \"file_name\": \"{}.png\", \"width\": 40, \"height\": 30}}", i ? "," : "",
                            70 + i, i);
    }
    const auto add = [&](int id, int image, int category, const char* box, int crowd, const char* outline) {
      boxes += fmt::format(
          "{}{{\"id\": {}, \"image_id\": {}, \"category_id\": {}, \"bbox\": [{}], \"area\": {}, \"iscrowd\": {}, "
          "\"segmentation\": {}}}",
          boxes.empty() ? "" : ",", id, image, category, box, id * 10, crowd, outline);
    };
    add(1, 70, 9, "4, 5, 10, 12", 0, "[[4, 5, 14, 5, 14, 17, 4, 17]]");
    add(2, 70, 3, "-4, 5, 10, 12", 1, "[[0, 5, 6, 5, 6, 17, 0, 17]]");
    add(3, 71, 3, "4, 5, 0, 12", 0, "[[4, 5, 14, 5, 14, 17]]");
    add(5, 74, 9, "3, 2, 30, 25", 0, "[[3, 14.3, 18.7, 2, 33, 11.2, 27.4, 27, 10, 25.5]]");
    add(4, 73, 3, "1.5, 2.25, 30, 20", 0, "[[200, 200, 201, 200, 201, 201]]");
    WriteFileAtomic(folder_ / "set.json",
                    fmt::format("{{\"images\": [{}], \"annotations\": [{}], \"categories\": [{}]}}", images, boxes,
                                R"({"id": 9, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 5, "name": "cow"})"));
    options_.annotations_file = folder_ / "set.json";
    options_.image_dir = folder_.path();
    options_.output_dir = folder_ / "records";
    options_.num_shards = 2;
    options_.threads = 2;
    options_.show_progress = false;
  }
  TestFolder folder_;
  ConvertOptions options_;
};

TEST_F(CocoRecords, ConvertedAndReadBackTheSetIsTheSame) {
  const ConvertResult result = ConvertCoco(options_);
  EXPECT_THAT(result.files, ElementsAre(folder_ / "records/set-00000-of-00002.tfrecord",
                                        folder_ / "records/set-00001-of-00002.tfrecord"));
  EXPECT_EQ(result.images, 5);
  EXPECT_EQ(result.dropped_boxes, 1);
  EXPECT_THAT(result.classes, ElementsAre("dog", "cow", "cat"));
  EXPECT_THAT(result.objects, ElementsAre(2, 0, 2));
  std::string warnings = ReadFile(result.warnings_file);
  warnings.erase(std::remove_if(warnings.begin(), warnings.end(), [](char c) { return c == ' ' || c == '\n'; }),
                 warnings.end());
  EXPECT_EQ(warnings, R"({"71":{"box":[3],"mask":[]}})");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "records"), {}), 3) << "nothing unfinished";

  const CocoSet direct = ReadCoco(folder_ / "set.json", folder_.path());
  RecordOptions options;
  options.classes = direct.classes;
  options.category_ids = direct.category_ids;
  const CocoSet set = ReadCocoRecords({folder_ / "records/set-*.tfrecord"}, options);
  ASSERT_EQ(set.images.size(), 5u);
  EXPECT_EQ(set.images[1].id, 72) << "round robin";
  EXPECT_EQ(set.clipped, 1);
  for (const CocoSet::Image& image : set.images) {
    const auto same =
        std::find_if(direct.images.begin(), direct.images.end(), [&](const auto& d) { return d.id == image.id; });
    ASSERT_NE(same, direct.images.end());
    EXPECT_EQ(image.width, 40);
    ASSERT_EQ(image.boxes.size(), same->boxes.size()) << image.id;
    for (size_t b = 0; b < image.boxes.size(); ++b) {
      EXPECT_NEAR(image.boxes[b].x1, same->boxes[b].x1, 1e-4);
      EXPECT_NEAR(image.boxes[b].y2, same->boxes[b].y2, 1e-4);
      EXPECT_EQ(image.boxes[b].label, same->boxes[b].label);
      EXPECT_EQ(image.boxes[b].crowd, same->boxes[b].crowd);
      EXPECT_EQ(image.boxes[b].area, same->boxes[b].area);
    }
  }
  // Without a list of classes: those that occur.
  EXPECT_THAT(ReadCocoRecords({folder_ / "records/*.tfrecord"}).classes, ElementsAre("dog", "cat"));
  RecordOptions small;
  small.num_classes = 1;
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({folder_ / "records/*.tfrecord"}, small); }),
              HasSubstr("dataset.num_classes is 1, but TFRecords"));

  // Batches from records are those from files.
  DetectionLoaderOptions loading;
  loading.width = loading.height = 64;
  loading.batch_size = 5;
  loading.show_progress = false;
  loading.cache_bytes = 0;
  DetectionLoader from_files(std::make_shared<CocoSet>(direct), loading),
      from_records(std::make_shared<CocoSet>(set), loading);
  DetectionBatch a, b;
  from_files.StartEpoch(0);
  from_records.StartEpoch(0);
  ASSERT_TRUE(from_files.Next(&a) && from_records.Next(&b));
  const size_t size = 3 * 64 * 64;
  for (size_t i = 0; i < 5; ++i) {
    const auto at = std::find(a.image_ids.begin(), a.image_ids.end(), b.image_ids[i]) - a.image_ids.begin();
    EXPECT_TRUE(std::equal(b.images.data<float>() + i * size, b.images.data<float>() + (i + 1) * size,
                           a.images.data<float>() + at * size));
  }
}

TEST_F(CocoRecords, FeaturesAreThoseOfTao) {
  options_.include_masks = true;
  options_.tag = "mine";
  const ConvertResult result = ConvertCoco(options_);
  EXPECT_EQ(result.dropped_masks, 1) << "annotation 4 has its outline outside";
  TfRecordReader reader(folder_ / "records/mine-00000-of-00002.tfrecord");
  std::string payload;
  ASSERT_TRUE(reader.Next(&payload));
  const TfExample example = DecodeExample(payload, "r");
  const std::string file = ReadFile(folder_ / "0.png");
  EXPECT_THAT(example.at("image/height").ints, ElementsAre(30));
  EXPECT_THAT(example.at("image/source_id").bytes, ElementsAre("70"));
  EXPECT_THAT(example.at("image/filename").bytes, ElementsAre("0.png"));
  EXPECT_THAT(example.at("image/format").bytes, ElementsAre("jpeg"));
  EXPECT_THAT(example.at("image/key/sha256").bytes, ElementsAre(Sha256(file)));
  EXPECT_THAT(example.at("image/encoded").bytes, ElementsAre(file));
  EXPECT_THAT(example.at("image/object/class/label").ints, ElementsAre(9, 3));
  EXPECT_THAT(example.at("image/object/class/text").bytes, ElementsAre("cat", "dog"));
  EXPECT_THAT(example.at("image/object/is_crowd").ints, ElementsAre(0, 1));
  EXPECT_THAT(example.at("image/object/area").floats, ElementsAre(10, 20));
  EXPECT_THAT(example.at("image/object/bbox/xmin").floats, ElementsAre(0.1f, -0.1f)) << "not clipped";
  ASSERT_EQ(example.at("image/object/mask").bytes.size(), 2u);
  Image mask;
  std::string problem;
  ASSERT_TRUE(DecodeImageBytes(example.at("image/object/mask").bytes[0], {1, 8}, &mask, &problem));
  EXPECT_EQ(mask.width, 40);
  EXPECT_EQ(mask.pixels[10 * 40 + 8], 1);
  EXPECT_EQ(mask.pixels[10 * 40 + 20], 0);
  const auto area = std::count(mask.pixels.begin(), mask.pixels.end(), 1);
  EXPECT_EQ(area, 120) << "10 x 12";
}

TEST_F(CocoRecords, DamageIsNamedByFileAndOffset) {
  const ConvertResult result = ConvertCoco(options_);
  std::string bytes = ReadFile(result.files[1]);
  TfRecordReader reader(result.files[1]);
  std::string payload;
  reader.Next(&payload);
  const uint64_t second = reader.offset();
  bytes[second + 500] ^= 4;
  WriteFileAtomic(result.files[1], bytes);
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({folder_ / "records/*.tfrecord"}); }),
              HasSubstr(fmt::format("TFRecord file {}: bad CRC of the record at offset {}", result.files[1], second)));
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({folder_ / "nothing-*"}); }),
              HasSubstr("no file fits '" + folder_ / "nothing-*'"));
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({}); }), HasSubstr("no files are given"));
  std::string empty;
  AppendTfRecord(EncodeExample({{"image/width", Ints({5})}, {"image/height", Ints({5})}}), &empty);
  WriteFileAtomic(folder_ / "x.tfrecord", empty);
  EXPECT_THAT(MessageOf([&] { ReadCocoRecords({folder_ / "x.tfrecord"}); }),
              HasSubstr("x.tfrecord: record at offset 0: no image/encoded"));
  EXPECT_THAT(MessageOf([&] {
                ReadCocoRecords({result.files[0], folder_ / "*/*-00000-of*"});
              }),
              HasSubstr("no error"))
      << "one file named twice is read once";
  WriteFileAtomic(folder_ / "again.tfrecord", ReadFile(result.files[0]));
  EXPECT_THAT(MessageOf([&] {
                ReadCocoRecords({result.files[0], folder_ / "again.tfrecord"});
              }),
              HasSubstr("image 70 is in '" + result.files[0] + "' (offset 0) and in"));
}

TEST_F(CocoRecords, BadImagesAreLeftOutAndBadSpecsRefused) {
  WriteFileAtomic(folder_ / "2.png", "no picture");
  const ConvertResult result = ConvertCoco(options_);
  EXPECT_EQ(result.images, 4);
  EXPECT_EQ(result.bad_images, 1);
  options_.num_shards = 0;
  EXPECT_THAT(MessageOf([&] { ConvertCoco(options_); }), HasSubstr("num_shards is 0"));
}

// tests/witness/check_tfrecord.py reads the shards with other people's libraries.
std::string Witness(const ConvertOptions& options, const ConvertResult& result) {
  const char* env = std::getenv("OCTET_PYTHON");
  const std::string python = env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
  if (!FileExists(python)) return "no " + python + "; run scripts/make_venv.sh";
  std::string command = fmt::format("{} {}/tests/witness/check_tfrecord.py {} {}", python, OCTET_SOURCE_DIR,
                                    options.annotations_file, options.image_dir);
  for (const std::string& file : result.files) command += " " + file;
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return "";
}

TEST_F(CocoRecords, OthersReadThem) {
  std::string skipped = Witness(options_, ConvertCoco(options_));
  options_.include_masks = true;
  options_.tag = "masks";
  if (skipped.empty()) skipped = Witness(options_, ConvertCoco(options_));
  const std::string data = SharedData("bccd");
  if (skipped.empty() && !data.empty()) {
    ConvertOptions real = options_;
    real.annotations_file = data + "/test.json";
    real.image_dir = data + "/images";
    real.include_masks = false;
    real.num_shards = 3;
    Witness(real, ConvertCoco(real));
  }
  if (!skipped.empty()) GTEST_SKIP() << skipped;
}

}  // namespace
}  // namespace octet::data
