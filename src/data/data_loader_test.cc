#include "data/data_loader.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "base/parallel.h"
#include "data/synthetic.h"
#include "data/test_folder.h"

namespace octet::data {
namespace {

std::shared_ptr<const ImageSet> SmallSet(const TestFolder& dir, size_t cache_bytes = size_t{1} << 30) {
  if (!IsDirectory(dir / "train")) {
    SyntheticOptions options;
    options.classes = 3;
    options.train_per_class = 9;
    options.val_per_class = 1;
    options.size = 20;
    options.show_progress = false;
    GenerateSynthetic(dir.path(), options);
  }
  ImageSetOptions options;
  options.show_progress = false;
  options.cache_bytes = cache_bytes;
  return std::make_shared<ImageSet>(ScanImageFolder(dir / "train"), options);
}

PreprocessOptions SmallInput() {
  PreprocessOptions options;
  options.width = options.height = 16;
  options.color = true;
  return options;
}

LoaderOptions Training(int workers, double mixup_alpha = 0) {
  LoaderOptions options;
  options.batch_size = 4;
  options.training = true;
  options.workers = workers;
  options.mixup_alpha = mixup_alpha;
  return options;
}

struct Copy {
  std::vector<float> images;
  std::vector<int64_t> labels;
  std::vector<int64_t> samples;
  std::vector<float> mix;
  bool operator==(const Copy& other) const {
    return images == other.images && labels == other.labels && samples == other.samples && mix == other.mix;
  }
};

std::vector<Copy> ReadEpoch(DataLoader* loader, int64_t epoch, int64_t first_batch = 0) {
  std::vector<Copy> out;
  loader->StartEpoch(epoch, first_batch);
  Batch batch;
  while (loader->Next(&batch)) {
    out.push_back({batch.images.ToVector<float>(), batch.labels, batch.samples, batch.mix});
  }
  return out;
}

TEST(DataLoader, TheSameBatchesWhateverTheThreadsAndTheCache) {
  const TestFolder dir;
  DataLoader one(SmallSet(dir), SmallInput(), Training(1, 0.4));
  DataLoader four(SmallSet(dir, 0), SmallInput(), Training(4, 0.4));
  std::vector<Copy> epochs[3];
  for (int epoch = 0; epoch < 3; ++epoch) {
    epochs[epoch] = ReadEpoch(&one, epoch);
    EXPECT_TRUE(epochs[epoch] == ReadEpoch(&four, epoch));
    EXPECT_EQ(epochs[epoch].size(), 7u);
  }
  EXPECT_NE(epochs[0][0].samples, epochs[1][0].samples);
  EXPECT_TRUE(ReadEpoch(&one, 1) == epochs[1]);
  // Resumed inside an epoch.
  const std::vector<Copy> rest = ReadEpoch(&four, 2, 5);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_TRUE(rest[0] == epochs[2][5] && rest[1] == epochs[2][6]);
  EXPECT_EQ(rest[1].images.size(), 3u * 3 * 16 * 16);
}

TEST(DataLoader, AnEpochHoldsEverySampleOnce) {
  const TestFolder dir;
  DataLoader loader(SmallSet(dir), SmallInput(), Training(2));
  EXPECT_EQ(loader.batches_per_epoch(), 7);
  std::multiset<int64_t> seen;
  for (const Copy& batch : ReadEpoch(&loader, 0)) {
    for (size_t i = 0; i < batch.samples.size(); ++i) {
      seen.insert(batch.samples[i]);
      EXPECT_EQ(batch.labels[i], batch.samples[i] / 9);
    }
  }
  EXPECT_EQ(seen.size(), 27u);
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 27u);
  LoaderOptions drop = Training(2);
  drop.drop_last = true;
  EXPECT_EQ(DataLoader(SmallSet(dir), SmallInput(), drop).batches_per_epoch(), 6);
  drop.batch_size = 100;
  EXPECT_EQ(MessageOf([&] { DataLoader(SmallSet(dir), SmallInput(), drop); }),
            "batch size 100 is larger than the data set (27 images); make it smaller");
}

TEST(DataLoader, EvaluationIsInOrderAndUnchanged) {
  const TestFolder dir;
  LoaderOptions options;
  options.batch_size = 5;
  options.workers = 3;
  const auto set = SmallSet(dir);
  DataLoader loader(set, SmallInput(), options);
  const Preprocessor preprocessor(SmallInput());
  std::vector<float> expected(preprocessor.output_size());
  int64_t next = 0;
  for (const Copy& batch : ReadEpoch(&loader, 0)) {
    for (size_t i = 0; i < batch.samples.size(); ++i, ++next) {
      ASSERT_EQ(batch.samples[i], next);
      preprocessor.ForEvaluation(*set->Get(next), expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.images.begin() + i * expected.size()));
    }
  }
  EXPECT_EQ(next, 27);
}

