// Batches for detection: images resized with their aspect kept and padded at the bottom and right, boxes moved along.
// What a batch holds depends on (seed, epoch, sample) only, never on the number of threads or on timing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/coco.h"
#include "tensor/tensor.h"

namespace octet::data {

// Of ImageNet, by which images are normalised: (x / 255 - mean) / deviation, RGB.
inline constexpr float kDetectionMean[3] = {0.485f, 0.456f, 0.406f};
inline constexpr float kDetectionDeviation[3] = {0.229f, 0.224f, 0.225f};

// efficientdet_tf2: dataset.augmentation
struct DetectionAugmentation {
  bool rand_hflip = true;
  double random_crop_min_scale = 0.1;
  double random_crop_max_scale = 2.0;
  bool auto_color_distortion = false;
  bool auto_translate_xy = false;
};

struct DetectionLoaderOptions {
  int width = 512;
  int height = 512;
  int batch_size = 8;
  bool training = false;   // shuffled and augmented; else in order
  bool shuffle = false;    // in the order of a training, also without one
  bool drop_last = false;  // leave out the last batch of an epoch when it is not full
  int max_boxes = 100;     // an image with more is an error that says so (dataset.max_instances_per_image)
  bool skip_crowd = true;  // crowds are left out of `boxes`
  int workers = 1;
  int prefetch = 3;  // batches made ahead
  uint64_t seed = 42;
  size_t cache_bytes = size_t{1} << 30;  // decoded images kept in memory
  bool show_progress = true;
  std::string what = "images";         // "training images", for the progress line and messages
  DetectionAugmentation augmentation;  // training only
};

struct DetectionBatch {
  Tensor images;                   // f32 [n,3,height,width], RGB, (x / 255 - mean) / deviation of ImageNet
  Tensor boxes;                    // f32 [n,max_boxes,4]: y1,x1,y2,x2 in pixels of the network's input; 0 = padding
  Tensor labels;                   // s64 [n,max_boxes]; -1 = padding
  Tensor scales;                   // f32 [n]: pixels of the input times this are pixels of the original (training: 1)
  std::vector<int64_t> image_ids;  // n
  std::vector<int64_t> samples;    // n indices into CocoSet::images
};

class DetectionLoader {
 public:
  // Decodes every image once, as ImageSet does. Throws Error(kUser) on an image with more than max_boxes boxes (named)
  // and on scales that make no sense; Next throws when an image has another size than its annotations say.
  DetectionLoader(std::shared_ptr<const CocoSet> set, const DetectionLoaderOptions& options);
  ~DetectionLoader();
  DetectionLoader(const DetectionLoader&) = delete;
  DetectionLoader& operator=(const DetectionLoader&) = delete;

  int64_t batches_per_epoch() const;
  const CocoSet& set() const;

  // As DataLoader's: an epoch from its batch `first_batch`; the next batch, false at the end; how long it was waited
  // for.
  void StartEpoch(int64_t epoch, int64_t first_batch = 0);
  bool Next(DetectionBatch* batch);
  double WaitFraction() const;
  std::string BottleneckMessage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::data
