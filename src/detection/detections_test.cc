// Post-processing: by hand, and against a second, slower way to the same boxes on random outputs.
#include "detection/detections.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <random>

#include "detection/nms.h"

namespace octet::detection {
namespace {

using testing::ElementsAre;

TEST(Nms, IouByHand) {
  EXPECT_FLOAT_EQ(Iou({0, 0, 10, 10}, {0, 0, 10, 10}), 1);
  EXPECT_FLOAT_EQ(Iou({0, 0, 10, 10}, {0, 5, 10, 15}), 1.0f / 3);
  EXPECT_EQ(Iou({0, 0, 10, 10}, {10, 0, 20, 10}), 0) << "they touch";
  EXPECT_EQ(Iou({5, 5, 5, 5}, {5, 5, 5, 5}), 0) << "no area";
}

TEST(Nms, TheTwoRulesDifferAtTheThreshold) {
  const std::vector<Corners> boxes = {{0, 0, 1, 2}, {0, 0, 1, 1}, {0, 5, 1, 6}};  // IoU 1/2 of the first two
  EXPECT_THAT(SuppressNonMaxima(boxes, nullptr, {0, 1, 2}, 0.5f, NmsRule::kOnnx, 10), ElementsAre(0, 1, 2));
  EXPECT_THAT(SuppressNonMaxima(boxes, nullptr, {0, 1, 2}, 0.5f, NmsRule::kEfficientNms, 10), ElementsAre(0, 2));
  const int32_t classes[] = {0, 1, 0};
  EXPECT_THAT(SuppressNonMaxima(boxes, classes, {1, 0, 2}, 0.5f, NmsRule::kEfficientNms, 2), ElementsAre(1, 0));
}

// Two anchors of 20 x 10 at (50, 50) and (80, 50).
Tensor Anchors() {
  return Tensor::From<float>({2, 4}, {50, 50, 20, 10, 80, 50, 20, 10});
}

TEST(PostProcess, DecodesByHand) {
  const Tensor logits = Tensor::From<float>({1, 2, 2}, {2, -9, -9, 0});
  const Tensor codes = Tensor::From<float>({1, 2, 4}, {0.5f, -1, 0, std::log(2.0f), 0, 0, 0, 0});
  const std::vector<Detection> found = PostProcess(logits, codes, Anchors(), 100, 100, {42}, {2.0f}, {});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].image_id, 42);
  EXPECT_EQ(found[0].label, 0);
  EXPECT_NEAR(found[0].score, 1 / (1 + std::exp(-2.0)), 1e-6);
  // Centre y 50 + 0.5 * 20, x 50 - 10; 20 high, 20 wide; twice as large in the original.
  EXPECT_FLOAT_EQ(found[0].y1, 100);
  EXPECT_FLOAT_EQ(found[0].x1, 60);
  EXPECT_FLOAT_EQ(found[0].y2, 140);
  EXPECT_FLOAT_EQ(found[0].x2, 100);
  EXPECT_EQ(found[1].label, 1);
  EXPECT_FLOAT_EQ(found[1].score, 0.5f);
}

TEST(PostProcess, OptionsDoWhatTheySay) {
  const Tensor logits = Tensor::From<float>({2, 2, 2}, {2, 1, 3, -9, 5, 5, 5, 5});
  const Tensor codes = Tensor::From<float>({2, 2, 4}, {0, 0, 0, 0, -1.5f, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0});
  PostProcessOptions options;
  const auto run = [&] { return PostProcess(logits, codes, Anchors(), 100, 100, {1, 2}, {1.0f, 1.0f}, options); };
  // Image 1: both anchors at (50, 50); class 0 twice, so one goes. Image 2: the second anchor is outside the image.
  EXPECT_EQ(run().size(), 4u);
  options.clip = false;
  EXPECT_EQ(run().size(), 6u);
  options.clip = true;
  options.background_class = 0;
  EXPECT_EQ(run().size(), 2u);
  options.background_class = -1;
  options.max_output_boxes = 1;
  EXPECT_EQ(run().size(), 2u);
  EXPECT_EQ(run()[0].score, 1 / (1 + std::exp(-3.0f)));
  options.max_output_boxes = 100;
  options.max_nms_inputs = 1;
  EXPECT_EQ(run().size(), 2u);
  options.max_nms_inputs = 0;
  options.score_threshold = 0.9f;
  EXPECT_EQ(run().size(), 3u);
  EXPECT_EQ(PostProcess(logits, codes, Anchors(), 100, 100, {1, 2}, {1.0f, 0.0f}, {}).size(), 2u) << "padding";
}