TEST(DataLoader, MixupMixesWithTheReversedBatch) {
  const TestFolder dir;
  const auto set = SmallSet(dir);
  DataLoader plain(set, SmallInput(), Training(2));
  DataLoader mixed(set, SmallInput(), Training(2, 0.3));
  const std::vector<Copy> a = ReadEpoch(&plain, 0);
  const std::vector<Copy> b = ReadEpoch(&mixed, 0);
  const size_t size = 3 * 16 * 16;
  for (size_t k = 0; k < a.size(); ++k) {
    const size_t n = a[k].samples.size();
    ASSERT_EQ(b[k].mix.size(), n);
    EXPECT_TRUE(a[k].mix.empty());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_GE(b[k].mix[i], 0.5f);
      EXPECT_LE(b[k].mix[i], 1.0f);
      for (size_t j = 0; j < size; j += 37) {
        const float own = a[k].images[i * size + j];
        const float partner = a[k].images[(n - 1 - i) * size + j];
        EXPECT_NEAR(b[k].images[i * size + j], b[k].mix[i] * own + (1 - b[k].mix[i]) * partner, 1e-3);
      }
    }
  }
}

TEST(DataLoader, DroppedEpochsErrorsAndWaiting) {
  const TestFolder dir;
  DataLoader loader(SmallSet(dir), SmallInput(), Training(3));
  Batch batch;
  EXPECT_FALSE(loader.Next(&batch));
  for (int epoch = 0; epoch < 20; ++epoch) {  // begun and left
    loader.StartEpoch(epoch);
    ASSERT_TRUE(loader.Next(&batch));
  }
  loader.StartEpoch(0);
  while (loader.Next(&batch)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LT(loader.WaitFraction(), 0.2);
  EXPECT_EQ(loader.BottleneckMessage(), "");

  const auto set = SmallSet(dir, 0);
  DataLoader failing(set, SmallInput(), Training(2));
  std::filesystem::remove(set->file(13).path);
  failing.StartEpoch(0);
  EXPECT_THAT(MessageOf([&] {
                while (failing.Next(&batch)) {
                }
              }),
              ::testing::HasSubstr("could be decoded when the data was checked"));
}

TEST(DataLoader, AWaitingNetworkIsToldWhatToDo) {
  const TestFolder dir;
  DataLoader loader(SmallSet(dir, 0), SmallInput(), Training(1));  // every image is decoded again
  Batch batch;
  loader.StartEpoch(0);
  while (loader.Next(&batch)) {
  }
  EXPECT_GT(loader.WaitFraction(), 0.5);
  const std::string advice = loader.BottleneckMessage();
  EXPECT_THAT(advice, ::testing::HasSubstr("the network waited for images"));
  EXPECT_THAT(advice, ::testing::HasSubstr(HardwareThreads() > 1
                                               ? fmt::format("raise n_workers from 1 to {}", HardwareThreads())
                                               : "all 1 CPU threads load images already"));
}

TEST(DataLoader, RealPhotosWithAWaitingConsumer) {
  const std::string path = SharedData("clothing192/test");
  if (path.empty()) {
    std::printf("skipped: no shared data\n");
    GTEST_SKIP();
  }
  ImageSetOptions options;
  options.show_progress = false;
  options.cache_bytes = 0;
  PreprocessOptions input;
  input.width = input.height = 160;
  LoaderOptions loading = Training(1);
  loading.batch_size = 32;
  DataLoader loader(std::make_shared<ImageSet>(ScanImageFolder(path), options), input, loading);
  loader.StartEpoch(0);
  Batch batch;
  int64_t count = 0;
  while (loader.Next(&batch)) count += batch.images.dim(0);  // a consumer that does nothing only waits
  EXPECT_EQ(count, 372);
  EXPECT_GT(loader.WaitFraction(), 0.8);
  EXPECT_THAT(loader.BottleneckMessage(), ::testing::HasSubstr("the network waited for images"));
}

}  // namespace
}  // namespace octet::data
