// QAT in integers against QAT with simulated rounding, 200 steps on real photos from the same trained weights. After
// some steps two such runs differ as two runs of the simulation do whose learning rates differ by a millionth: codes
// that flip at ties. That distance, measured here as well, is what "equal" can mean.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "data/test_folder.h"
#include "ops/install.h"
#include "task/classification/classification.h"
#include "train/kernels/product_s16.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

constexpr int kPhotosOfAClass = 64, kClasses = 10, kBatch = 32;  // 20 steps an epoch
constexpr int kSteps = kPhotosOfAClass * kClasses / kBatch;

// The first photos of each class of CIFAR-10, as links; "" when the data are not there.
std::string PhotosIn(const std::string& folder) {
  const std::string root = data::SharedData("cifar10/train");
  if (root.empty()) return "";
  for (const auto& entry : fs::directory_iterator(root)) {
    const fs::path to = fs::path(folder) / entry.path().filename();
    fs::create_directories(to);
    std::vector<fs::path> files;
    for (const auto& file : fs::directory_iterator(entry.path())) files.push_back(file.path());
    std::sort(files.begin(), files.end());
    for (size_t i = 0; i < kPhotosOfAClass && i < files.size(); ++i) {
      fs::create_symlink(fs::absolute(files[i]), to / files[i].filename());
    }
  }
  return folder;
}

class IntegerTraining : public testing::TestWithParam<const char*> {};

TEST_P(IntegerTraining, LosesWhatTheSimulationLoses) {
  if (!train::HasS16Products()) GTEST_SKIP() << "skipped: this CPU has no AVX-512 VNNI";
  ops::InstallOps();
  const std::string root = testing::TempDir() + fmt::format("octet_integer_training_{}_{}", GetParam(), ::getpid());
  const std::string photos = PhotosIn(root + "/photos");
  if (photos.empty()) GTEST_SKIP() << "skipped: ../shared/data/cifar10 is not there";
  const auto train = [&](const std::string& run, int epochs, double rate, const std::vector<std::string>& more) {
    std::vector<std::string> settings = {"results_dir=" + root + "/" + run,
                                         "dataset.train_dataset_path=" + photos,
                                         "dataset.val_dataset_path=" + photos,
                                         "dataset.num_classes=10",
                                         "dataset.preprocess_mode=torch",
                                         "dataset.augmentation.enable_random_crop=false",
                                         "dataset.augmentation.enable_center_crop=false",
                                         std::string("model.backbone=") + GetParam(),
                                         "model.input_width=48",
                                         "model.input_height=48",
                                         fmt::format("train.batch_size_per_gpu={}", kBatch),
                                         fmt::format("train.num_epochs={}", epochs),
                                         "train.optim_config.momentum=0.9",
                                         "train.optim_config.decay=0",
                                         "train.validation_interval=100",
                                         "train.checkpoint_interval=100",
                                         "train.n_workers=2",
                                         fmt::format("train.lr_config.learning_rate={:.9f}", rate),
                                         "train.lr_config.soft_start=0"};
    settings.insert(settings.end(), more.begin(), more.end());
    task::classification::Train(spec::ParseSpec("classification", "", "test", settings));
    std::vector<double> losses;
    const std::string csv = ReadFile(root + "/" + run + "/train/training.csv");
    for (const std::string& row : Split(std::string(Trim(csv)), '\n')) {
      if (row.find("epoch") == std::string::npos) losses.push_back(std::stod(Split(row, ',').at(1)));
    }
    return losses;
  };
  const std::vector<double> fp32 = train("fp32", 12, 0.05, {});
  const std::string start = fmt::format("train.checkpoint={}/fp32/train/{}_012.octet", root, GetParam());
  constexpr int kEpochs = 200 / kSteps;
  constexpr double kRate = 0.005;
  const auto qat = [&](const std::string& run, double rate, const std::string& integer) {
    return train(run, kEpochs, rate, {start, "train.qat=true", "train.integer=" + integer});
  };
  const std::vector<double> simulated = qat("simulated", kRate, "off");
  const std::vector<double> nudged = qat("nudged", kRate * (1 + 1e-6), "off");
  const std::vector<double> integer = qat("integer", kRate, "on");
  ASSERT_EQ(simulated.size(), static_cast<size_t>(kEpochs));
  ASSERT_EQ(integer.size(), simulated.size());
  double far = 0, unavoidable = 0;
  for (int i = 0; i < kEpochs; ++i) {
    far += std::fabs(integer[i] - simulated[i]) / simulated[i] / kEpochs;
    unavoidable += std::fabs(nudged[i] - simulated[i]) / simulated[i] / kEpochs;
    std::printf("steps %3d to %3d: simulated %.4f, nudged %.4f, integer %.4f\n", i * kSteps + 1, (i + 1) * kSteps,
                simulated[i], nudged[i], integer[i]);
  }
  std::printf("%s: FP32 ended at %.4f; mean relative distance from the simulation: integer %.4f, nudged %.4f\n",
              GetParam(), fp32.back(), far, unavoidable);
  EXPECT_LT(simulated.back(), simulated.front());
  EXPECT_LT(far, 0.03);
  if (!HasFailure()) fs::remove_all(root);
}
INSTANTIATE_TEST_SUITE_P(Slow, IntegerTraining, testing::Values("resnet_18", "mobilenet_v2", "efficientnet-b0"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace octet
