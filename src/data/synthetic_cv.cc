#include <algorithm>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "data/image_folder.h"
#include "data/synthetic.h"
#include "data/synthetic_parts_cv.h"

namespace octet::data {
namespace {

SyntheticPlacement RandomPlacement(int size, KeyedRng* rng) {
  SyntheticPlacement p = SyntheticTilt(rng->Uniform(0.29, 0.44) * size, rng);
  const double room = std::max(0.0, size / 2.0 - p.scale * 1.1);
  p.x = size / 2.0 + rng->Uniform(-room, room);
  p.y = size / 2.0 + rng->Uniform(-room, room);
  p.mirrored = rng->Coin();
  return p;
}

}  // namespace

Image MakeSyntheticImage(int class_index, int split, int64_t index, int size, uint64_t seed) {
  KeyedRng rng(seed, static_cast<uint64_t>(split), static_cast<uint64_t>(class_index), static_cast<uint64_t>(index));
  const int canvas_size = size * kSyntheticOversampling;
  const cv::Vec3f back_color = SyntheticColor(&rng);
  const cv::Vec3f front_color = SyntheticColorFarFrom(back_color, &rng);
  cv::Mat canvas = SyntheticTexture(canvas_size, back_color, &rng);
  DrawFragments(&canvas, static_cast<int>(rng.Integer(2, 6)), &rng);
  const cv::Mat front = SyntheticTexture(canvas_size, front_color, &rng);
  front.copyTo(canvas, SyntheticMask(class_index, canvas_size, RandomPlacement(canvas_size, &rng)));
  DrawFragments(&canvas, static_cast<int>(rng.Integer(0, 2)), &rng);
  return FinishPicture(canvas, size, &rng);
}

void GenerateSynthetic(const std::string& dir, const SyntheticOptions& options) {
  const auto limit = static_cast<int>(SyntheticClassNames().size());
  OCTET_REQUIRE(options.classes >= 2 && options.classes <= limit, "classes: expected 2 to {}, got {}", limit,
                options.classes);
  OCTET_REQUIRE(options.size >= 16 && options.size <= 1024, "size: expected 16 to 1024 pixels, got {}", options.size);
  OCTET_REQUIRE(options.train_per_class >= 1 && options.val_per_class >= 1,
                "images per class: expected 1 or more, got {} for train and {} for val", options.train_per_class,
                options.val_per_class);
  cv::setNumThreads(1);  // the pool below is the parallelism
  struct Job {
    int class_index;
    int split;
    int64_t index;
  };
  std::vector<Job> jobs;
  const char* const splits[] = {"train", "val"};
  for (int split = 0; split < 2; ++split) {
    const int count = split == 0 ? options.train_per_class : options.val_per_class;
    for (int k = 0; k < options.classes; ++k) {
      MakeDirectories(fmt::format("{}/{}/{}", dir, splits[split], SyntheticClassNames()[k]));
      for (int i = 0; i < count; ++i) jobs.push_back({k, split, i});
    }
  }
  std::unique_ptr<Progress> progress;
  if (options.show_progress) {
    progress = std::make_unique<Progress>("drawing", static_cast<int64_t>(jobs.size()), "images");
  }
  std::mutex mutex;
  ThreadPool pool(std::min(std::max(1, options.threads), HardwareThreads()));
  pool.ParallelFor(static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const Job& job = jobs[i];
    const Image image = MakeSyntheticImage(job.class_index, job.split, job.index, options.size, options.seed);
    const std::string path =
        fmt::format("{}/{}/{}/{:05}.png", dir, splits[job.split], SyntheticClassNames()[job.class_index], job.index);
    WriteQuickly(path, EncodePng(image));
    const std::lock_guard<std::mutex> lock(mutex);
    if (progress) progress->Advance(1);
  });
  if (progress) progress->Finish();
  for (int split = 0; split < 2; ++split) {
    const int count = (split == 0 ? options.train_per_class : options.val_per_class) * options.classes;
    const std::string folder = fmt::format("{}/{}", dir, splits[split]);
    const auto found = static_cast<int>(ScanImageFolder(folder).files.size());
    OCTET_REQUIRE(found == count, "'{}' holds {} images, {} of them from elsewhere; choose an empty folder", folder,
                  found, found - count);
  }
}

}  // namespace octet::data