TEST(PostProcess, NotANumberIsNotADetection) {
  const float nan = std::nanf("");
  const Tensor logits = Tensor::From<float>({1, 2, 1}, {nan, 3});
  const Tensor codes = Tensor::From<float>({1, 2, 4}, {0, 0, 0, 0, nan, 0, 0, 0});
  EXPECT_TRUE(PostProcess(logits, codes, Anchors(), 100, 100, {1}, {1.0f}, {}).empty());
}

// Class by class in double, then the best of all classes.
std::vector<Detection> SlowWay(const Tensor& logits, const Tensor& codes, const Tensor& anchors, double score_threshold,
                               double iou_threshold, size_t most) {
  struct Candidate {
    double score, y1, x1, y2, x2;
    int label;
  };
  std::vector<Candidate> all;
  const int64_t count = logits.dim(1), classes = logits.dim(2);
  for (int c = 0; c < classes; ++c) {
    std::vector<Candidate> left, kept;
    for (int64_t a = 0; a < count; ++a) {
      const float* t = codes.data<float>() + a * 4;
      const float* k = anchors.data<float>() + a * 4;
      const double cy = double{t[0]} * k[2] + k[0], cx = double{t[1]} * k[3] + k[1];
      const double h = std::exp(double{t[2]}) * k[2] / 2, w = std::exp(double{t[3]}) * k[3] / 2;
      const double score = 1 / (1 + std::exp(-double{logits.data<float>()[a * classes + c]}));
      if (score >= score_threshold) left.push_back({score, cy - h, cx - w, cy + h, cx + w, c});
    }
    while (!left.empty()) {
      const auto best = std::max_element(left.begin(), left.end(), [](auto& a, auto& b) { return a.score < b.score; });
      const Candidate b = *best;
      kept.push_back(b);
      std::vector<Candidate> next;
      for (const Candidate& o : left) {
        const double h = std::max(0.0, std::min(b.y2, o.y2) - std::max(b.y1, o.y1));
        const double w = std::max(0.0, std::min(b.x2, o.x2) - std::max(b.x1, o.x1));
        const double both = h * w;
        const double either = (b.y2 - b.y1) * (b.x2 - b.x1) + (o.y2 - o.y1) * (o.x2 - o.x1) - both;
        if (&o != &*best && both / either < iou_threshold) next.push_back(o);
      }
      left = std::move(next);
    }
    all.insert(all.end(), kept.begin(), kept.end());
  }
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.score > b.score; });
  if (all.size() > most) all.resize(most);
  std::vector<Detection> result;
  for (const Candidate& c : all) {
    result.push_back({0, c.label, float(c.score), float(c.x1), float(c.y1), float(c.x2), float(c.y2)});
  }
  return result;
}

TEST(PostProcess, EqualsTheSlowWayOnRandomOutputs) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 10; ++round) {
    const int64_t count = 300, classes = 1 + round % 4;
    Tensor logits(DType::kF32, {1, count, classes}), codes(DType::kF32, {1, count, 4}),
        anchors(DType::kF32, {count, 4});
    for (int64_t i = 0; i < logits.size(); ++i) logits.mutable_data<float>()[i] = 2 * normal(random) - 2;
    for (int64_t i = 0; i < codes.size(); ++i) codes.mutable_data<float>()[i] = 0.3f * normal(random);
    for (int64_t a = 0; a < count; ++a) {
      float* k = anchors.mutable_data<float>() + a * 4;
      k[0] = random() % 200;
      k[1] = random() % 200;
      k[2] = 20 + random() % 40;
      k[3] = 20 + random() % 40;
    }
    PostProcessOptions options;
    options.clip = false;
    options.score_threshold = 0.05f;
    options.max_output_boxes = 40;
    const auto ours = PostProcess(logits, codes, anchors, 200, 200, {0}, {1.0f}, options);
    const auto slow = SlowWay(logits, codes, anchors, 0.05, 0.5, 40);
    ASSERT_EQ(ours.size(), slow.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].label, slow[i].label);
      EXPECT_NEAR(ours[i].score, slow[i].score, 1e-6);
      EXPECT_NEAR(ours[i].x1, slow[i].x1, 1e-3);
      EXPECT_NEAR(ours[i].y2, slow[i].y2, 1e-3);
    }
  }
}

}  // namespace
}  // namespace octet::detection
