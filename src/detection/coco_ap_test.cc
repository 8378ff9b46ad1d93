// COCO numbers: by hand on a few boxes, against pycocotools' results on three fixtures and, live, on random boxes with
// crowds, ties and empty images.
#include "detection/coco_ap.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/files.h"

namespace octet::detection {
namespace {

using testing::HasSubstr;

GroundTruth OneClass(std::vector<TruthBox> boxes, std::vector<int64_t> images = {1}) {
  int64_t id = 0;
  for (TruthBox& box : boxes) {
    box.id = ++id;
    if (box.area == 0) box.area = box.width * box.height;
  }
  return {std::move(images), {5}, {"thing"}, std::move(boxes)};
}

TEST(CocoAp, PerfectEmptyAndNothingToFind) {
  const GroundTruth truth = OneClass({{1, 5, 10, 10, 20, 20}, {1, 5, 50, 50, 100, 100}});
  const CocoMetrics perfect = Evaluate(truth, {{1, 5, 10, 10, 20, 20, 0.9}, {1, 5, 50, 50, 100, 100, 0.8}});
  EXPECT_NEAR(perfect.ap(), 1.0, 1e-12);
  EXPECT_DOUBLE_EQ(perfect.numbers[6], 0.5) << "one box an image finds one of two";
  EXPECT_NEAR(perfect.numbers[3], 1.0, 1e-12);
  EXPECT_EQ(perfect.numbers[4], -1) << "no medium boxes";
  EXPECT_EQ(Evaluate(truth, {}).ap(), 0);
  EXPECT_EQ(Evaluate(OneClass({}), {{1, 5, 0, 0, 5, 5, 0.5}}).ap(), -1);
}

TEST(CocoAp, APreciseCurveByHand) {
  // Right, wrong, right: precision 1 up to recall 1/2, then 2/3. Recall points 0..50 have 1, 51..100 have 2/3.
  const GroundTruth truth = OneClass({{1, 5, 0, 0, 10, 10}, {1, 5, 100, 0, 10, 10}});
  const CocoMetrics metrics = Evaluate(
      truth,
      {{1, 5, 0, 0, 10, 10, 0.9}, {1, 5, 50, 50, 10, 10, 0.8}, {1, 5, 100, 0, 10, 10, 0.7}, {1, 9, 0, 0, 9, 9, 1}});
  EXPECT_NEAR(metrics.ap(), (51 * 1.0 + 50 * 2.0 / 3) / 101, 1e-12);
  ASSERT_EQ(metrics.categories.size(), 1u);
  EXPECT_EQ(metrics.categories[0].name, "thing");
  EXPECT_DOUBLE_EQ(metrics.categories[0].ap, metrics.ap());
}

TEST(CocoAp, ACrowdTakesAnyNumberAndCountsForNothing) {
  GroundTruth truth = OneClass({{1, 5, 0, 0, 100, 100}, {1, 5, 200, 0, 10, 10}});
  truth.boxes[0].crowd = true;
  const CocoMetrics metrics =
      Evaluate(truth, {{1, 5, 0, 0, 10, 10, 0.9}, {1, 5, 20, 20, 10, 10, 0.8}, {1, 5, 200, 0, 10, 10, 0.7}});
  EXPECT_NEAR(metrics.ap(), 1.0, 1e-12) << "detections inside the crowd are not wrong";
}

TEST(CocoAp, DetectionsOfUnknownImagesAreAnError) {
  try {
    Evaluate(OneClass({{1, 5, 0, 0, 10, 10}}), {{2, 5, 0, 0, 10, 10, 0.9}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("detections of image 2, which is not in the ground truth"));
  }
}

TEST(CocoAp, FromTrainingStructures) {
  data::CocoSet set;
  set.classes = {"a", "b"};
  set.category_ids = {3, 8};
  set.images = {{11, "", 100, 100, {{10, 20, 30, 60, 1, false, 800}}}, {12, "", 100, 100, {}}};
  const CocoMetrics metrics = Evaluate(set, {{11, 1, 0.9f, 10, 20, 30, 60}, {12, 5, 0.9f, 0, 0, 1, 1}});
  EXPECT_NEAR(metrics.ap(), 1, 1e-12);
  EXPECT_EQ(metrics.categories[0].ap, -1);
  EXPECT_THAT(FormatMetrics(metrics), HasSubstr("1.0000  AP of b"));
}

std::string Fixture(const std::string& name) {
  const char* set = std::getenv("OCTET_SHARED_DATA");
  const std::string root = set != nullptr ? set : std::string(OCTET_SOURCE_DIR) + "/../shared/data";
  return root + "/coco_eval_fixture/" + name;
}

struct FixtureCase {
  const char *truth, *detections, *expected;
};

class CocoApFixture : public testing::TestWithParam<FixtureCase> {};

TEST_P(CocoApFixture, EqualsPycocotools) {
  if (!FileExists(Fixture(GetParam().truth))) GTEST_SKIP() << "skipped: no shared data";
  const GroundTruth truth = ReadGroundTruth(Fixture(GetParam().truth));
  const CocoMetrics metrics = Evaluate(truth, ReadDetections(Fixture(GetParam().detections)), 2);
  const auto expected = nlohmann::json::parse(ReadFile(Fixture(GetParam().expected)));
  for (int i = 0; i < 12; ++i) {
    EXPECT_NEAR(metrics.numbers[i], expected["stats"][kCocoMetricNames[i]].get<double>(), 1e-9) << kCocoMetricNames[i];
  }
  if (!expected.contains("AP_per_category")) return;
  for (const auto& category : metrics.categories) {
    const auto& ap = expected["AP_per_category"];
    const std::string id = std::to_string(category.id);
    ASSERT_TRUE(ap.contains(id)) << id;
    const auto value = [](const nlohmann::json& v) { return v.is_null() ? -1.0 : v.get<double>(); };
    EXPECT_NEAR(category.ap, value(ap[id]), 1e-9) << category.name;
    EXPECT_NEAR(category.ap50, value(expected["AP50_per_category"][id]), 1e-9) << category.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, CocoApFixture,
                         testing::Values(FixtureCase{"gt_dataset.json", "dt_dataset.json", "expected_gt_dataset.json"},
                                         FixtureCase{"instances_val2014_100.json",
                                                     "instances_val2014_fakebbox100_results.json",
                                                     "expected_val2014_fakebbox100.json"},
                                         FixtureCase{"coco128_instances.json", "detections_FastestDet_352.json",
                                                     "expected_FastestDet_352.json"}));

// Boxes on a coarse grid, so that many IoUs lie exactly on a threshold and many scores are equal.
void RandomCase(int seed, int images, int categories, GroundTruth* truth, std::vector<ScoredBox>* detections) {
  std::mt19937 random(seed);
  const auto upto = [&](int n) { return static_cast<int>(random() % n); };
  for (int c = 0; c < categories; ++c) {
    truth->category_ids.push_back(c * 3 + 1);
    truth->names.push_back("c" + std::to_string(c));
  }
  for (int i = 0; i < images; ++i) {
    const int64_t image = 1000 - i;
    truth->image_ids.push_back(image);
    const int boxes = upto(12) - 2;
    for (int b = 0; b < boxes; ++b) {
      TruthBox box{image,
                   truth->category_ids[upto(categories)],
                   10.0 * upto(20),
                   10.0 * upto(20),
                   10.0 * (1 + upto(15)),
                   10.0 * (1 + upto(15))};
      box.area = box.width * box.height * (0.5 + 0.1 * upto(6));
      box.crowd = upto(6) == 0;
      box.id = static_cast<int64_t>(truth->boxes.size()) + 1;
      truth->boxes.push_back(box);
      for (int d = upto(4); d > 0; --d) {
        ScoredBox scored{image,
                         upto(8) == 0 ? truth->category_ids[upto(categories)] : box.category_id,
                         box.x + 5.0 * (upto(5) - 2),
                         box.y + 5.0 * (upto(5) - 2),
                         box.width + 5.0 * (upto(3) - 1),
                         box.height,
                         0.05 * upto(20)};
        detections->push_back(scored);
      }
    }
    for (int d = upto(i % 7 == 0 ? 400 : 4); d > 0; --d) {
      detections->push_back({image, truth->category_ids[upto(categories)], 3.7 * upto(60), 2.9 * upto(60),
                             1.0 + upto(150), 1.0 + upto(150), 0.001 * upto(300)});
    }
  }
}

TEST(CocoApWitness, EqualsPycocotoolsOnRandomBoxes) {
  const char* env = std::getenv("OCTET_PYTHON");
  const std::string python = env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
  if (!FileExists(python)) GTEST_SKIP() << "no " << python << "; run scripts/make_venv.sh";
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("octet_coco_ap_" + std::to_string(::getpid()))).string();
  nlohmann::json list = nlohmann::json::array();
  std::vector<CocoMetrics> ours;
  for (int seed = 0; seed < 8; ++seed) {
    GroundTruth truth;
    std::vector<ScoredBox> detections;
    RandomCase(seed, 5 + 20 * seed, 1 + seed % 4, &truth, &detections);
    nlohmann::json json = {{"images", nlohmann::json::array()},
                           {"annotations", nlohmann::json::array()},
                           {"categories", nlohmann::json::array()}};
    for (const int64_t id : truth.image_ids)
      json["images"].push_back({{"id", id}, {"file_name", "x"}, {"width", 400}, {"height", 400}});
    for (const TruthBox& b : truth.boxes) {
      json["annotations"].push_back({{"id", b.id},
                                     {"image_id", b.image_id},
                                     {"category_id", b.category_id},
                                     {"area", b.area},
                                     {"bbox", {b.x, b.y, b.width, b.height}},
                                     {"iscrowd", b.crowd ? 1 : 0}});
    }
    for (size_t c = 0; c < truth.names.size(); ++c)
      json["categories"].push_back({{"id", truth.category_ids[c]}, {"name", truth.names[c]}});
    const std::string stem = folder + "/" + std::to_string(seed);
    WriteFileAtomic(stem + ".truth.json", json.dump());
    WriteDetections(stem + ".detections.json", detections);
    const CocoMetrics metrics =
        Evaluate(ReadGroundTruth(stem + ".truth.json"), ReadDetections(stem + ".detections.json"));
    nlohmann::json values = {{"numbers", metrics.numbers}, {"categories", nlohmann::json::array()}};
    for (const auto& category : metrics.categories) values["categories"].push_back(category.ap);
    list.push_back({{"truth", stem + ".truth.json"}, {"detections", stem + ".detections.json"}, {"ours", values}});
  }
  WriteFileAtomic(folder + "/cases.json", list.dump());
  const std::string command =
      fmt::format("{} {}/tests/witness/check_coco_ap.py {}/cases.json", python, OCTET_SOURCE_DIR, folder);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::filesystem::remove_all(folder);
}

// COCO's validation set in size: 5,000 images, 80 categories, 100 detections an image.
TEST(CocoApSpeed, FiveThousandImagesTakeSeconds) {
  GroundTruth truth;
  std::vector<ScoredBox> detections;
  RandomCase(1, 5000, 80, &truth, &detections);
  std::mt19937 random(2);
  while (detections.size() < 500000) {
    const TruthBox& near = truth.boxes[random() % truth.boxes.size()];
    detections.push_back({near.image_id, near.category_id, near.x + random() % 40, near.y + random() % 40, near.width,
                          near.height, 1e-6 * (random() % 1000000)});
  }
  const auto begin = std::chrono::steady_clock::now();
  const CocoMetrics metrics = Evaluate(truth, detections, 2);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("{} images, {} boxes, {} detections: {:.2f} s\n", truth.image_ids.size(), truth.boxes.size(),
             detections.size(), seconds);
  EXPECT_GT(metrics.ap(), 0);
  EXPECT_LT(seconds, 30);
}

// Numbers that no type holds are user errors that name the file.
TEST(CocoDetections, ImpossibleNumbersAreErrors) {
  const std::string path = ::testing::TempDir() + fmt::format("octet_detections_{}.json", ::getpid());
  for (const char* id : {"1e999", "1e300"}) {
    WriteFileAtomic(path,
                    fmt::format(R"([{{"image_id": {}, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}}])", id));
    try {
      ReadDetections(path);
      ADD_FAILURE() << id;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUser);
      EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace octet::detection
