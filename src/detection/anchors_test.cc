// Anchors against tao.md 3.2 (counts per variant, order, sizes), box coding against hand-computed values, target
// assignment against hand cases and a brute-force oracle on random boxes.
#include "detection/anchors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"
#include "detection/assign_targets.h"

namespace octet::detection {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;

TEST(Anchors, CountsOfTheVariants) {
  const std::pair<int64_t, int64_t> expected[] = {{512, 49104},  {640, 76725},   {768, 110484},
                                                  {896, 150381}, {1024, 196416}, {1280, 306900}};
  for (const auto& [size, count] : expected) {
    AnchorOptions o;
    o.height = o.width = size;
    EXPECT_EQ(MakeAnchors(o).dim(0), count);
  }
}

TEST(Anchors, OrderAndSizes) {
  AnchorOptions o;
  o.height = 128;
  o.width = 256;
  const Tensor anchors = MakeAnchors(o);
  EXPECT_EQ(anchors.dim(0), 9 * (16 * 32 + 8 * 16 + 4 * 8 + 2 * 4 + 1 * 2));
  const auto row = [&](int64_t i) {
    const float* p = anchors.data<float>() + 4 * i;
    return std::vector<float>(p, p + 4);
  };
  EXPECT_THAT(row(0), ElementsAre(4, 4, 32, 32));
  EXPECT_THAT(row(1), ElementsAre(4, 4, FloatNear(22.4f, 1e-5f), FloatNear(44.8f, 1e-5f)));  // wide: 1.4 x 0.7
  EXPECT_THAT(row(2), ElementsAre(4, 4, FloatNear(44.8f, 1e-5f), FloatNear(22.4f, 1e-5f)));
  EXPECT_THAT(row(3), ElementsAre(4, 4, FloatNear(40.317474f, 1e-4f), FloatNear(40.317474f, 1e-4f)));
  EXPECT_THAT(row(9), ElementsAre(4, 12, 32, 32));       // the next cell is the next column
  EXPECT_THAT(row(9 * 32), ElementsAre(12, 4, 32, 32));  // then the next row
  EXPECT_THAT(row(9 * 16 * 32), ElementsAre(8, 8, 64, 64));
  EXPECT_THAT(row(anchors.dim(0) - 9), ElementsAre(64, 192, 512, 512));  // level 7, stride 128, second column
}

TEST(Anchors, AspectRatiosAreParsed) {
  const std::vector<AspectRatio> r = ParseAspectRatios("[(1.0, 1.0), (1.4, 0.7), (0.7,1.4)]", "spec");
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[1].width, 1.4);
  EXPECT_EQ(r[1].height, 0.7);
  EXPECT_EQ(ToString(r), "[(1, 1), (1.4, 0.7), (0.7, 1.4)]");
  for (const char* bad : {"", "[(1.0, 1.0), (2.0)]", "[(1, -1)]", "one"}) {
    try {
      ParseAspectRatios(bad, "spec.yaml:3");
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("spec.yaml:3: aspect_ratios"));
    }
  }
}

TEST(BoxCoding, HandComputedAndInverse) {
  const float anchor[] = {50, 60, 20, 40};
  const float box[] = {45, 50, 65, 130};  // centre 55, 90; 20 x 80
  const BoxCode code = EncodeBox(box, anchor);
  EXPECT_THAT(code, ElementsAre(0.25f, 0.75f, 0.0f, FloatNear(std::log(2.0f), 1e-6f)));
  EXPECT_THAT(DecodeBox(code.data(), anchor),
              ElementsAre(FloatNear(45, 1e-4f), FloatNear(50, 1e-4f), FloatNear(65, 1e-4f), FloatNear(130, 1e-4f)));
}

