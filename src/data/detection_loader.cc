#include "data/detection_loader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "data/batch_pipeline.h"
#include "data/detection_transform.h"
#include "data/image_set.h"

namespace octet::data {
namespace {

std::vector<ImageFile> Files(const CocoSet& set) {
  std::vector<ImageFile> files;
  // The place in the set travels as the label: files that cannot be decoded are left out.
  for (const CocoSet::Image& image : set.images) {
    files.push_back({image.path, static_cast<int64_t>(files.size()), image.record_offset});
  }
  return files;
}

std::vector<Box> Targets(const std::vector<Box>& boxes, bool skip_crowd) {
  std::vector<Box> targets;
  for (const Box& box : boxes) {
    if (!skip_crowd || !box.crowd) targets.push_back(box);
  }
  return targets;
}

}  // namespace

struct DetectionLoader::State {
  struct Slot {
    DetectionBatch batch;
    float* images = nullptr;
    float* boxes = nullptr;
    int64_t* labels = nullptr;
    float* scales = nullptr;
  };

  State(std::shared_ptr<const CocoSet> s, const DetectionLoaderOptions& o)
      : set(std::move(s)), options(o), slots(std::max(1, o.prefetch)) {
    const DetectionAugmentation& a = o.augmentation;
    OCTET_REQUIRE(
        a.random_crop_min_scale > 0 && a.random_crop_min_scale <= a.random_crop_max_scale,
        "augmentation.random_crop_min_scale is {} and random_crop_max_scale {}; the first must be positive and "
        "not larger",
        a.random_crop_min_scale, a.random_crop_max_scale);
    for (const CocoSet::Image& image : set->images) {
      const size_t count = Targets(image.boxes, o.skip_crowd).size();
      OCTET_REQUIRE(count <= static_cast<size_t>(o.max_boxes),
                    "image '{}' (id {}) has {} boxes, but max_instances_per_image is {}; set it to {} or more",
                    image.path, image.id, count, o.max_boxes, count);
    }
    ImageSetOptions decoding;
    decoding.threads = o.workers;
    decoding.cache_bytes = o.cache_bytes;
    decoding.show_progress = o.show_progress;
    decoding.what = o.what;
    images = std::make_unique<ImageSet>(Files(*set), decoding);

    PipelineOptions run;
    run.samples = images->size();
    run.batch_size = o.batch_size;
    run.shuffle = o.training || o.shuffle;
    run.drop_last = o.drop_last;
    run.workers = o.workers;
    run.prefetch = o.prefetch;
    run.seed = o.seed;
    PipelineSteps steps;
    steps.open = [this](int slot, const std::vector<int64_t>& samples) { Open(&slots[slot], samples); };
    steps.make = [this](int slot, int64_t at, int64_t sample, int64_t epoch) { Make(slots[slot], at, sample, epoch); };
    pipeline = std::make_unique<BatchPipeline>(run, std::move(steps));
  }

  std::shared_ptr<const CocoSet> set;
  DetectionLoaderOptions options;
  std::unique_ptr<ImageSet> images;
  std::vector<Slot> slots;
  std::unique_ptr<BatchPipeline> pipeline;  // last: its threads end before what they use does

  void Open(Slot* slot, const std::vector<int64_t>& samples) const {
    DetectionBatch& batch = slot->batch;
    const auto n = static_cast<int64_t>(samples.size());
    const Shape shape = {n, 3, options.height, options.width};
    if (!batch.images.defined() || batch.images.shape() != shape) batch.images = Tensor(DType::kF32, shape);
    batch.boxes = Tensor(DType::kF32, {n, options.max_boxes, 4});
    batch.labels = Tensor(DType::kS64, {n, options.max_boxes});
    batch.scales = Tensor(DType::kF32, {n});
    slot->images = batch.images.mutable_data<float>();
    slot->boxes = batch.boxes.mutable_data<float>();
    slot->labels = batch.labels.mutable_data<int64_t>();
    slot->scales = batch.scales.mutable_data<float>();
    std::fill(slot->labels, slot->labels + batch.labels.size(), -1);
    batch.samples.clear();
    batch.image_ids.clear();
    for (const int64_t sample : samples) {
      batch.samples.push_back(images->file(sample).label);
      batch.image_ids.push_back(set->images[batch.samples.back()].id);
    }
  }

  void Make(const Slot& slot, int64_t at, int64_t sample, int64_t epoch) const {
    const CocoSet::Image& listed = set->images[images->file(sample).label];
    std::shared_ptr<const Image> image = images->Get(sample);
    OCTET_REQUIRE(image->width == listed.width && image->height == listed.height,
                  "image '{}' (id {}) has {} x {} pixels, but {} x {} by its annotations; boxes would be misplaced "
                  "(octet does not apply EXIF rotation, as TAO)",
                  listed.path, listed.id, image->width, image->height, listed.width, listed.height);
    std::vector<Box> boxes = Targets(listed.boxes, options.skip_crowd);
    Placement placement = FitPlacement(image->width, image->height, options.width, options.height);
    if (options.training) {
      const DetectionAugmentation& a = options.augmentation;
      KeyedRng rng(options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
      if (a.auto_color_distortion || a.auto_translate_xy) {
        auto changed = std::make_shared<Image>(*image);
        if (a.auto_color_distortion) DistortColor(&rng, changed.get());
        if (a.auto_translate_xy) TranslateXY(&rng, changed.get(), &boxes);
        image = std::move(changed);
      }
      placement = RandomPlacement(image->width, image->height, options.width, options.height, a.random_crop_min_scale,
                                  a.random_crop_max_scale, a.rand_hflip, &rng);
    }
    const int64_t plane = int64_t{options.width} * options.height;
    PlaceImage(*image, placement, options.width, options.height, slot.images + at * 3 * plane);
    float* to = slot.boxes + at * options.max_boxes * 4;
    int64_t* label = slot.labels + at * options.max_boxes;
    for (const Box& box : PlaceBoxes(boxes, placement, image->width, options.width, options.height)) {
      *to++ = box.y1;
      *to++ = box.x1;
      *to++ = box.y2;
      *to++ = box.x2;
      *label++ = box.label;
    }
    slot.scales[at] = options.training ? 1.0f : static_cast<float>(1.0 / placement.scale);
  }
};

DetectionLoader::DetectionLoader(std::shared_ptr<const CocoSet> set, const DetectionLoaderOptions& options)
    : state_(std::make_unique<State>(std::move(set), options)) {}

DetectionLoader::~DetectionLoader() = default;

int64_t DetectionLoader::batches_per_epoch() const {
  return state_->pipeline->batches_per_epoch();
}
const CocoSet& DetectionLoader::set() const {
  return *state_->set;
}
void DetectionLoader::StartEpoch(int64_t epoch, int64_t first_batch) {
  state_->pipeline->StartEpoch(epoch, first_batch);
}

bool DetectionLoader::Next(DetectionBatch* batch) {
  return state_->pipeline->Next([&](int number) { std::swap(state_->slots[number].batch, *batch); });
}

double DetectionLoader::WaitFraction() const {
  return state_->pipeline->WaitFraction();
}
std::string DetectionLoader::BottleneckMessage() const {
  return state_->pipeline->BottleneckMessage();
}

}  // namespace octet::data
