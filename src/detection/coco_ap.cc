#include "detection/coco_ap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"

namespace octet::detection {

const std::array<const char*, 12> kCocoMetricNames = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                                      "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};

namespace {

constexpr int kThresholds = 10;  // IoU 0.50, 0.55, ..., 0.95
constexpr int kRecalls = 101;    // 0, 0.01, ..., 1
constexpr int kAreas = 4;        // all, small, medium, large
constexpr int kMostBoxes = 100;  // an image and category
constexpr double kAreaRange[kAreas][2] = {{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}};

// As numpy.linspace computes them; comparisons with IoUs and recalls must come out the same.
double IouThreshold(int i) {
  return i == kThresholds - 1 ? 0.95 : i * ((0.95 - 0.5) / (kThresholds - 1)) + 0.5;
}
double RecallPoint(int i) {
  return i == kRecalls - 1 ? 1.0 : i * 0.01;
}

// Of a crowd, the part of the detection that lies in it.
double IouWithTruth(const ScoredBox& d, const TruthBox& g) {
  const double w = std::min(d.x + d.width, g.x + g.width) - std::max(d.x, g.x);
  if (w <= 0) return 0;
  const double h = std::min(d.y + d.height, g.y + g.height) - std::max(d.y, g.y);
  if (h <= 0) return 0;
  const double both = w * h;
  const double area = d.width * d.height;
  return both / (g.crowd ? area : area + g.width * g.height - both);
}

enum : uint8_t { kMatched = 1, kIgnored = 2 };

// One category's detections of all images, best first within each image, with the fate of each.
struct Judged {
  std::vector<double> scores;
  std::vector<int> ranks;              // within the image
  std::vector<uint8_t> fates[kAreas];  // [detection][threshold]
  int64_t positives[kAreas] = {};      // boxes to be found
};

using Truths = std::vector<const TruthBox*>;
using Scored = std::vector<const ScoredBox*>;

// Goes through one image's detections, best first; each takes the free box it overlaps most.
void JudgeImage(const Truths& truths, Scored scored, Judged* judged) {
  std::stable_sort(scored.begin(), scored.end(), [](auto* a, auto* b) { return a->score > b->score; });
  if (scored.size() > kMostBoxes) scored.resize(kMostBoxes);
  const size_t ng = truths.size(), nd = scored.size();
  std::vector<double> ious(nd * ng);
  for (size_t d = 0; d < nd; ++d) {
    judged->scores.push_back(scored[d]->score);
    judged->ranks.push_back(static_cast<int>(d));
    for (size_t g = 0; g < ng; ++g) ious[d * ng + g] = IouWithTruth(*scored[d], *truths[g]);
  }
  std::vector<size_t> order(ng);
  std::vector<uint8_t> ignored(ng), taken(ng);
  for (int area = 0; area < kAreas; ++area) {
    const auto out_of_range = [&](double a) { return a < kAreaRange[area][0] || a > kAreaRange[area][1]; };
    for (size_t g = 0; g < ng; ++g) {
      ignored[g] = truths[g]->crowd || out_of_range(truths[g]->area);
      judged->positives[area] += ignored[g] == 0;
    }
    std::iota(order.begin(), order.end(), 0);  // what must be found before what is ignored
    std::stable_partition(order.begin(), order.end(), [&](size_t g) { return ignored[g] == 0; });
    const size_t base = judged->fates[area].size();
    judged->fates[area].resize(base + nd * kThresholds);
    for (int t = 0; t < kThresholds; ++t) {
      std::fill(taken.begin(), taken.end(), 0);
      for (size_t d = 0; d < nd; ++d) {
        double best = std::min(IouThreshold(t), 1 - 1e-10);
        const TruthBox* match = nullptr;
        size_t match_at = 0;
        for (const size_t g : order) {
          if (taken[g] && !truths[g]->crowd) continue;
          if (match != nullptr && !ignored[match_at] && ignored[g]) break;
          if (ious[d * ng + g] < best) continue;
          best = ious[d * ng + g];
          match = truths[g];
          match_at = g;
        }
        uint8_t fate = 0;
        if (match != nullptr) {
          taken[match_at] = 1;
          // pycocotools stores the box's id as the mark of a match: id 0 takes the box and counts as no match.
          if (match->id != 0) fate |= kMatched;
          if (ignored[match_at]) fate |= kIgnored;
        }
        if (!(fate & kMatched) && out_of_range(scored[d]->width * scored[d]->height)) fate |= kIgnored;
        judged->fates[area][base + d * kThresholds + t] = fate;
      }
    }
  }
}

// Precision at the recall points and the largest recall, per threshold; -1 without data.
struct Curve {
  std::array<std::array<double, kRecalls>, kThresholds> precision;
  std::array<double, kThresholds> recall;
  bool has_data = false;
};

Curve Accumulate(const Judged& judged, const std::vector<size_t>& by_score, int area, int most) {
  Curve curve;
  const int64_t positives = judged.positives[area];
  if (positives == 0) return curve;
  curve.has_data = true;
  std::vector<double> precision, recall;
  for (int t = 0; t < kThresholds; ++t) {
    precision.clear();
    recall.clear();
    double found = 0, wrong = 0;
    for (const size_t d : by_score) {
      if (judged.ranks[d] >= most) continue;
      const uint8_t fate = judged.fates[area][d * kThresholds + t];
      if (!(fate & kIgnored)) (fate & kMatched ? found : wrong) += 1;
      recall.push_back(found / static_cast<double>(positives));
      precision.push_back(found / (wrong + found + std::numeric_limits<double>::epsilon()));
    }
    for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
    curve.recall[t] = recall.empty() ? 0 : recall.back();
    for (int r = 0; r < kRecalls; ++r) {
      const auto at = std::lower_bound(recall.begin(), recall.end(), RecallPoint(r)) - recall.begin();
      curve.precision[t][r] = at < static_cast<std::ptrdiff_t>(precision.size()) ? precision[at] : 0;
    }
  }
  return curve;
}

struct Mean {
  double sum = 0;
  int64_t count = 0;
  void Add(double value) {
    sum += value;
    ++count;
  }
  void Add(const Mean& other) {
    sum += other.sum;
    count += other.count;
  }
  double Value() const { return count == 0 ? -1 : sum / static_cast<double>(count); }
};

// One category's share in the 12 numbers.
std::array<Mean, 12> Shares(const Judged& judged) {
  std::vector<size_t> by_score(judged.scores.size());
  std::iota(by_score.begin(), by_score.end(), 0);
  std::stable_sort(by_score.begin(), by_score.end(),
                   [&](size_t a, size_t b) { return judged.scores[a] > judged.scores[b]; });
  std::array<Mean, 12> shares;
  const auto add_recall = [&](const Curve& curve, Mean* mean) {
    if (!curve.has_data) return;
    for (const double recall : curve.recall) mean->Add(recall);
  };
  for (int area = 0; area < kAreas; ++area) {
    const Curve curve = Accumulate(judged, by_score, area, kMostBoxes);
    if (curve.has_data) {
      for (int t = 0; t < kThresholds; ++t) {
        for (const double p : curve.precision[t]) {
          shares[area == 0 ? 0 : 2 + area].Add(p);
          if (area == 0 && t == 0) shares[1].Add(p);
          if (area == 0 && t == 5) shares[2].Add(p);
        }
      }
    }
    add_recall(curve, &shares[8 + area]);
  }
  add_recall(Accumulate(judged, by_score, 0, 1), &shares[6]);
  add_recall(Accumulate(judged, by_score, 0, 10), &shares[7]);
  return shares;
}

std::unordered_map<int64_t, size_t> Positions(const std::vector<int64_t>& ids) {
  std::unordered_map<int64_t, size_t> positions;
  for (size_t i = 0; i < ids.size(); ++i) positions[ids[i]] = i;
  return positions;
}

}  // namespace

CocoMetrics Evaluate(const GroundTruth& truth, const std::vector<ScoredBox>& detections, int threads) {
  OCTET_CHECK(truth.names.size() == truth.category_ids.size(), "{} names for {} categories", truth.names.size(),
              truth.category_ids.size());
  std::vector<int64_t> images = truth.image_ids;
  std::sort(images.begin(), images.end());
  std::vector<size_t> categories(truth.category_ids.size());
  std::iota(categories.begin(), categories.end(), 0);
  std::sort(categories.begin(), categories.end(),
            [&](size_t a, size_t b) { return truth.category_ids[a] < truth.category_ids[b]; });
  const auto image_at = Positions(images);
  const auto category_at = Positions(truth.category_ids);

  // [category][image, those with something only]
  struct Pair {
    Truths truths;
    Scored scored;
  };
  std::vector<std::unordered_map<size_t, Pair>> pairs(categories.size());
  for (const TruthBox& box : truth.boxes) {
    const auto category = category_at.find(box.category_id);
    if (category == category_at.end()) continue;
    pairs[category->second][image_at.at(box.image_id)].truths.push_back(&box);
  }
  for (const ScoredBox& box : detections) {
    const auto image = image_at.find(box.image_id);
    OCTET_REQUIRE(image != image_at.end(), "there are detections of image {}, which is not in the ground truth",
                  box.image_id);
    const auto category = category_at.find(box.category_id);
    if (category == category_at.end()) continue;
    pairs[category->second][image->second].scored.push_back(&box);
  }

  std::vector<std::array<Mean, 12>> shares(categories.size());
  ThreadPool pool(std::clamp(threads, 1, HardwareThreads()));
  pool.ParallelFor(static_cast<int64_t>(categories.size()), [&](int64_t c) {
    std::vector<size_t> present;
    for (const auto& [image, pair] : pairs[c]) present.push_back(image);
    std::sort(present.begin(), present.end());
    Judged judged;
    for (const size_t image : present) JudgeImage(pairs[c][image].truths, pairs[c][image].scored, &judged);
    shares[c] = Shares(judged);
  });

  CocoMetrics metrics;
  std::array<Mean, 12> total;
  for (const size_t c : categories) {
    for (size_t i = 0; i < total.size(); ++i) total[i].Add(shares[c][i]);
    metrics.categories.push_back({truth.category_ids[c], truth.names[c], shares[c][0].Value(), shares[c][1].Value()});
  }
  for (size_t i = 0; i < total.size(); ++i) metrics.numbers[i] = total[i].Value();
  return metrics;
}

CocoMetrics Evaluate(const data::CocoSet& set, const std::vector<Detection>& detections, int threads) {
  return Evaluate(ToGroundTruth(set), ToScoredBoxes(detections, set.category_ids), threads);
}

std::string FormatMetrics(const CocoMetrics& metrics) {
  static const char* const kLines[12] = {"AP     IoU 0.50:0.95, all sizes, 100 boxes an image",
                                         "AP50   IoU 0.50",
                                         "AP75   IoU 0.75",
                                         "APs    small, below 32 x 32",
                                         "APm    medium",
                                         "APl    large, above 96 x 96",
                                         "AR1    1 box an image",
                                         "AR10   10 boxes an image",
                                         "AR100  100 boxes an image",
                                         "ARs    small",
                                         "ARm    medium",
                                         "ARl    large"};
  const auto number = [](double v) { return v < 0 ? std::string("     -") : fmt::format("{:6.4f}", v); };
  std::string text;
  for (size_t i = 0; i < 12; ++i) text += fmt::format("{}  {}\n", number(metrics.numbers[i]), kLines[i]);
  for (const CocoMetrics::Category& c : metrics.categories) {
    text += fmt::format("{}  AP of {} (AP50 {})\n", number(c.ap), c.name, number(c.ap50));
  }
  return text;
}

}  // namespace octet::detection
