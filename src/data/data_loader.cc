#include "data/data_loader.h"

#include <algorithm>
#include <utility>

#include "data/batch_pipeline.h"

namespace octet::data {
namespace {

constexpr uint64_t kMixupStream = 1;

}  // namespace

struct DataLoader::State {
  struct Slot {
    Batch batch;
    float* images = nullptr;
  };

  State(std::shared_ptr<const ImageSet> set, const PreprocessOptions& p, const LoaderOptions& o)
      : images(std::move(set)), preprocessor(p), options(o), slots(std::max(1, o.prefetch)) {
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
    steps.make = [this](int slot, int64_t at, int64_t sample, int64_t epoch) {
      MakeSample(slots[slot].images + at * static_cast<int64_t>(preprocessor.output_size()), sample, epoch);
    };
    if (o.training && o.mixup_alpha > 0) {
      steps.finish = [this](int slot, int64_t epoch) { Mixup(&slots[slot], epoch); };
    }
    pipeline = std::make_unique<BatchPipeline>(run, std::move(steps));
  }

  std::shared_ptr<const ImageSet> images;
  Preprocessor preprocessor;
  LoaderOptions options;
  std::vector<Slot> slots;
  std::unique_ptr<BatchPipeline> pipeline;  // last: its threads end before what they use does

  void Open(Slot* slot, const std::vector<int64_t>& samples) const {
    const PreprocessOptions& p = preprocessor.options();
    const Shape shape = {static_cast<int64_t>(samples.size()), p.channels, p.height, p.width};
    if (!slot->batch.images.defined() || slot->batch.images.shape() != shape) {
      slot->batch.images = Tensor(DType::kF32, shape);
    }
    slot->images = slot->batch.images.mutable_data<float>();
    slot->batch.samples = samples;
    slot->batch.labels.clear();
    for (const int64_t sample : samples) slot->batch.labels.push_back(images->file(sample).label);
    slot->batch.mix.clear();
  }

  void MakeSample(float* to, int64_t sample, int64_t epoch) const {
    const std::shared_ptr<const Image> image = images->Get(sample);
    if (options.training) {
      KeyedRng rng(options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
      preprocessor.ForTraining(*image, &rng, to);
    } else {
      preprocessor.ForEvaluation(*image, to);
    }
  }

  // Partner of i is n-1-i, as in TAO. Both of a pair are mixed at once, in place.
  void Mixup(Slot* slot, int64_t epoch) const {
    const auto n = static_cast<int64_t>(slot->batch.samples.size());
    const auto size = static_cast<int64_t>(preprocessor.output_size());
    slot->batch.mix.resize(n);
    for (int64_t i = 0; i < n; ++i) {
      KeyedRng rng(options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(slot->batch.samples[i]),
                   kMixupStream);
      const double lambda = rng.Beta(options.mixup_alpha, options.mixup_alpha);
      slot->batch.mix[i] = static_cast<float>(std::max(lambda, 1.0 - lambda));
    }
    for (int64_t i = 0, j = n - 1; i < j; ++i, --j) {
      const float u = slot->batch.mix[i];
      const float v = slot->batch.mix[j];
      float* a = slot->images + i * size;
      float* b = slot->images + j * size;
      for (int64_t k = 0; k < size; ++k) {
        const float x = a[k];
        const float y = b[k];
        a[k] = u * x + (1.0f - u) * y;
        b[k] = v * y + (1.0f - v) * x;
      }
    }
  }
};

DataLoader::DataLoader(std::shared_ptr<const ImageSet> images, const PreprocessOptions& preprocess,
                       const LoaderOptions& options)
    : state_(std::make_unique<State>(std::move(images), preprocess, options)) {}

DataLoader::~DataLoader() = default;

int64_t DataLoader::batches_per_epoch() const {
  return state_->pipeline->batches_per_epoch();
}
const ImageSet& DataLoader::images() const {
  return *state_->images;
}
void DataLoader::StartEpoch(int64_t epoch, int64_t first_batch) {
  state_->pipeline->StartEpoch(epoch, first_batch);
}

bool DataLoader::Next(Batch* batch) {
  return state_->pipeline->Next([&](int number) {
    std::swap(state_->slots[number].batch, *batch);
    state_->slots[number].images = nullptr;
  });
}

double DataLoader::WaitFraction() const {
  return state_->pipeline->WaitFraction();
}
std::string DataLoader::BottleneckMessage() const {
  return state_->pipeline->BottleneckMessage();
}

}  // namespace octet::data