TEST(AssignTargets, OverlapForceMatchAndPadding) {
  const Tensor anchors = Tensor::From<float>({4, 4}, {10, 10, 20, 20, 10, 30, 20, 20, 10, 50, 20, 20, 60, 60, 20, 20});
  // Box 0 covers anchor 0 with IoU 0.8; box 1 is small and meets anchor 2 only, with IoU 1/16; box 2 is padding.
  const Tensor boxes = Tensor::From<float>({1, 3, 4}, {0, 0, 20, 16, 5, 45, 10, 50, 50, 50, 70, 70});
  const AnchorTargets t = AssignTargets(anchors, boxes, Tensor::From<int64_t>({1, 3}, {4, 2, -1}));
  EXPECT_THAT(t.classes.ToVector<int64_t>(), ElementsAre(4, kBackground, 2, kBackground));
  EXPECT_EQ(t.positives, 2);
  const std::vector<float> codes = t.codes.ToVector<float>();
  EXPECT_THAT(std::vector<float>(codes.begin(), codes.begin() + 4),
              ElementsAre(0, FloatNear(-0.1f, 1e-6f), 0, FloatNear(std::log(0.8f), 1e-6f)));
  EXPECT_THAT(std::vector<float>(codes.begin() + 4, codes.begin() + 8), ElementsAre(0, 0, 0, 0));
}

TEST(AssignTargets, OfTwoBoxesThatWantOneAnchorTheFirstGetsIt) {
  const Tensor anchors = Tensor::From<float>({1, 4}, {10, 10, 20, 20});
  const Tensor boxes = Tensor::From<float>({1, 2, 4}, {0, 0, 5, 5, 0, 0, 20, 20});
  EXPECT_THAT(AssignTargets(anchors, boxes, Tensor::From<int64_t>({1, 2}, {7, 3})).classes.ToVector<int64_t>(),
              ElementsAre(7));
}

// The definition, by the whole matrix of overlaps. In float, as a box inside several anchors of one size ties.
std::vector<int64_t> Oracle(const Tensor& anchors, const std::vector<std::vector<float>>& boxes) {
  const int64_t count = anchors.dim(0);
  std::vector<std::vector<float>> iou(boxes.size(), std::vector<float>(static_cast<size_t>(count)));
  for (size_t m = 0; m < boxes.size(); ++m) {
    for (int64_t a = 0; a < count; ++a) {
      const float* p = anchors.data<float>() + 4 * a;
      const float y1 = p[0] - p[2] / 2, x1 = p[1] - p[3] / 2, y2 = p[0] + p[2] / 2, x2 = p[1] + p[3] / 2;
      const auto& b = boxes[m];
      const float h = std::max(0.0f, std::min(y2, b[2]) - std::max(y1, b[0]));
      const float w = std::max(0.0f, std::min(x2, b[3]) - std::max(x1, b[1]));
      iou[m][static_cast<size_t>(a)] = h * w / ((y2 - y1) * (x2 - x1) + (b[2] - b[0]) * (b[3] - b[1]) - h * w);
    }
  }
  std::vector<int64_t> match(static_cast<size_t>(count), -1);
  for (size_t a = 0; a < match.size(); ++a) {
    size_t best = 0;
    for (size_t m = 1; m < boxes.size(); ++m) {
      if (iou[m][a] > iou[best][a]) best = m;
    }
    if (iou[best][a] >= 0.5) match[a] = static_cast<int64_t>(best);
  }
  for (size_t m = boxes.size(); m-- > 0;) {
    match[static_cast<size_t>(std::max_element(iou[m].begin(), iou[m].end()) - iou[m].begin())] =
        static_cast<int64_t>(m);
  }
  return match;
}

TEST(AssignTargets, AgreesWithTheDefinitionOnRandomBoxes) {
  AnchorOptions o;
  o.height = o.width = 128;
  const Tensor anchors = MakeAnchors(o);
  std::mt19937 rng(3);
  std::uniform_real_distribution<float> at(0, 96), size(3, 100);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::vector<float>> boxes(12);
    std::vector<float> flat;
    std::vector<int64_t> labels;
    for (size_t m = 0; m < boxes.size(); ++m) {
      const float y = at(rng), x = at(rng);
      boxes[m] = {y, x, y + size(rng), x + size(rng)};
      flat.insert(flat.end(), boxes[m].begin(), boxes[m].end());
      labels.push_back(static_cast<int64_t>(m));
    }
    const AnchorTargets t =
        AssignTargets(anchors, Tensor::From<float>({1, 12, 4}, flat), Tensor::From<int64_t>({1, 12}, labels));
    EXPECT_EQ(t.classes.ToVector<int64_t>(), Oracle(anchors, boxes)) << round;
  }
}

}  // namespace
}  // namespace octet::detection
