#include <algorithm>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "data/synthetic.h"
#include "data/synthetic_parts_cv.h"

namespace octet::data {
namespace {

constexpr double kMostOverlap = 0.02;  // of two boxes, over the smaller one's area

double Overlap(const cv::Rect& a, const cv::Rect& b) {
  return static_cast<double>((a & b).area()) / std::min(a.area(), b.area());
}

}  // namespace

SyntheticScene MakeSyntheticScene(int classes, int split, int64_t index, int size, uint64_t seed) {
  // A key of its own: no scene looks like a picture of MakeSyntheticImage.
  KeyedRng rng(seed, static_cast<uint64_t>(split), 1000, static_cast<uint64_t>(index));
  const int canvas_size = size * kSyntheticOversampling;
  const cv::Vec3f back_color = SyntheticColor(&rng);
  cv::Mat canvas = SyntheticTexture(canvas_size, back_color, &rng);
  DrawFragments(&canvas, static_cast<int>(rng.Integer(3, 9)), &rng);
  SyntheticScene scene;
  std::vector<cv::Rect> taken;
  const auto wanted = static_cast<int>(rng.Integer(1, 5));
  for (int attempt = 0; attempt < 40 && static_cast<int>(taken.size()) < wanted; ++attempt) {
    const auto class_index = static_cast<int>(rng.Integer(0, classes - 1));
    SyntheticPlacement p = SyntheticTilt(rng.Uniform(0.07, 0.2) * canvas_size, &rng);
    p.x = rng.Uniform(p.scale, canvas_size - p.scale);
    p.y = rng.Uniform(p.scale, canvas_size - p.scale);
    p.mirrored = rng.Coin();
    const cv::Mat mask = SyntheticMask(class_index, canvas_size, p);
    const cv::Rect box = cv::boundingRect(mask);
    const bool free =
        std::all_of(taken.begin(), taken.end(), [&](const cv::Rect& t) { return Overlap(t, box) <= kMostOverlap; });
    if (!free) continue;
    SyntheticTexture(canvas_size, SyntheticColorFarFrom(back_color, &rng), &rng).copyTo(canvas, mask);
    taken.push_back(box);
    const double by = 1.0 / kSyntheticOversampling;
    scene.objects.push_back({class_index, box.x * by, box.y * by, box.width * by, box.height * by});
  }
  DrawFragments(&canvas, static_cast<int>(rng.Integer(0, 2)), &rng);
  scene.image = FinishPicture(canvas, size, &rng);
  return scene;
}

void GenerateSyntheticScenes(const std::string& dir, const SyntheticScenesOptions& options) {
  const auto limit = static_cast<int>(SyntheticClassNames().size());
  OCTET_REQUIRE(options.classes >= 1 && options.classes <= limit, "classes: expected 1 to {}, got {}", limit,
                options.classes);
  OCTET_REQUIRE(options.size >= 64 && options.size <= 2048, "size: expected 64 to 2048 pixels, got {}", options.size);
  OCTET_REQUIRE(options.train >= 1 && options.val >= 1, "images: expected 1 or more, got {} for train and {} for val",
                options.train, options.val);
  cv::setNumThreads(1);  // the pool below is the parallelism
  MakeDirectories(dir + "/images");
  const int counts[] = {options.train, options.val};
  const char* const splits[] = {"train", "val"};
  std::vector<std::vector<SyntheticObject>> objects[2];
  std::unique_ptr<Progress> progress;
  if (options.show_progress) progress = std::make_unique<Progress>("drawing", options.train + options.val, "images");
  std::mutex mutex;
  ThreadPool pool(std::min(std::max(1, options.threads), HardwareThreads()));
  for (int split = 0; split < 2; ++split) {
    objects[split].resize(static_cast<size_t>(counts[split]));
    pool.ParallelFor(counts[split], [&](int64_t i) {
      SyntheticScene scene = MakeSyntheticScene(options.classes, split, i, options.size, options.seed);
      WriteQuickly(fmt::format("{}/images/{}_{:05}.png", dir, splits[split], i), EncodePng(scene.image));
      objects[split][static_cast<size_t>(i)] = std::move(scene.objects);
      const std::lock_guard<std::mutex> lock(mutex);
      if (progress) progress->Advance(1);
    });
  }
  if (progress) progress->Finish();
  nlohmann::json categories = nlohmann::json::array();
  for (int k = 0; k < options.classes; ++k) {
    categories.push_back({{"id", k + 1}, {"name", SyntheticClassNames()[static_cast<size_t>(k)]}});
  }
  for (int split = 0; split < 2; ++split) {
    nlohmann::json images = nlohmann::json::array(), annotations = nlohmann::json::array();
    for (int i = 0; i < counts[split]; ++i) {
      images.push_back({{"id", i + 1},
                        {"file_name", fmt::format("{}_{:05}.png", splits[split], i)},
                        {"width", options.size},
                        {"height", options.size}});
      for (const SyntheticObject& o : objects[split][static_cast<size_t>(i)]) {
        annotations.push_back({{"id", annotations.size() + 1},
                               {"image_id", i + 1},
                               {"category_id", o.class_index + 1},
                               {"bbox", {o.x, o.y, o.width, o.height}},
                               {"area", o.width * o.height},
                               {"iscrowd", 0}});
      }
    }
    const nlohmann::json file = {{"images", images}, {"annotations", annotations}, {"categories", categories}};
    WriteFileAtomic(fmt::format("{}/{}.json", dir, splits[split]), file.dump(1) + "\n");
  }
}

}  // namespace octet::data
